"""One block of the transformer: both streams, and what passes between them."""

from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import compiled
from ltx_core.maths import rms_norm
from ltx_core.perturbations import BatchedPerturbationConfig, PerturbationType

from ltx_models.transformer.adaln import Modulation, get_ada_values
from ltx_models.transformer.attention import Attention, KeysValues
from ltx_models.transformer.cache import TransformerCache
from ltx_models.transformer.config import LTXModelConfig, StreamConfig
from ltx_models.transformer.feed_forward import FeedForward
from ltx_models.transformer.transformer_args import CrossModalArgs, TransformerArgs

# Parameters of the audio stream have the names of the video stream's with this in front.
PREFIX = {"video": "", "audio": "audio_"}
SKIP_SELF_ATTENTION = {
    "video": PerturbationType.SKIP_VIDEO_SELF_ATTN,
    "audio": PerturbationType.SKIP_AUDIO_SELF_ATTN,
}
# Rows of a stream's table, each shift, scale, gate.
SELF_ATTENTION, FEED_FORWARD, TEXT_ATTENTION = slice(0, 3), slice(3, 6), slice(6, 9)
# Attention between the streams: into, from, name, rows of both tables (scale, shift), how it is skipped.
DIRECTIONS = (
    ("video", "audio", "audio_to_video_attn", slice(0, 2), PerturbationType.SKIP_A2V_CROSS_ATTN),
    ("audio", "video", "video_to_audio_attn", slice(2, 4), PerturbationType.SKIP_V2A_CROSS_ATTN),
)


