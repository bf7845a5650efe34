"""The transformer, and what goes on inside it."""

from collections.abc import Mapping
from dataclasses import replace

import mlx.core as mx
import numpy as np
from ltx_core import X0Model
from ltx_core.perturbations import (
    BatchedPerturbationConfig,
    Perturbation,
    PerturbationConfig,
    PerturbationType,
)
from ltx_core.types import Modality
from ltx_loaders import Lora, fuse_loras
from ltx_models.transformer import LTXModel, TransformerCache
from ltx_models.transformer.adaln import Modulation, get_timestep_embedding
from ltx_models.transformer.preprocess import cross_rope, self_rope

from tests.parity.harness import Case, covers

Perturbations = list[tuple[str, list[int] | None]]


def _model(case: Case) -> LTXModel:
    model = case.build("transformer")
    assert isinstance(model, LTXModel)
    return model


def _modality(inputs: Mapping[str, mx.array], stream: str, **changes: object) -> Modality:
    sigma = inputs.get(f"{stream}_sigma", inputs["sigma"])
    names = ("latent", "timesteps", "positions", "context", "context_mask")
    modality = Modality(
        sigma=sigma, **{name: inputs[f"{stream}.{name}"] for name in names if f"{stream}.{name}" in inputs}
    )
    return replace(modality, **changes)


def _streams(case: Case) -> tuple[Modality, Modality]:
    return _modality(case.inputs, "video"), _modality(case.inputs, "audio")


def _perturbations(samples: list[Perturbations]) -> BatchedPerturbationConfig:
    return BatchedPerturbationConfig(
        [
            PerturbationConfig(
                [Perturbation(PerturbationType[kind.upper()], blocks) for kind, blocks in sample]
            )
            for sample in samples
        ]
    )


def _named(**outputs: tuple[mx.array | None, mx.array | None]) -> dict[str, mx.array]:
    """Velocities of both streams as `<name>.video` and `<name>.audio`; `out` is no prefix."""
    values = {}
    for name, pair in outputs.items():
        for stream, value in zip(("video", "audio"), pair, strict=True):
            if value is not None:
                values[stream if name == "out" else f"{name}.{stream}"] = value
    return values


@covers("transformer_batch2", kind="network")
@covers("transformer_two_sigmas", kind="network")
@covers("transformer_context_mask", kind="network")
def velocities(case: Case) -> dict[str, mx.array]:
    return _named(out=_model(case)(*_streams(case)))


def _first_token(modulation: Modulation) -> mx.array:
    return modulation.per_token(modulation.values)[:, :1].flatten(2)


@covers("transformer_basic", kind="network")
def basic(case: Case) -> dict[str, mx.array | np.ndarray]:
    model = _model(case)
    video, audio = _streams(case)
    values: dict[str, mx.array | np.ndarray] = {
        **_named(out=model(video, audio), x0=X0Model(model)(video, audio)),
        "sinusoid.embedding": get_timestep_embedding(np.array(case.inputs["sinusoid.timesteps"])),
    }
    prepared = dict(zip(("video", "audio"), model.prepare(video, audio), strict=True))
    for stream, args in prepared.items():
        assert args is not None
        assert args.cross is not None
        cos, sin = args.positional_embeddings
        cross_cos, cross_sin = args.cross.positional_embeddings
        inside = {
            "patched": args.x,
            "context": args.context,
            "rope_cos": cos,
            "rope_sin": sin,
            "cross_rope_cos": cross_cos,
            "cross_rope_sin": cross_sin,
            "adaln": _first_token(args.timesteps),
            "embedded_timestep": _first_token(args.embedded_timestep),
            "cross_scale_shift": _first_token(args.cross.scale_shift_timestep),
            "cross_gate": _first_token(args.cross.gate_timestep),
        }
        if args.prompt_timestep is not None:
            inside["prompt_timestep"] = _first_token(args.prompt_timestep)
        values |= {f"{stream}.{name}": value for name, value in inside.items()}
    nothing = BatchedPerturbationConfig.empty(len(video.latent))
    after = model.transformer_blocks[0](prepared["video"], prepared["audio"], nothing, 0)
    for stream, args in zip(("video", "audio"), after, strict=True):
        values[f"block0.{stream}"] = args.x
    return values


@covers("transformer_per_token_timesteps", kind="network")
def per_token_timesteps(case: Case) -> dict[str, mx.array]:
    model = _model(case)
    video, audio = _streams(case)
    args, _ = model.prepare(video, audio)
    assert args is not None
    embedded = args.embedded_timestep
    return {
        **_named(out=model(video, audio), x0=X0Model(model)(video, audio)),
        "video.embedded_timestep": embedded.per_token(embedded.values).flatten(2),
    }


@covers("transformer_self_attention_mask", kind="network")
def self_attention_mask(case: Case) -> dict[str, mx.array]:
    model = _model(case)
    video = _modality(case.inputs, "video", attention_mask=case.inputs["video.attention_mask"])
    audio = _modality(case.inputs, "audio")
    both = _modality(case.inputs, "audio", attention_mask=case.inputs["audio.attention_mask"])
    args, _ = model.prepare(video, audio)
    assert args is not None
    assert args.self_attention_mask is not None
    return {
        **_named(out=model(video, audio), both=model(video, both)),
        "video.bias": mx.maximum(args.self_attention_mask, -1e4),
    }


@covers("transformer_perturbations", kind="network")
def perturbations(case: Case) -> dict[str, mx.array]:
    model, cache = _model(case), TransformerCache()
    video, audio = _streams(case)
    return _named(
        **{
            name: model(video, audio, _perturbations([sample]), cache)
            for name, sample in case.args["perturbations"].items()
        }
    )


@covers("transformer_perturbations_batch2", kind="network")
def perturbations_batch2(case: Case) -> dict[str, mx.array]:
    return _named(out=_model(case)(*_streams(case), _perturbations(case.args["perturbations"])))


@covers("transformer_single_modality", kind="network")
def single_modality(case: Case) -> dict[str, mx.array]:
    model = _model(case)
    video, audio = _streams(case)
    return _named(
        video_only=model(video, None),
        audio_only=model(None, audio),
        video_disabled=model(replace(video, enabled=False), audio),
        audio_disabled=model(video, replace(audio, enabled=False)),
    )


@covers("transformer_rope", kind="component")
def rope(case: Case) -> dict[str, mx.array]:
    config, stride = _model(case).config, case.args["stride"]
    values = {}
    for name in ("f32", "bf16"):
        positions = case.inputs[f"{name}.positions"]
        if name == "bf16":
            positions = positions.astype(mx.bfloat16)
        for part, table in (
            ("self", self_rope(config, "video", positions, TransformerCache())),
            ("cross", cross_rope(config, "video", positions, TransformerCache())),
        ):
            for function, value in zip(("cos", "sin"), table, strict=True):
                values[f"{name}.{part}_{function}"] = value[:, :, ::stride]
    values["audio.cos"], values["audio.sin"] = self_rope(
        config, "audio", case.inputs["audio.positions"], TransformerCache()
    )
    return values


@covers("transformer_lora", kind="network")
def lora(case: Case) -> dict[str, mx.array]:
    video, audio = _streams(case)
    values = {}
    for name, files in case.args["loras"].items():
        model = _model(case)
        loras = [(Lora.open(case.root / f"{file}.safetensors"), strength) for file, strength in files]
        fuse_loras(model, loras)
        values |= _named(**{name: model(video, audio)})
        values[f"{name}.attn1.to_q.weight"] = model.transformer_blocks[0].attn1.to_q.weight
    return values
