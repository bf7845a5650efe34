"""One block of the transformer: both streams, and what passes between them."""

from collections.abc import Mapping
from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
from ltx_core.perturbations import BatchedPerturbationConfig, PerturbationType

from ltx_models.transformer.adaln import AdaValues, Modulation, get_ada_values
from ltx_models.transformer.attention import Attention, KeysValues
from ltx_models.transformer.cache import TransformerCache
from ltx_models.transformer.config import LTXModelConfig, StreamConfig
from ltx_models.transformer.feed_forward import FeedForward
from ltx_models.transformer.fused import Affine, Gate, Residual, modulate
from ltx_models.transformer.pacing import Pacing
from ltx_models.transformer.transformer_args import TransformerArgs

# Parameters of the audio stream have the names of the video stream's with this in front.
PREFIX = {"video": "", "audio": "audio_"}
SKIP_SELF_ATTENTION = {
    "video": PerturbationType.SKIP_VIDEO_SELF_ATTN,
    "audio": PerturbationType.SKIP_AUDIO_SELF_ATTN,
}
# Attention between the streams: into, from, name, rows of both tables (scale, shift), how it is skipped.
DIRECTIONS = (
    ("video", "audio", "audio_to_video_attn", (0, 1), PerturbationType.SKIP_A2V_CROSS_ATTN),
    ("audio", "video", "video_to_audio_attn", (2, 3), PerturbationType.SKIP_V2A_CROSS_ATTN),
)
Direction = tuple[str, str, str, tuple[int, int], PerturbationType]


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
        pace: Pacing | None = None,
    ) -> tuple[TransformerArgs | None, TransformerArgs | None]:
        """Both streams after this block; `block_idx` is its position, which perturbations refer to."""
        pace = pace or Pacing()
        present = {stream: args for stream, args in (("video", video), ("audio", audio)) if args is not None}
        hidden = {stream: Residual(args.x) for stream, args in present.items()}
        enabled = [stream for stream, args in present.items() if args.enabled]
        # Shift, scale, gate of the self-attention, the feed-forward part and, if modulated, text attention.
        tables = {
            stream: AdaValues(self[f"{PREFIX[stream]}scale_shift_table"], present[stream].timesteps)
            for stream in enabled
        }
        # Part by part, so that what is short in one stream is computed beside what is long in the other.
        for stream in enabled:
            values = tables[stream]
            self.self_attend(stream, present[stream], hidden[stream], values, perturbations, block_idx)
        pace(*hidden.values())
        for stream in enabled:
            self.text_attend(stream, present[stream], hidden[stream], tables[stream], block_idx, cache)
        pace(*hidden.values())
        if len(present) == 2:
            self.cross_attend(present, hidden, perturbations, block_idx)
            pace(*hidden.values())
        for stream in enabled:
            self.feed_forward(stream, hidden[stream], tables[stream])
        pace(*hidden.values())
        after = {stream: replace(args, x=hidden[stream].value()) for stream, args in present.items()}
        return after.get("video"), after.get("audio")

    def self_attend(
        self,
        stream: str,
        args: TransformerArgs,
        hidden: Residual,
        values: AdaValues,
        perturbations: BatchedPerturbationConfig,
        block_idx: int,
    ) -> None:
        """Attention among the tokens of one stream."""
        skip = SKIP_SELF_ATTENTION[stream]
        all_perturbed = perturbations.all_in_batch(skip, block_idx)
        some_perturbed = not all_perturbed and perturbations.any_in_batch(skip, block_idx)
        (x,) = hidden.normed(self.norm_eps, Affine(values, scale=1, shift=0))
        update = self[f"{PREFIX[stream]}attn1"](
            x,
            mask=args.self_attention_mask,
            pe=args.positional_embeddings,
            perturbation_mask=perturbations.mask(skip, block_idx, x.dtype) if some_perturbed else None,
            all_perturbed=all_perturbed,
        )
        hidden.add(update, Gate(values, 2))

    def text_attend(
        self,
        stream: str,
        args: TransformerArgs,
        hidden: Residual,
        values: AdaValues,
        block_idx: int,
        cache: TransformerCache | None,
    ) -> None:
        """Attention from the tokens of one stream to the text."""
        affine = [Affine(values, scale=7, shift=6)] if self.cross_attention_adaln else []
        (queries,) = hidden.normed(self.norm_eps, *affine)
        update = self[f"{PREFIX[stream]}attn2"](
            queries,
            mask=args.context_mask,
            keys_values=self.text_keys_values(stream, args, block_idx, cache),
        )
        hidden.add(update, Gate(values, 8) if self.cross_attention_adaln else None)

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
        streams: Mapping[str, TransformerArgs],
        hidden: Mapping[str, Residual],
        perturbations: BatchedPerturbationConfig,
        block_idx: int,
    ) -> None:
        """Attention between the streams. Each direction sees both as they were before the other direction."""
        directions: list[Direction] = [
            direction
            for direction in DIRECTIONS
            if streams[direction[0]].enabled and not perturbations.all_in_batch(direction[-1], block_idx)
        ]
        if not directions:
            return
        inputs, gates = {}, {}
        for stream, args in streams.items():
            assert args.cross is not None
            table, gate = mx.split(self[f"scale_shift_table_a2v_ca_{stream}"], [4])
            values = AdaValues(table, args.cross.scale_shift_timestep)
            gates[stream] = AdaValues(gate, args.cross.gate_timestep)
            affines = [Affine(values, *rows) for *_, rows, _ in directions]
            inputs[stream] = iter(hidden[stream].normed(self.norm_eps, *affines))
        for stream, source, name, _, skip in directions:
            args, other = streams[stream], streams[source]
            assert args.cross is not None
            assert other.cross is not None
            update = self[name](
                next(inputs[stream]),
                context=next(inputs[source]),
                pe=args.cross.positional_embeddings,
                k_pe=other.cross.positional_embeddings,
            )
            values = gates[stream]
            if perturbations.any_in_batch(skip, block_idx):
                values = values.times(perturbations.mask(skip, block_idx, update.dtype))
            hidden[stream].add(update, Gate(values, 0))

    def feed_forward(self, stream: str, hidden: Residual, values: AdaValues) -> None:
        """The feed-forward part of one stream."""
        (x,) = hidden.normed(self.norm_eps, Affine(values, scale=4, shift=3))
        hidden.add(self[f"{PREFIX[stream]}ff"](x), Gate(values, 5))