@compiled
def modulate(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    """x (1 + scale) + shift."""
    return x * (1 + scale) + shift


@compiled
def add_gated(x: mx.array, update: mx.array, gate: mx.array) -> mx.array:
    """x + update * gate."""
    return x + update * gate


class BasicAVTransformerBlock(nn.Module):
    """Self-attention and text attention of each stream, attention between the streams, feed-forward.

    Reference component: `model/transformer/transformer.py`.
    """

    def __init__(self, config: LTXModelConfig) -> None:
        super().__init__()
        self.norm_eps = config.norm_eps
        self.cross_attention_adaln = config.cross_attention_adaln

        def attention(query_dim: int, context_dim: int, heads: StreamConfig) -> Attention:
            return Attention(
                query_dim,
                context_dim,
                heads.heads,
                heads.head_dim,
                config.norm_eps,
                config.rope_type,
                config.apply_gated_attention,
            )

        for stream, sizes in (("video", config.video), ("audio", config.audio)):
            if sizes is None:
                continue
            prefix, dim = PREFIX[stream], sizes.dim
            self[f"{prefix}attn1"] = attention(dim, dim, sizes)
            self[f"{prefix}attn2"] = attention(dim, dim, sizes)
            self[f"{prefix}ff"] = FeedForward(dim, dim, bias=sizes.ff_bias)
            self[f"{prefix}scale_shift_table"] = mx.zeros((config.adaln_embedding_coefficient, dim))
            if config.cross_attention_adaln:
                self[f"{prefix}prompt_scale_shift_table"] = mx.zeros((2, dim))
        if config.video and config.audio:
            # Both directions have the audio stream's heads.
            self.audio_to_video_attn = attention(config.video.dim, config.audio.dim, config.audio)
            self.video_to_audio_attn = attention(config.audio.dim, config.video.dim, config.audio)
            self.scale_shift_table_a2v_ca_video = mx.zeros((5, config.video.dim))
            self.scale_shift_table_a2v_ca_audio = mx.zeros((5, config.audio.dim))

    def __call__(
        self,
        video: TransformerArgs | None,
        audio: TransformerArgs | None,
        perturbations: BatchedPerturbationConfig,
        block_idx: int,
        cache: TransformerCache | None = None,
    ) -> tuple[TransformerArgs | None, TransformerArgs | None]:
        """Both streams after this block; `block_idx` is its position, which perturbations refer to."""
        if video and video.enabled:
            video = self.attend("video", video, perturbations, block_idx, cache)
        if audio and audio.enabled:
            audio = self.attend("audio", audio, perturbations, block_idx, cache)
        if video and audio:
            video, audio = self.cross_attend(video, audio, perturbations, block_idx)
        if video and video.enabled:
            video = self.feed_forward("video", video)
        if audio and audio.enabled:
            audio = self.feed_forward("audio", audio)
        return video, audio

    def attend(
        self,
        stream: str,
        args: TransformerArgs,
        perturbations: BatchedPerturbationConfig,
        block_idx: int,
        cache: TransformerCache | None,
    ) -> TransformerArgs:
        """Self-attention, then text attention, of one stream."""
        prefix, x = PREFIX[stream], args.x
        table = self[f"{prefix}scale_shift_table"]
        skip = SKIP_SELF_ATTENTION[stream]
        all_perturbed = perturbations.all_in_batch(skip, block_idx)
        some_perturbed = not all_perturbed and perturbations.any_in_batch(skip, block_idx)

        shift, scale, gate = get_ada_values(table, args.timesteps, SELF_ATTENTION)
        update = self[f"{prefix}attn1"](
            modulate(rms_norm(x, eps=self.norm_eps), scale, shift),
            mask=args.self_attention_mask,
            pe=args.positional_embeddings,
            perturbation_mask=perturbations.mask(skip, block_idx, x.dtype) if some_perturbed else None,
            all_perturbed=all_perturbed,
        )
        x = add_gated(x, update, gate)

        queries = rms_norm(x, eps=self.norm_eps)
        if self.cross_attention_adaln:
            shift, scale, gate = get_ada_values(table, args.timesteps, TEXT_ATTENTION)
            queries = modulate(queries, scale, shift)
        update = self[f"{prefix}attn2"](
            queries,
            mask=args.context_mask,
            keys_values=self.text_keys_values(stream, args, block_idx, cache),
        )
        x = add_gated(x, update, gate) if self.cross_attention_adaln else x + update
        return replace(args, x=x)

    def text_keys_values(
        self, stream: str, args: TransformerArgs, block_idx: int, cache: TransformerCache | None
    ) -> KeysValues:
        """Keys and values of the text: constant over the steps, unless sigma modulates the text."""
        prefix = PREFIX[stream]

        def compute() -> KeysValues:
            context = args.context
            if self.cross_attention_adaln:
                # Without a modulation the table stands alone.
                modulation = args.prompt_timestep or Modulation(mx.zeros((1, 1, 1), context.dtype), None)
                table = self[f"{prefix}prompt_scale_shift_table"]
                shift, scale = get_ada_values(table, modulation, slice(0, 2))
                context = modulate(context, scale, shift)
            return self[f"{prefix}attn2"].keys_values(context)

        if cache is None or args.prompt_timestep is not None:
            return compute()
        return cache.get(("text keys and values", stream, block_idx), args.context_key, compute)

    def cross_attend(
        self,
        video: TransformerArgs,
        audio: TransformerArgs,
        perturbations: BatchedPerturbationConfig,
        block_idx: int,
    ) -> tuple[TransformerArgs, TransformerArgs]:
        """Attention between the streams. Each direction sees both as they were before the other direction."""
        before = {"video": video, "audio": audio}
        after = dict(before)
        normed = {stream: rms_norm(args.x, eps=self.norm_eps) for stream, args in before.items()}
        for stream, source, name, rows, skip in DIRECTIONS:
            args, other = before[stream], before[source]
            if not args.enabled or perturbations.all_in_batch(skip, block_idx):
                continue
            assert args.cross is not None
            assert other.cross is not None
            update = self[name](
                self._cross_modulated(stream, args.cross, normed[stream], rows),
                context=self._cross_modulated(source, other.cross, normed[source], rows),
                pe=args.cross.positional_embeddings,
                k_pe=other.cross.positional_embeddings,
            )
            gate_row = self[f"scale_shift_table_a2v_ca_{stream}"][4:]
            (gate,) = get_ada_values(gate_row, args.cross.gate_timestep, slice(0, 1))
            if perturbations.any_in_batch(skip, block_idx):
                gate = gate * perturbations.mask(skip, block_idx, gate.dtype)
            after[stream] = replace(args, x=add_gated(args.x, update, gate))
        return after["video"], after["audio"]

    def _cross_modulated(self, stream: str, cross: CrossModalArgs, normed: mx.array, rows: slice) -> mx.array:
        table = self[f"scale_shift_table_a2v_ca_{stream}"][:4]
        scale, shift = get_ada_values(table, cross.scale_shift_timestep, rows)
        return modulate(normed, scale, shift)

    def feed_forward(self, stream: str, args: TransformerArgs) -> TransformerArgs:
        """The feed-forward part of one stream."""
        prefix = PREFIX[stream]
        table = self[f"{prefix}scale_shift_table"]
        shift, scale, gate = get_ada_values(table, args.timesteps, FEED_FORWARD)
        update = self[f"{prefix}ff"](modulate(rms_norm(args.x, eps=self.norm_eps), scale, shift))
        return replace(args, x=add_gated(args.x, update, gate))
