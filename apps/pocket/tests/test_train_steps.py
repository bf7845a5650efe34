"""The optimisation step: Muon, and how weights lie in large arrays."""

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_pocket.configs_text import gemma_config, transformer_section
from ltx_pocket.train.diffusion import Diffusion
from ltx_pocket.train.layout import Layout
from ltx_pocket.train.muon import orthogonalized
from ltx_pocket.train.transformer import is_matrix
from mlx.utils import tree_flatten


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(2, 12), columns=st.integers(2, 12), seed=st.integers(0, 99))
def test_updates_of_muon_have_no_preferred_direction(rows: int, columns: int, seed: int) -> None:
    matrices = mx.random.normal((3, rows, columns), key=mx.random.key(seed))
    found = np.array(orthogonalized(matrices))
    assert found.shape == (3, rows, columns)
    left, values, right = np.linalg.svd(np.array(matrices), full_matrices=False)
    # Directions that are hardly there stay small.
    singular = np.linalg.svd(found, compute_uv=False)
    clear = values > 0.05 * values[:, :1]
    assert (np.abs(singular[clear] - 0.95) < 0.35).all()
    inside = np.einsum("nij,nik,nlk->njl", left, found, right)
    off = inside - np.eye(inside.shape[-1]) * inside
    assert np.abs(off).max() < 1e-3


def test_weights_stand_in_chunks_and_stacks() -> None:
    network = Diffusion(transformer_section(16, 16, "tiny"), gemma_config(64, "tiny"))
    tree = network.trainable_parameters()
    layout = Layout(tree, is_matrix)
    arrays = dict(tree_flatten(tree))
    large = layout.join([arrays[name] for name in layout.names])
    assert layout.parameters == sum(value.size for value in arrays.values())
    assert len(large) == len(layout.chunks) + len(layout.stacks) < 20
    for name, value in tree_flatten(layout.tree(large)):
        np.testing.assert_array_equal(value, arrays[name])
    matrices = sum(len(names) for names in layout.stacks.values())
    assert 50 < matrices < len(arrays) / 3
