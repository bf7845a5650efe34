"""Text encoder, connectors and transformer as one network, on batches and without waiting for the device.

The networks' own calls serve generation: one prompt at a time, distinct noise levels found on the host. Here
the same modules are called one level below, on captions padded to one length and noise levels that come with
the batch, so that a whole training step is one graph that `mx.compile` takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_core.conditioning import VideoConditionByKeyframeIndex
from ltx_core.perturbations import BatchedPerturbationConfig
from ltx_core.tools import AudioLatentTools, VideoLatentTools
from ltx_models.text_encoder import (
    EmbeddingsProcessor,
    EmbeddingsProcessorConfig,
    GemmaConfig,
    GemmaTextModel,
)
from ltx_models.text_encoder.connectors import Embeddings1DConnector
from ltx_models.transformer import LTXModel, LTXModelConfig, TransformerCache
from ltx_models.transformer.adaln import Modulation, get_timestep_embedding
from ltx_models.transformer.preprocess import CROSS_GATE, cross_rope, self_rope
from ltx_models.transformer.transformer import PREFIX
from ltx_models.transformer.transformer_args import CrossModalArgs, TransformerArgs

from ltx_pocket.configs_text import MAX_LENGTH
from ltx_pocket.train.layers import set_layers, turning

Contexts = tuple[mx.array, mx.array]


class Tables(NamedTuple):
    """Rotations of both streams for one size of clip: cosines and sines, (1, heads, T, half a head)."""

    video_cos: mx.array
    video_sin: mx.array
    video_cross_cos: mx.array
    video_cross_sin: mx.array
    audio_cos: mx.array
    audio_sin: mx.array
    audio_cross_cos: mx.array
    audio_cross_sin: mx.array

    def of(self, stream: str) -> tuple[tuple[mx.array, mx.array], tuple[mx.array, mx.array]]:
        """Rotation within a stream, and between the streams."""
        first = 0 if stream == "video" else 4
        cos, sin, cross_cos, cross_sin = self[first : first + 4]
        return (cos, sin), (cross_cos, cross_sin)


class Stream(NamedTuple):
    """One stream of a batch.

    Attributes:
        tokens: (B, T, D), noisy where they are to be denoised.
        level: (B, 256), what `sinusoids` makes of each sample's sigma.
        context: (B, 128, width) text.
        fixed: (B, G) bool, groups of tokens that are clean (of the video, latent frames), or None for none.
    """

    tokens: mx.array
    level: mx.array
    context: mx.array
    fixed: mx.array | None = None


@dataclass(frozen=True, eq=False)
class GroupModulation(Modulation):
    """Modulation by groups of tokens that stand together, as those of latent frames.

    Attributes:
        values: (B, G, coefficients, dim).
    """

    def spread(self, row: mx.array) -> mx.array:
        """(B, G, 1, dim): one for each group; blocks see that tokens come in groups."""
        return row


def of_tokens(groups: mx.array, count: int) -> mx.array:
    """What is said of groups (B, G), as latent frames are, of each of `count` tokens: (B, count, 1)."""
    batch, number = groups.shape
    return mx.broadcast_to(groups[..., None], (batch, number, count // number)).reshape(batch, count, 1)


def sinusoids(sigmas: np.ndarray) -> mx.array:
    """(B,) noise levels to (B, 256), as the transformer embeds them (in thousandths)."""
    return mx.array(get_timestep_embedding(sigmas.astype(np.float32) * np.float32(1000)))


class Diffusion(nn.Module):
    """All networks that learn from captions and latents.

    Args:
        section: the config section `transformer`.
        gemma: the text encoder's `config.json`.
    """

    def __init__(self, section: Mapping[str, Any], gemma: Mapping[str, Any]) -> None:
        super().__init__()
        gemma_config = GemmaConfig.from_config(gemma)
        self.gemma = GemmaTextModel(gemma_config)
        self.embeddings = EmbeddingsProcessor(
            EmbeddingsProcessorConfig.from_config(
                section, gemma_config.hidden_size, gemma_config.num_hidden_layers
            )
        )
        self.transformer = LTXModel(LTXModelConfig.from_config(section))
        set_layers(self)
        # The connectors' rotations are made on the host, before any graph is compiled.
        for connector in self._connectors():
            mx.eval(connector.attend(mx.zeros((1, MAX_LENGTH, connector.config.inner_dim))))

    def _connectors(self) -> tuple[Embeddings1DConnector, Embeddings1DConnector]:
        return self.embeddings.video_embeddings_connector, self.embeddings.audio_embeddings_connector

    def initialize(self) -> None:
        """Starting values for training, where those of the layers are not meant for it: small modulations,
        open gates, registers that differ, and a network that predicts nothing yet."""
        for name, module in self.transformer.named_modules():
            if name.rpartition(".")[2] == "linear" and isinstance(module, nn.Linear):
                module.weight = mx.random.normal(module.weight.shape) * 0.02
                module.bias = mx.zeros_like(module.bias)
        for block in self.transformer.transformer_blocks:
            for prefix in PREFIX.values():
                rows = mx.arange(9)[:, None] % 3 == 2
                table = block[f"{prefix}scale_shift_table"]
                block[f"{prefix}scale_shift_table"] = mx.where(rows, 0.3, mx.zeros_like(table))
            for stream in PREFIX:
                table = block[f"scale_shift_table_a2v_ca_{stream}"]
                gate = mx.arange(5)[:, None] == 4
                block[f"scale_shift_table_a2v_ca_{stream}"] = mx.where(gate, 0.3, mx.zeros_like(table))
        for prefix in PREFIX.values():
            head = self.transformer[f"{prefix}proj_out"]
            head.weight, head.bias = mx.zeros_like(head.weight), mx.zeros_like(head.bias)
        for connector in self._connectors():
            connector.learnable_registers = mx.random.uniform(-1, 1, connector.learnable_registers.shape)

    def contexts(self, input_ids: mx.array, lengths: mx.array) -> Contexts:
        """Contexts (B, 128, width) of both streams.

        Args:
            input_ids: (B, T), padded behind the captions.
            lengths: (B,) tokens without padding.
        """
        features = self.embeddings.text_embedding_projection(self.gemma.hidden_states(input_ids))
        is_text = mx.arange(MAX_LENGTH)[None, :, None] < lengths[:, None, None]
        missing = MAX_LENGTH - input_ids.shape[1]
        video, audio = (
            connector.attend(
                mx.where(
                    is_text,
                    mx.pad(x, [(0, 0), (0, missing), (0, 0)]),
                    connector.learnable_registers.astype(x.dtype),
                )
            )
            for x, connector in zip(features, self._connectors(), strict=True)
        )
        return video, audio

    def tables(
        self, video: VideoLatentTools, audio: AudioLatentTools, keyframes: Sequence[int] = ()
    ) -> Tables:
        """Rotations for clips of the size that the tools describe.

        Args:
            keyframes: pixel frames of images whose tokens follow those of the clip.
        """
        state = video.create_initial_state()
        image = mx.zeros(video.target_shape._replace(frames=1).to_shape())
        for keyframe in keyframes:
            state = VideoConditionByKeyframeIndex(image, keyframe, 1.0).apply_to(state, video)
        return self.tables_at(state.positions, audio.positions())

    def tables_at(self, video: mx.array, audio: mx.array) -> Tables:
        """Rotations for tokens at these positions, (1, axes, T, 2) for both streams."""
        config, cache = self.transformer.config, TransformerCache()
        positions = {"video": video, "audio": audio}
        arrays: list[mx.array] = []
        for stream, where in positions.items():
            arrays += [*self_rope(config, stream, where, cache), *cross_rope(config, stream, where, cache)]
        mx.eval(arrays)
        return Tables(*arrays)

    def velocities(self, video: Stream, audio: Stream, tables: Tables) -> tuple[mx.array, mx.array]:
        """Velocities of the tokens of both streams, in the network's dtype."""
        now: TransformerArgs | None = self._args("video", video, audio, tables)
        sound: TransformerArgs | None = self._args("audio", audio, video, tables)
        nothing = BatchedPerturbationConfig.empty(len(video.tokens))
        for index, block in enumerate(self.transformer.transformer_blocks):
            now, sound = block(now, sound, nothing, index)
        assert now is not None
        assert sound is not None
        return self.transformer.process_output("video", now), self.transformer.process_output("audio", sound)

    def sound_velocities(self, audio: Stream, tables: Tables) -> mx.array:
        """Velocities of the audio tokens where there is no video stream."""
        sound: TransformerArgs | None = self._args("audio", audio, None, tables)
        nothing = BatchedPerturbationConfig.empty(len(audio.tokens))
        for index, block in enumerate(self.transformer.transformer_blocks):
            _, sound = block(None, sound, nothing, index)
        assert sound is not None
        return self.transformer.process_output("audio", sound)

    def _args(self, name: str, stream: Stream, other: Stream | None, tables: Tables) -> TransformerArgs:
        """What the blocks see of a stream beside the other one, or alone."""
        model, prefix = self.transformer, PREFIX[name]
        own, between = (turning(pair, model.dtype) for pair in tables.of(name))
        timesteps, embedded = self._modulation(f"{prefix}adaln_single", stream, True)
        cross = None
        if other is not None:
            scale_shift = f"av_ca_{name}_scale_shift_adaln_single"
            cross = CrossModalArgs(
                between,
                self._modulation(scale_shift, stream, True)[0],
                self._modulation(CROSS_GATE[name], other, False)[0],
            )
        return TransformerArgs(
            x=model[f"{prefix}patchify_proj"](stream.tokens.astype(model.dtype)),
            context=stream.context,
            context_key=stream.context,
            context_mask=None,
            timesteps=timesteps,
            embedded_timestep=embedded,
            prompt_timestep=self._modulation(f"{prefix}prompt_adaln_single", stream, False)[0],
            positional_embeddings=own,
            self_attention_mask=None,
            cross=cross,
            enabled=True,
        )

    def _modulation(self, adaln: str, stream: Stream, by_group: bool) -> tuple[Modulation, Modulation]:
        """What a layer makes of a stream's noise level, and of none for the groups that are clean."""
        model = self.transformer
        fixed = stream.fixed if by_group else None
        if fixed is None:
            rows, embedded = model[adaln].project(stream.level.astype(model.dtype))
            return Modulation(rows, None), Modulation(embedded, None)
        levels = mx.concatenate([stream.level, sinusoids(np.zeros(1))]).astype(model.dtype)

        def chosen(values: mx.array) -> Modulation:
            own, clean = mx.split(values[:, None], [len(stream.level)])
            # A choice, not a gather: the gradient of a gather would be a scatter onto few rows.
            return GroupModulation(mx.where(fixed[..., None, None], clean, own), None)

        rows, embedded = model[adaln].project(levels)
        return chosen(rows), chosen(embedded)
