"""The audio-video diffusion transformer of LTX-2."""

from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError, ShapeError
from ltx_core.perturbations import BatchedPerturbationConfig
from ltx_core.types import Modality

from ltx_models.transformer.adaln import AdaLayerNormSingle, get_ada_values
from ltx_models.transformer.cache import TransformerCache
from ltx_models.transformer.config import LTXModelConfig, StreamConfig
from ltx_models.transformer.fused import modulate
from ltx_models.transformer.pacing import Pacing
from ltx_models.transformer.preprocess import check_modality, prepare_stream
from ltx_models.transformer.sharding import own_share, shard_blocks
from ltx_models.transformer.text_projection import PixArtAlphaTextProjection
from ltx_models.transformer.token_division import TokenDivision
from ltx_models.transformer.transformer import PREFIX, BasicAVTransformerBlock
from ltx_models.transformer.transformer_args import TransformerArgs

Velocities = tuple[mx.array | None, mx.array | None]


def _state(args: TransformerArgs | None) -> mx.array | None:
    return None if args is None else args.x


def _with_state(args: TransformerArgs | None, x: mx.array | None) -> TransformerArgs | None:
    return args if args is None or x is None else replace(args, x=x)


class LTXModel(nn.Module):
    """Predicts the velocities of video and audio tokens from noisy tokens and text.

    Reference component: `model/transformer/model.py` of release 1.2.0. The attribute tree is that of official
    checkpoints. A model with both streams also runs with one of them.

    Attributes:
        config: what it was built from.
        eval_every: evaluate after that many blocks, 0 for never. Metal kills command buffers that run for
            long, so a small number is right there; elsewhere `pacing` is faster.
        own_heads: which heads of every attention are in this process; all, but for `shard`.
        division: of the video's tokens among processes; None, but for `divide_tokens`.
    """

    def __init__(self, config: LTXModelConfig) -> None:
        super().__init__()
        self.config = config
        self.eval_every = 0
        self.own_heads = slice(None)
        self.division: TokenDivision | None = None
        if config.video:
            self._init_stream("", config.video)
            if config.use_keyframes_abs_pos_embedding:
                self.keyframes_abs_pos_embedding = mx.zeros((1, config.video.dim))
        if config.audio:
            self._init_stream("audio_", config.audio)
        if config.video and config.audio:
            self.av_ca_video_scale_shift_adaln_single = AdaLayerNormSingle(config.video.dim, 4)
            self.av_ca_audio_scale_shift_adaln_single = AdaLayerNormSingle(config.audio.dim, 4)
            self.av_ca_a2v_gate_adaln_single = AdaLayerNormSingle(config.video.dim, 1)
            self.av_ca_v2a_gate_adaln_single = AdaLayerNormSingle(config.audio.dim, 1)
        self.transformer_blocks = [BasicAVTransformerBlock(config) for _ in range(config.num_layers)]

    def _init_stream(self, prefix: str, sizes: StreamConfig) -> None:
        config, dim = self.config, sizes.dim
        self[f"{prefix}patchify_proj"] = nn.Linear(sizes.in_channels, dim)
        if config.caption_channels is not None:
            self[f"{prefix}caption_projection"] = PixArtAlphaTextProjection(config.caption_channels, dim)
        self[f"{prefix}adaln_single"] = AdaLayerNormSingle(dim, config.adaln_embedding_coefficient)
        if config.cross_attention_adaln and config.use_prompt_adaln_single:
            self[f"{prefix}prompt_adaln_single"] = AdaLayerNormSingle(dim, 2)
        self[f"{prefix}scale_shift_table"] = mx.zeros((2, dim))
        self[f"{prefix}proj_out"] = nn.Linear(dim, sizes.out_channels)

    @property
    def num_blocks(self) -> int:
        """Number of transformer blocks."""
        return len(self.transformer_blocks)

    @property
    def dtype(self) -> mx.Dtype:
        """Dtype of the hidden states: that of weights which are never quantised."""
        result: mx.Dtype = self["scale_shift_table" if self.config.video else "audio_scale_shift_table"].dtype
        return result

    def shard(self, group: mx.distributed.Group) -> None:
        """Divide the blocks among the processes of a group, which call the network together from then on.

        Each keeps its share of the weights, and none is read for it: to be called before they are, and after
        LoRAs are fused. Results are the same in all processes, and those of one alone up to rounding.

        Raises:
            ConfigError: as `sharding.shard_blocks`; the network is unchanged then.
        """
        shard_blocks(self.transformer_blocks, group)
        streams = [sizes for sizes in (self.config.video, self.config.audio) if sizes]
        # Attention between the streams has as many heads as either of them.
        self.own_heads = own_share(streams[0].heads, group)

    def divide_tokens(self, division: TokenDivision) -> None:
        """Divide the video's tokens among the processes of a group, which call the network together from then
        on. Each has all weights and a share of the work. Results are the same in all processes, and those of
        one alone up to rounding.
        """
        self.division = division
        for block in self.transformer_blocks:
            for name in ("attn1", "video_to_audio_attn"):
                if name in block:
                    block[name].division = division

    def make_cache(self) -> TransformerCache:
        """An empty cache for one generation: the calls of all its steps and guidance passes.

        Where the blocks are not held in memory (something else stands for their list), neither is what
        belongs to a single block.
        """
        return TransformerCache(per_block=isinstance(self.transformer_blocks, list))

    def __call__(
        self,
        video: Modality | None,
        audio: Modality | None,
        perturbations: BatchedPerturbationConfig | None = None,
        cache: TransformerCache | None = None,
    ) -> Velocities:
        """Velocities of the video and of the audio tokens, each (B, T, out_channels) in the model's dtype.

        Args:
            video, audio: the streams; None for one that does not take part, and then returned as None.
            perturbations: attentions to skip, per sample and block; None for none.
            cache: from `make_cache`; None to compute everything anew.

        Raises:
            ConfigError: no stream, or one that the model lacks.
            ShapeError: arrays whose sizes do not fit each other or this model.
        """
        video_args, audio_args = self.prepare(video, audio, cache)
        if self.division and video_args:
            video_args = self.division.own(video_args)
        (batch,) = {len(args.x) for args in (video_args, audio_args) if args}
        if perturbations is None:
            perturbations = BatchedPerturbationConfig.empty(batch)
        elif len(perturbations.perturbations) != batch:
            raise ShapeError(
                f"perturbations are for {len(perturbations.perturbations)} samples, not for {batch}"
            )
        start, shared = 0, None
        if cache is not None and cache.per_block:
            shared = cache.shared
            start, states = shared.begin((video, audio), perturbations)
            if start:
                video_args, audio_args = map(_with_state, (video_args, audio_args), states)
        pace = Pacing() if self.eval_every else Pacing.here()
        for index, block in enumerate(self.transformer_blocks):
            if index < start:
                continue
            if shared:
                shared.reached(index, (_state(video_args), _state(audio_args)))
            video_args, audio_args = block(video_args, audio_args, perturbations, index, cache, pace)
            if self.eval_every and (index + 1) % self.eval_every == 0:
                mx.eval([args.x for args in (video_args, audio_args) if args])
        video_velocity = self.process_output("video", video_args) if video_args else None
        if self.division and video_velocity is not None:
            video_velocity = self.division.gather(video_velocity)
        return video_velocity, self.process_output("audio", audio_args) if audio_args else None

    def prepare(
        self, video: Modality | None, audio: Modality | None, cache: TransformerCache | None = None
    ) -> tuple[TransformerArgs | None, TransformerArgs | None]:
        """What the first block sees of each stream. Arguments and errors as in `__call__`."""
        if video is None and audio is None:
            raise ConfigError("there is neither a video nor an audio stream; give at least one")
        if video is not None:
            check_modality(self.config, "video", video)
        if audio is not None:
            check_modality(self.config, "audio", audio)
        if video and audio and len(video.latent) != len(audio.latent):
            raise ShapeError(f"{len(video.latent)} samples of video, {len(audio.latent)} of audio")
        if cache is None:
            cache = TransformerCache()
        return (
            prepare_stream(self, "video", video, audio, cache) if video else None,
            prepare_stream(self, "audio", audio, video, cache) if audio else None,
        )

    def process_output(self, stream: str, args: TransformerArgs) -> mx.array:
        """Velocities from the hidden states after the last block."""
        prefix = PREFIX[stream]
        shift, scale = get_ada_values(self[f"{prefix}scale_shift_table"], args.embedded_timestep)
        x = modulate(mx.fast.layer_norm(args.x, None, None, self.config.norm_eps), scale, shift)
        result: mx.array = self[f"{prefix}proj_out"](x)
        return result
