"""The audio-video diffusion transformer, and the layers that the text connectors share with it."""

from ltx_models.transformer.cache import TransformerCache
from ltx_models.transformer.config import LTXModelConfig, LTXModelType, StreamConfig
from ltx_models.transformer.model import LTXModel

__all__ = ["LTXModel", "LTXModelConfig", "LTXModelType", "StreamConfig", "TransformerCache"]
