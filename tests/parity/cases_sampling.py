"""Cases of whole denoising runs with the tiny transformer."""

from dataclasses import dataclass

import ltx_core as core
import mlx.core as mx
from ltx_core.denoisers import Denoiser, Model

from tests.parity.cases_core import collect, conditioning_item, replay_alternating
from tests.parity.harness import Case, Values, covers


@dataclass(frozen=True)
class Run:
    """A case with its network and latent tools."""

    case: Case
    model: Model
    video: core.VideoLatentTools
    audio: core.AudioLatentTools

    def start(self, noise_scale: float = 1.0) -> tuple[core.LatentState, core.LatentState]:
        """Both states, conditioned and noised."""
        inputs = self.case.inputs
        items = [conditioning_item(item, inputs) for item in self.case.args.get("items", ())]
        video, audio = (
            core.create_noised_state(
                tools,
                conditionings,
                core.GaussianNoiser(lambda latent, stream=stream: inputs[f"{stream}.noise"]),
                noise_scale=noise_scale,
                initial_latent=inputs.get(f"initial_{stream}"),
            )
            for stream, tools, conditionings in (("video", self.video, items), ("audio", self.audio, []))
        )
        return video, audio

    def simple(self) -> Denoiser:
        inputs = self.case.inputs
        return core.SimpleDenoiser(self.model, inputs["video.context"], inputs["audio.context"])

    def finish(self, values: dict[str, mx.array], prefix: str = "") -> dict[str, mx.array]:
        """Final tokens as latents, without appended ones."""
        for stream, tools in (("video", self.video), ("audio", self.audio)):
            name = f"{prefix}{stream}.final"
            tokens = values[name][:, : tools.num_tokens]
            values[name] = tools.patchifier.unpatchify(tokens, tools.target_shape)
        return values


def _open(case: Case) -> Run:
    args = case.args
    return Run(
        case,
        core.X0Model(case.build("transformer")),
        core.VideoLatentTools(
            core.VideoLatentPatchifier(1), core.VideoLatentShape(*args["video_shape"]), args["fps"]
        ),
        core.AudioLatentTools(core.AudioPatchifier(1), core.AudioLatentShape(*args["audio_shape"])),
    )


def _starts(video: core.LatentState, audio: core.LatentState) -> dict[str, mx.array]:
    return {"video.start": video.latent, "audio.start": audio.latent}


@covers("sampling_simple", kind="network")
def sampling_simple(case: Case) -> Values:
    run = _open(case)
    states = run.start()
    sigmas, step = case.inputs["sigmas"], core.EulerDiffusionStep()
    euler = core.euler_denoising_loop(sigmas, *states, step, run.simple())
    values = run.finish(collect(euler))
    estimating = core.gradient_estimating_euler_denoising_loop(sigmas, *states, step, run.simple())
    prefix = "gradient_estimating."
    return _starts(*states) | values | run.finish(collect(estimating, prefix=prefix, drop_last=True), prefix)


@covers("sampling_image_to_video", kind="network")
def sampling_image_to_video(case: Case) -> Values:
    run = _open(case)
    sigmas = case.inputs["sigmas"]
    states = run.start(noise_scale=sigmas[0].item())
    loop = core.euler_denoising_loop(sigmas, *states, core.EulerDiffusionStep(), run.simple())
    return _starts(*states) | run.finish(collect(loop))


@covers("sampling_guided", kind="network")
def sampling_guided(case: Case) -> Values:
    run = _open(case)
    inputs = case.inputs
    states = run.start()
    values = _starts(*states)
    for name, params in case.args["guiders"].items():
        video_guider, audio_guider = (
            core.MultiModalGuider(
                core.MultiModalGuiderParams(**params[stream]), inputs[f"{stream}.negative_context"]
            )
            for stream in ("video", "audio")
        )
        denoiser = core.GuidedDenoiser(
            run.model, inputs["video.context"], inputs["audio.context"], video_guider, audio_guider
        )
        loop = core.euler_denoising_loop(inputs["sigmas"], *states, core.EulerDiffusionStep(), denoiser)
        values |= run.finish(collect(loop, prefix=f"{name}."), f"{name}.")
    return values


@covers("sampling_res2s", kind="network")
def sampling_res2s(case: Case) -> Values:
    run = _open(case)
    states = run.start()
    noise, substep_noise = replay_alternating(
        case.inputs["video.step_noise"], case.inputs["audio.step_noise"]
    )
    loop = core.res2s_audio_video_denoising_loop(
        case.inputs["sigmas"], *states, core.Res2sDiffusionStep(), run.simple(), noise, substep_noise
    )
    values = run.finish(collect(loop))
    return _starts(*states) | {name: value for name, value in values.items() if name.endswith("final")}
