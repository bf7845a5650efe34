"""Text encoding: Gemma, the feature extractor, and the connectors to the diffusion transformer."""

from ltx_models.text_encoder.connectors import ConnectorConfig, Embeddings1DConnector
from ltx_models.text_encoder.embeddings_processor import (
    EmbeddingsProcessor,
    EmbeddingsProcessorConfig,
    EmbeddingsProcessorOutput,
)
from ltx_models.text_encoder.feature_extractor import FeatureExtractorV1, FeatureExtractorV2
from ltx_models.text_encoder.gemma import GemmaTextModel
from ltx_models.text_encoder.gemma_config import GemmaConfig
from ltx_models.text_encoder.generation import GemmaGenerator, Sampler, generate, greedy

__all__ = [
    "ConnectorConfig",
    "Embeddings1DConnector",
    "EmbeddingsProcessor",
    "EmbeddingsProcessorConfig",
    "EmbeddingsProcessorOutput",
    "FeatureExtractorV1",
    "FeatureExtractorV2",
    "GemmaConfig",
    "GemmaGenerator",
    "GemmaTextModel",
    "Sampler",
    "generate",
    "greedy",
]
