"""What a vocoder is made of, as the checkpoint's metadata says it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value

AUDIO_CHANNELS = 2
DEFAULT_MEL_BINS = 64
DEFAULT_SAMPLING_RATE = 24000


@dataclass(frozen=True)
class GeneratorConfig:
    """One mel-to-waveform network.

    Attributes:
        upsample_initial_channel: width before the first upsampling; every upsampling halves it.
        upsample_rates: factors of the upsamplings, from mel frames to samples.
        upsample_kernel_sizes: their kernels.
        resblock_kernel_sizes: kernels of the parallel residual blocks of a stage.
        resblock_dilation_sizes: dilations inside each of them.
        resblock: "1" (HiFi-GAN: leaky ReLU) or "AMP1" (BigVGAN: anti-aliased snake).
        final_activation: "tanh", "clamp" or None.
        use_bias_at_final: whether the last convolution has a bias.
        mel_bins: mel bands of the input.
        output_sampling_rate: rate of the waveform in Hz.
    """

    upsample_initial_channel: int
    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    resblock: str
    final_activation: str | None
    use_bias_at_final: bool
    mel_bins: int
    output_sampling_rate: int

    @property
    def hop_length(self) -> int:
        """Samples per mel frame."""
        return math.prod(self.upsample_rates)

    @classmethod
    def from_config(
        cls, section: Mapping[str, Any], *, output_sampling_rate: int, apply_final_activation: bool = True
    ) -> Self:
        """From one flat vocoder section. Absent keys have the official defaults.

        Raises:
            ConfigError: for another residual block or activation, a mono network, or lists that do not match.
        """
        resblock = section.get("resblock", "1")
        if resblock not in ("1", "AMP1"):
            raise ConfigError(f"config key 'resblock' is {resblock!r}; supported: '1', 'AMP1'")
        activation = section.get("activation", "snake")
        if resblock == "AMP1" and activation != "snakebeta":
            raise ConfigError(f"config key 'activation' is {activation!r}; supported: 'snakebeta'")
        check_config_value(section, "stereo", True)
        check_config_value(section, "apply_final_activation", apply_final_activation)

        final = "tanh" if section.get("use_tanh_at_final", True) else "clamp"
        dilations = section.get("resblock_dilation_sizes", [[1, 3, 5], [1, 3, 5], [1, 3, 5]])
        config = cls(
            upsample_initial_channel=section.get("upsample_initial_channel", 1024),
            upsample_rates=tuple(section.get("upsample_rates", (6, 5, 2, 2, 2))),
            upsample_kernel_sizes=tuple(section.get("upsample_kernel_sizes", (16, 15, 8, 4, 4))),
            resblock_kernel_sizes=tuple(section.get("resblock_kernel_sizes", (3, 7, 11))),
            resblock_dilation_sizes=tuple(tuple(each) for each in dilations),
            resblock=resblock,
            final_activation=final if apply_final_activation else None,
            use_bias_at_final=section.get("use_bias_at_final", True),
            mel_bins=section.get("num_mels", DEFAULT_MEL_BINS),
            output_sampling_rate=output_sampling_rate,
        )
        config._check()
        return config

    def _check(self) -> None:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ConfigError(
                f"config keys 'upsample_rates' {self.upsample_rates} and 'upsample_kernel_sizes' "
                f"{self.upsample_kernel_sizes} must have the same length"
            )
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ConfigError(
                    f"config key 'upsample_kernel_sizes' has {kernel} for the rate {rate}; supported: the "
                    "rate plus an even number, which makes the length an exact multiple"
                )
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ConfigError(
                f"config keys 'resblock_kernel_sizes' {self.resblock_kernel_sizes} and "
                f"'resblock_dilation_sizes' {self.resblock_dilation_sizes} must have the same length"
            )
        if any(kernel % 2 == 0 for kernel in self.resblock_kernel_sizes):
            raise ConfigError(
                f"config key 'resblock_kernel_sizes' is {self.resblock_kernel_sizes}; supported: odd kernels"
            )
        if self.upsample_initial_channel < 2 ** len(self.upsample_rates):
            raise ConfigError(
                f"config key 'upsample_initial_channel' is {self.upsample_initial_channel}; supported: from "
                f"{2 ** len(self.upsample_rates)}, to be halved {len(self.upsample_rates)} times"
            )


@dataclass(frozen=True)
class BandwidthExtensionConfig:
    """The second stage: a mel spectrogram of the first waveform, and a generator that adds what lies above.

    Attributes:
        generator: predicts the residual at `output_sampling_rate`.
        n_fft: samples of a frame of the mel spectrogram.
        hop_length: samples between frames.
        input_sampling_rate: rate of the first waveform in Hz.
        output_sampling_rate: rate of the result, a multiple of it.
    """

    generator: GeneratorConfig
    n_fft: int
    hop_length: int
    input_sampling_rate: int
    output_sampling_rate: int

    @property
    def ratio(self) -> int:
        """Output samples per input sample."""
        return self.output_sampling_rate // self.input_sampling_rate

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Self:
        """From the `bwe` part of a nested vocoder section.

        Raises:
            ConfigError: for a missing key, rates that are no multiple, or a generator that does not match.
        """
        required = ("n_fft", "hop_length", "input_sampling_rate", "output_sampling_rate")
        if missing := [key for key in required if key not in section]:
            raise ConfigError(f"the 'bwe' section lacks the config keys {', '.join(missing)}")
        n_fft, hop_length, low, high = (section[key] for key in required)
        generator = GeneratorConfig.from_config(
            section, output_sampling_rate=high, apply_final_activation=False
        )
        if high % low:
            raise ConfigError(
                f"config key 'output_sampling_rate' is {high}; supported: a multiple of "
                f"'input_sampling_rate', {low}"
            )
        if generator.hop_length != hop_length * (high // low):
            raise ConfigError(
                f"config key 'upsample_rates' is {generator.upsample_rates}; supported: a product of "
                f"{hop_length * (high // low)}, hop length times rate"
            )
        return cls(generator, n_fft, hop_length, low, high)


@dataclass(frozen=True)
class VocoderConfig:
    """A generator, and a bandwidth extension behind it where the checkpoint has one."""

    generator: GeneratorConfig
    bwe: BandwidthExtensionConfig | None = None

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Self:
        """From the `vocoder` entry of a checkpoint's config: flat, or nested as `vocoder` and `bwe`.

        Raises:
            ConfigError: see `GeneratorConfig.from_config` and `BandwidthExtensionConfig.from_config`.
        """
        if "bwe" not in section:
            rate = section.get("output_sampling_rate", DEFAULT_SAMPLING_RATE)
            return cls(GeneratorConfig.from_config(section, output_sampling_rate=rate))
        if "vocoder" not in section:
            raise ConfigError("the vocoder section has the config key 'bwe' but not 'vocoder'")
        bwe = BandwidthExtensionConfig.from_config(section["bwe"])
        rate = bwe.input_sampling_rate
        return cls(GeneratorConfig.from_config(section["vocoder"], output_sampling_rate=rate), bwe)
