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
from ltx_models.transformer.transformer_args import TransformerArgs

# Parameters of the audio stream have the names of the video stream's with this in front.
PREFIX = {"video": "", "audio": "audio_"}
SKIP_SELF_ATTENTION = {
    "video": PerturbationType.SKIP_VIDEO_SELF_ATTN,
    "audio": PerturbationType.SKIP_AUDIO_SELF_ATTN,
}
# Three rows of a stream's table, in its order: shift, scale, gate.
Rows = list[mx.array]
# Attention between the streams: into, from, name, rows of both tables (scale, shift), how it is skipped.
DIRECTIONS = (
    ("video", "audio", "audio_to_video_attn", slice(0, 2), PerturbationType.SKIP_A2V_CROSS_ATTN),
    ("audio", "video", "video_to_audio_attn", slice(2, 4), PerturbationType.SKIP_V2A_CROSS_ATTN),
)


def _groups(x: mx.array, row: mx.array) -> mx.array:
    """Tokens (B, T, dim) as a row (B, G, 1, dim) for groups of equal size counts them: (B, G, T / G, dim).

    For a row (B, T or 1, dim) as they are.
    """
    return x if row.ndim == 3 else x.reshape(*row.shape[:2], -1, row.shape[-1])


def _tokens(x: mx.array) -> mx.array:
    """(B, T, dim) again."""
    return x if x.ndim == 3 else x.flatten(1, 2)


@compiled
def modulate(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    """x (1 + scale) + shift; scale and shift as `_groups` takes them."""
    return _tokens(_groups(x, scale) * (1 + scale) + shift)


@compiled
def add_gated(x: mx.array, update: mx.array, gate: mx.array) -> mx.array:
    """x + update * gate; the gate as `_groups` takes it."""
    return _tokens(_groups(x, gate) + _groups(update, gate) * gate)


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
        video_rows = self.modulation("video", video)
        audio_rows = self.modulation("audio", audio)
        if video and video.enabled:
            video = self.attend("video", video, video_rows, perturbations, block_idx, cache)
        if audio and audio.enabled:
            audio = self.attend("audio", audio, audio_rows, perturbations, block_idx, cache)
        if video and audio:
            video, audio = self.cross_attend(video, audio, perturbations, block_idx)
        if video and video.enabled:
            video = self.feed_forward("video", video, video_rows[3:6])
        if audio and audio.enabled:
            audio = self.feed_forward("audio", audio, audio_rows[3:6])
        return video, audio

    def modulation(self, stream: str, args: TransformerArgs | None) -> Rows:
        """Shift, scale, gate of a stream's self-attention, feed-forward and, if modulated, text attention."""
        if args is None or not args.enabled:
            return []
        return get_ada_values(self[f"{PREFIX[stream]}scale_shift_table"], args.timesteps)

    def attend(
        self,
        stream: str,
        args: TransformerArgs,
        rows: Rows,
        perturbations: BatchedPerturbationConfig,
        block_idx: int,
        cache: TransformerCache | None,
    ) -> TransformerArgs:
        """Self-attention, then text attention, of one stream, with all rows of its modulation."""
        prefix, x = PREFIX[stream], args.x
        skip = SKIP_SELF_ATTENTION[stream]
        all_perturbed = perturbations.all_in_batch(skip, block_idx)
        some_perturbed = not all_perturbed and perturbations.any_in_batch(skip, block_idx)

        shift, scale, gate = rows[:3]
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
            shift, scale, gate = rows[6:]
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
                shift, scale = get_ada_values(table, modulation)
                context = modulate(context, scale, shift)
            result: KeysValues = self[f"{prefix}attn2"].keys_values(context)
            return result

        if cache is None or not cache.per_block or args.prompt_timestep is not None:
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
        rows, gates = {}, {}
        for stream, args in before.items():
            assert args.cross is not None
            table, gate = mx.split(self[f"scale_shift_table_a2v_ca_{stream}"], [4])
            rows[stream] = get_ada_values(table, args.cross.scale_shift_timestep)
            (gates[stream],) = get_ada_values(gate, args.cross.gate_timestep)

        def modulated(stream: str, direction: slice) -> mx.array:
            scale, shift = rows[stream][direction]
            return modulate(normed[stream], scale, shift)

        for stream, source, name, direction, skip in DIRECTIONS:
            args, other = before[stream], before[source]
            if not args.enabled or perturbations.all_in_batch(skip, block_idx):
                continue
            assert args.cross is not None
            assert other.cross is not None
            update = self[name](
                modulated(stream, direction),
                context=modulated(source, direction),
                pe=args.cross.positional_embeddings,
                k_pe=other.cross.positional_embeddings,
            )
            gate = gates[stream]
            if perturbations.any_in_batch(skip, block_idx):
                gate = gate * perturbations.mask(skip, block_idx, gate.dtype)
            after[stream] = replace(args, x=add_gated(args.x, update, gate))
        return after["video"], after["audio"]

    def feed_forward(self, stream: str, args: TransformerArgs, rows: Rows) -> TransformerArgs:
        """The feed-forward part of one stream, with its three rows of the modulation."""
        shift, scale, gate = rows
        update = self[f"{PREFIX[stream]}ff"](modulate(rms_norm(args.x, eps=self.norm_eps), scale, shift))
        return replace(args, x=add_gated(args.x, update, gate))
