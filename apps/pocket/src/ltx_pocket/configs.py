"""What the pocket model's autoencoders are made of: sections of the checkpoint's config, official keys.

The transformer's and the text encoder's sections stand in a module of their own. Features are LTX-2.3's;
only widths and depths are small. `tiny` sections make networks of a few thousand weights, for tests.
"""

from typing import Any

Section = dict[str, Any]

WIDTH, HEIGHT, NUM_FRAMES, FRAME_RATE = 256, 256, 33, 16.0
"""The native clip."""

LATENT_CHANNELS = 64
"""Of the video latent: a compression of 32 x 32 x 8 pixels x 3 to 64 numbers."""


def _blocks(suffix: str, *entries: tuple[str, int]) -> list[list[Any]]:
    """Residual blocks ("res", how many) and resamplings ("space", "time", "all": multiplier), official names.

    Args:
        suffix: "_res" for the encoder's resampling blocks.
    """
    return [
        ["res_x", {"num_layers": value}]
        if kind == "res"
        else [f"compress_{kind}{suffix}", {"multiplier": value}]
        for kind, value in entries
    ]


def video_vae(size: str = "pocket") -> Section:
    """`vae`: 32 x 32 x 8 pixels per latent; about 4 M weights.

    Most residual blocks work on 8 x 8 pixels of each frame: with 64 channels there and none of them on 4 x 4
    pixels, a step takes half the time of the same weights spread evenly, and memory less.
    """
    tiny = size == "tiny"
    encoder = [("space", 1), ("res", 1), ("time", 1), ("all", 1), ("res", 1), ("all", 1), ("res", 1)]
    # Listed in the encoder's order, run from the last to the first.
    decoder = [("space", 2), ("res", 2), ("time", 1), ("space", 1), ("time", 1), ("res", 1)]
    decoder += [("space", 1), ("time", 1), ("res", 1)]
    if tiny:
        encoder = [("space", 1), ("time", 1), ("all", 1), ("all", 1), ("res", 1)]
        decoder = [("space", 1), ("res", 1), ("time", 1), ("all", 1), ("all", 2), ("res", 1)]
    return {
        "_class_name": "CausalVideoAutoencoder",
        "dims": 3,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 16 if tiny else LATENT_CHANNELS,
        "patch_size": 4,
        "norm_layer": "pixel_norm",
        "latent_log_var": "uniform",
        "use_quant_conv": False,
        "causal_decoder": False,
        "timestep_conditioning": False,
        "normalize_latent_channels": False,
        "encoder_base_channels": 16 if tiny else LATENT_CHANNELS,
        # The decoder starts with twice this width, and halves it once.
        "decoder_base_channels": 8 if tiny else 32,
        "spatial_padding_mode": "zeros",
        "scaling_factor": 1.0,
        "encoder_blocks": _blocks("_res", *encoder),
        "decoder_blocks": _blocks("", *decoder),
    }


SAMPLE_RATE = 16000
"""Rate in Hz of the audio VAE's spectrograms and of the vocoder's first stage."""

OUTPUT_RATE = 48000
"""Rate in Hz of the sound that comes out."""

MEL_BINS = 64
MEL_HOP = 160

AUDIO_CHANNELS = 2
"""Of the audio latent. A quarter of the released models' number: the transformer must be wider than its
tokens, and with 4 the spectrograms came out no better."""


def audio_vae(size: str = "pocket") -> Section:
    """`audio_vae`: 25 latents a second of 2 channels x 16 bins; about 0.5 M weights."""
    tiny = size == "tiny"
    return {
        "model": {
            "params": {
                "ddconfig": {
                    "double_z": True,
                    "mel_bins": MEL_BINS,
                    "z_channels": AUDIO_CHANNELS,
                    "resolution": 256,
                    "downsample_time": False,
                    "in_channels": 2,
                    "out_ch": 2,
                    "ch": 8 if tiny else 24,
                    "ch_mult": [1, 1, 1] if tiny else [1, 2, 2],
                    "num_res_blocks": 1,
                    "attn_resolutions": [],
                    "dropout": 0.0,
                    "mid_block_add_attention": False,
                    "norm_type": "pixel",
                    "causality_axis": "height",
                },
                "sampling_rate": SAMPLE_RATE,
            }
        },
        "preprocessing": {
            "audio": {"sampling_rate": SAMPLE_RATE, "max_wav_value": 32768, "duration": 2.06, "stereo": True},
            "stft": {"filter_length": 1024, "hop_length": MEL_HOP, "win_length": 1024, "causal": True},
            "mel": {"n_mel_channels": MEL_BINS, "mel_fmin": 0, "mel_fmax": SAMPLE_RATE // 2},
        },
    }


def _generator(channels: int, rates: list[int], kernels: list[int], dilations: list[int]) -> Section:
    """One of the vocoder's two networks: one residual block per stage, of kernel 7."""
    return {
        "upsample_initial_channel": channels,
        "resblock": "AMP1",
        "upsample_rates": rates,
        "upsample_kernel_sizes": kernels,
        "resblock_kernel_sizes": [7],
        "resblock_dilation_sizes": [dilations],
        "stereo": True,
        "use_tanh_at_final": False,
        "activation": "snakebeta",
        "use_bias_at_final": False,
    }


def vocoder(size: str = "pocket") -> Section:
    """`vocoder`: a generator of 16 kHz and one that extends its band to 48 kHz; about 0.75 M weights."""
    tiny = size == "tiny"
    base, extension = (16, 16) if tiny else (128, 96)
    dilations = [1] if tiny else [1, 3, 5]
    return {
        "vocoder": _generator(base, [8, 5, 4], [16, 11, 8], dilations),
        "bwe": {
            **_generator(extension, [6, 5, 8], [12, 11, 16], dilations[:2]),
            "apply_final_activation": False,
            "input_sampling_rate": SAMPLE_RATE,
            "output_sampling_rate": OUTPUT_RATE,
            "hop_length": 80,
            # Half of the released models' window: its basis would be a fifth of all audio weights.
            "n_fft": 256,
            "win_size": 256,
            "num_mels": MEL_BINS,
        },
    }


def upscaler(axis: str, size: str = "pocket") -> Section:
    """The config of an upscaler file.

    Args:
        axis: "space" (twice the height and width) or "time" (twice the frames).
    """
    tiny = size == "tiny"
    return {
        "_class_name": "LatentUpsampler",
        "in_channels": 16 if tiny else LATENT_CHANNELS,
        # Normalised in 32 groups, so 32 is the least; twice as many brought no smaller errors.
        "mid_channels": 32,
        "num_blocks_per_stage": 1 if tiny or axis == "time" else 2,
        "dims": 3,
        "spatial_upsample": axis == "space",
        "temporal_upsample": axis == "time",
        "spatial_scale": 2.0,
        "rational_resampler": False,
    }


def scheduler() -> Section:
    """`scheduler`: part of every official config, though the pipelines make their own sigmas."""
    return {
        "_class_name": "RectifiedFlowScheduler",
        "num_train_timesteps": 1000,
        "shifting": None,
        "base_resolution": None,
        "sampler": "LinearQuadratic",
    }
