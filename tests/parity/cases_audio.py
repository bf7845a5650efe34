"""Audio VAE, mel front end and vocoders."""

import mlx.core as mx
from ltx_core.types import Audio
from ltx_models.audio_vae import AudioProcessor, AudioVAEConfig, decode_audio, encode_audio
from ltx_models.vocoder import VocoderWithBWE
from ltx_models.vocoder.antialias import hann_sinc_filter

from tests.parity.harness import Case, covers

Values = dict[str, mx.array]


def _config(case: Case) -> AudioVAEConfig:
    return AudioVAEConfig.from_config(case.checkpoint.config["audio_vae"])


@covers("audio_decode", kind="network")
def audio_decode(case: Case) -> Values:
    decoder = case.build("audio_decoder")
    return {name: decoder(latent) for name, latent in case.inputs.items()}


@covers("audio_encode", kind="network")
def audio_encode(case: Case) -> Values:
    encoder = case.build("audio_encoder")
    values = {name: encoder(mel) for name, mel in case.inputs.items() if name != "waveform"}
    audio = Audio(case.inputs["waveform"], encoder.config.sample_rate)
    return {**values, "end_to_end": encode_audio(audio, encoder)}


@covers("audio_mel", kind="component")
def audio_mel(case: Case) -> Values:
    processor = AudioProcessor.from_config(_config(case))
    values: Values = {}
    for name, waveform in case.inputs.items():
        audio = Audio(waveform, case.args["sampling_rate"][name])
        values[name] = processor.waveform_to_mel(audio)
        if audio.sampling_rate != processor.target_sample_rate:
            values[f"{name}.resampled"] = processor.resample_audio(audio).waveform
    return values


@covers("vocoder", kind="network")
def vocoder(case: Case) -> Values:
    network = case.build("vocoder")
    decoder = case.build("audio_decoder")
    decoded = decode_audio(case.inputs["latent"], decoder, network)
    assert decoded.sampling_rate == case.args["sampling_rate"]
    values = {
        "waveform": network(case.inputs["mel"]),
        "waveform_b2": network(case.inputs["mel_b2"]),
        "decode_audio": decoded.waveform,
    }
    if isinstance(network, VocoderWithBWE):
        low_rate = network.vocoder(case.inputs["mel"])
        mel = network.mel_stft(low_rate)
        values |= {
            "low_rate": low_rate,
            "low_rate_mel": mel.swapaxes(2, 3),
            "residual": network.bwe_generator(mel),
            "skip": network.resample(low_rate),
            "resample_filter": mx.array(hann_sinc_filter(network.bwe.ratio))[None, None],
        }
    return values
