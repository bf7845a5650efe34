"""Cases of the sampling maths (ltx-core) that need no network."""

from collections.abc import Callable, Iterator
from typing import Any

import ltx_core as core
import mlx.core as mx
import numpy as np
from ltx_core.loops import StepEvent
from ltx_core.noisers import NoiseFn

from tests.parity.harness import Case, Values, covers


@covers("schedulers", kind="component")
def schedulers(case: Case) -> Values:
    values: dict[str, mx.array] = {
        "distilled": mx.array(core.DISTILLED_SIGMA_VALUES),
        "distilled_stage_2": mx.array(core.STAGE_2_DISTILLED_SIGMA_VALUES),
    }
    for name, call in case.args["calls"].items():
        arguments = {key: value for key, value in call.items() if key not in ("scheduler", "latent_shape")}
        if call["latent_shape"] is not None:
            arguments["latent"] = mx.zeros(call["latent_shape"])
        values[name] = getattr(core, call["scheduler"])().execute(**arguments)
    return values


@covers("guiders", kind="component")
def guiders(case: Case) -> Values:
    values: dict[str, Any] = {}
    for kind in sorted({name.partition(".")[0] for name in case.inputs} - {"factory"}):
        given = {
            name.partition(".")[2]: array
            for name, array in case.inputs.items()
            if name.startswith(f"{kind}.")
        }
        cond = given["cond"]
        for name, call in case.args["guiders"].items():
            guider = getattr(core, call["class"])(**{k: v for k, v in call.items() if k != "class"})
            delta = guider.delta(cond, given["uncond"])
            values[f"{kind}.{name}.delta"] = delta
            values[f"{kind}.{name}.result"] = cond + delta
        legacy = core.LegacyStatefulAPGGuider(**case.args["legacy_apg"])
        for index, name in enumerate(("uncond", "uncond_1", "uncond_2")):
            values[f"{kind}.legacy_apg.delta_{index}"] = legacy.delta(cond, given[name])
        for name, call in case.args["multimodal"].items():
            params = core.MultiModalGuiderParams(**{k: v for k, v in call.items() if k != "missing"})
            others = [
                0.0 if other in call.get("missing", ()) else given[other]
                for other in ("uncond", "perturbed", "modality")
            ]
            values[f"{kind}.{name}"] = core.MultiModalGuider(params).calculate(cond, *others)
    factory = core.MultiModalGuiderFactory.from_dict(
        {bound: core.MultiModalGuiderParams(cfg_scale=scale) for bound, scale in case.args["factory"]}
    )
    sigmas = case.inputs["factory.sigmas"].tolist()
    values["factory.cfg_scale"] = np.array(
        [factory.build_from_sigma(sigma).params.cfg_scale for sigma in sigmas], np.float32
    )
    rows, columns = case.outputs["skip_step"].shape
    values["skip_step"] = np.array(
        [
            [
                core.MultiModalGuider(core.MultiModalGuiderParams(skip_step=skip)).should_skip_step(step)
                for step in range(columns)
            ]
            for skip in range(rows)
        ],
        np.int32,
    )
    return values


@covers("diffusion_steps", kind="component")
def diffusion_steps(case: Case) -> Values:
    given = case.inputs
    sample, denoised, sigmas = given["sample"], given["denoised"], given["sigmas"]
    values: dict[str, Any] = {
        "velocity": core.to_velocity(sample, sigmas[1], denoised),
        "to_denoised": core.to_denoised(sample, denoised, given["per_token_sigma"]),
        "noise_normalized": core.standardized(lambda like: like)(given["noise_raw"]),
    }
    for index in range(sigmas.size - 1):
        values[f"euler_{index}"] = core.EulerDiffusionStep().step(sample, denoised, sigmas, index)
        values[f"res2s_{index}"] = core.Res2sDiffusionStep().step(
            sample, denoised, sigmas, index, given["noise"]
        )
    steps = given["h"].tolist()
    values["res2s_coefficients"] = np.array(
        [core.get_res2s_coefficients(h, c2=0.5) for h in steps], np.float32
    )
    values["phi"] = np.array([[core.phi(1, -h), core.phi(2, -h)] for h in [*steps, 0.0]], np.float32)
    sde = {name: np.array(given[f"sde.{name}"]) for name in ("sigma_next", "sigma_up", "sigma_down")}
    for prefix, by in (("sde", "sigma_up"), ("sde_down", "sigma_down")):
        result = core.Res2sDiffusionStep.get_sde_coeff(sde["sigma_next"], **{by: sde[by]})
        for name, value in zip(("alpha_ratio", "sigma_down", "sigma_up"), result, strict=True):
            values[f"{prefix}.{name}"] = value.astype(np.float32)
    return values


@covers("euler_ancestral_step", kind="component")
def euler_ancestral_step(case: Case) -> Values:
    given = case.inputs
    values: dict[str, mx.array] = {}
    for name in case.outputs:  # eta<eta>_s<s_noise>: one row per step of the schedule
        eta, s_noise = (float(part.strip("etas")) for part in name.split("_"))
        stepper = core.EulerAncestralDiffusionStep(eta, s_noise)
        values[name] = mx.stack(
            [
                stepper.step(given["sample"], given["denoised"], given["sigmas"], index, noise=given["noise"])
                for index in range(given["sigmas"].size - 1)
            ]
        )
    return values


@covers("noisers", kind="component")
def noisers(case: Case) -> Values:
    given = case.inputs
    state = core.LatentState(
        latent=given["latent"],
        denoise_mask=given["denoise_mask"],
        positions=mx.zeros((1,)),
        clean_latent=given["latent"],
    )
    noiser = core.GaussianNoiser(lambda latent: given["noise"])
    return {name: noiser(state, scale).latent for name, scale in case.args["noise_scale"].items()}


@covers("patchifiers", kind="component")
def patchifiers(case: Case) -> Values:
    values: dict[str, Any] = {}
    for name, call in case.args["video"].items():
        latent = case.inputs[name]
        shape = core.VideoLatentShape.from_shape(latent.shape)
        patchifier = core.VideoLatentPatchifier(call["patch_size"])
        tokens = patchifier.patchify(latent)
        bounds = patchifier.get_patch_grid_bounds(shape)
        causal = core.get_pixel_coords(bounds, core.VIDEO_SCALE_FACTORS, causal_fix=True)
        values |= {
            f"{name}.tokens": tokens,
            f"{name}.unpatchified": patchifier.unpatchify(tokens, shape),
            f"{name}.bounds": bounds,
            f"{name}.pixels": core.get_pixel_coords(bounds, core.VIDEO_SCALE_FACTORS),
            f"{name}.pixels_causal": causal,
            f"{name}.positions": core.to_positions(causal, call["fps"]),
        }
    for name, call in case.args["audio"].items():
        latent = case.inputs[name]
        shape = core.AudioLatentShape.from_shape(latent.shape)
        patchifier = core.AudioPatchifier(patch_size=latent.shape[-1], **call)
        tokens = patchifier.patchify(latent)
        values |= {
            f"{name}.tokens": tokens,
            f"{name}.unpatchified": patchifier.unpatchify(tokens, shape),
            f"{name}.positions": patchifier.get_patch_grid_bounds(shape),
        }
    rows = []
    for frames, height, width, fps in case.inputs["shapes"].tolist():
        pixels = core.VideoPixelShape(1, int(frames), int(height), int(width), fps)
        video = core.VideoLatentShape.from_pixel_shape(pixels)
        audio = core.AudioLatentShape.from_video_pixel_shape(pixels)
        rows.append([*video[2:], audio.frames, *video.upscale()[2:]])
    values["shapes"] = np.array(rows, np.int32)
    return values


def conditioning_item(item: dict[str, Any], inputs: dict[str, mx.array]) -> core.ConditioningItem:
    """The conditioning item that a case describes."""
    latent = inputs[item["latent"]]
    made: core.ConditioningItem
    match item["type"]:
        case "latent_index":
            made = core.VideoConditionByLatentIndex(latent, item["strength"], item["latent_idx"])
        case "keyframe":
            made = core.VideoConditionByKeyframeIndex(latent, item["frame_idx"], item["strength"])
        case "reference":
            made = core.VideoConditionByReferenceLatent(
                latent, downscale_factor=item["downscale_factor"], strength=item["strength"]
            )
        case other:
            raise ValueError(f"unknown conditioning item {other!r}")
    if "attention" in item:
        strength = item["attention"]
        made = core.ConditioningItemAttentionStrengthWrapper(
            made, inputs[strength] if isinstance(strength, str) else strength
        )
    return made


def _state(prefix: str, state: core.LatentState, *names: str) -> dict[str, mx.array]:
    return {f"{prefix}.{name}": value for name in names if (value := getattr(state, name, None)) is not None}


STATE = ("latent", "clean_latent", "denoise_mask", "positions", "attention_mask")


@covers("conditioning_video", kind="component")
def conditioning_video(case: Case) -> Values:
    shape = core.VideoLatentShape(*case.args["target_shape"])
    tools = core.VideoLatentTools(core.VideoLatentPatchifier(1), shape, case.args["fps"])

    def apply(state: core.LatentState, items: list[dict[str, Any]]) -> core.LatentState:
        return core.state_with_conditionings(
            state, [conditioning_item(item, case.inputs) for item in items], tools
        )

    values: dict[str, mx.array] = {}
    for name, items in case.args["items"].items():
        values |= _state(name, apply(tools.create_initial_state(), items), *STATE)
    from_initial = tools.create_initial_state(initial_latent=case.inputs["initial_latent"])
    values |= _state("from_initial", from_initial, *STATE)
    cleared = tools.clear_conditioning(apply(from_initial, case.args["clear"]))
    values |= _state("cleared", cleared, *STATE)
    values |= _state("unpatchified", tools.unpatchify(cleared), "latent", "denoise_mask")
    half = tools.create_initial_state(mx.bfloat16)
    values |= _state("bf16", half, "positions")
    values |= _state("bf16_keyframe", apply(half, case.args["items"]["keyframe_mid"]), "positions")
    return values


@covers("conditioning_audio", kind="component")
def conditioning_audio(case: Case) -> Values:
    values: dict[str, mx.array] = {}
    for name, latent in case.inputs.items():
        shape = core.AudioLatentShape.from_shape(latent.shape)
        tools = core.AudioLatentTools(core.AudioPatchifier(shape.mel_bins), shape)
        state = tools.create_initial_state(initial_latent=latent)
        label = name.replace("latent_", "state_")
        values |= _state(label, state, *STATE)
        values[f"{label}.unpatchified"] = tools.unpatchify(state).latent
    return values


@covers("conditioning_masks", kind="component")
def conditioning_masks(case: Case) -> Values:
    sizes = (case.args["num_noisy"], case.args["num_new"], case.args["num_existing"])
    cross = case.inputs["cross_mask"]
    values = {
        "mask_none": core.build_attention_mask(None, *sizes, cross),
        "mask_existing": core.build_attention_mask(case.inputs["existing"], *sizes, cross),
    }
    repeat = case.args["repeat"]
    for index, grid in enumerate(case.args["latent_grids"]):
        mask = case.inputs[f"pixel_mask_{index}"]
        mask = mx.repeat(mx.repeat(mask, repeat, axis=3), repeat, axis=4)
        target = core.VideoLatentShape(mask.shape[0], 1, *grid)
        values[f"latent_mask_{index}"] = core.downsample_mask_video_to_latent(mask, target)
    return values


def analytic_denoiser(
    video: core.LatentState | None, audio: core.LatentState | None, sigmas: Any, step_index: int
) -> tuple[mx.array | None, mx.array | None]:
    """The denoiser of the sampler cases."""
    assert video is not None
    assert audio is not None
    sigma = float(sigmas[step_index])
    x, y = video.latent, audio.latent
    return 0.9 * mx.tanh(x) - 0.2 * sigma * x, 0.5 * y * (1 - sigma) + 0.1 * mx.cos(y)


def _start(case: Case, stream: str) -> core.LatentState:
    given = {
        name: case.inputs[f"{stream}.{key}"]
        for name, key in (("latent", "latent"), ("clean_latent", "clean"), ("denoise_mask", "denoise_mask"))
    }
    return core.LatentState(positions=mx.zeros((1,)), **given)


def collect(loop: Iterator[StepEvent], *, prefix: str = "", drop_last: bool = False) -> dict[str, mx.array]:
    """Final latents and those after every step, as the sampler cases name them."""
    events = list(loop)
    steps = events[:-1] if drop_last else events
    values: dict[str, mx.array] = {}
    for stream in ("video", "audio"):
        values[f"{prefix}{stream}.final"] = getattr(events[-1], stream).latent
        values[f"{prefix}{stream}.steps"] = mx.stack([getattr(event, stream).latent for event in steps])
    return values


@covers("sampler_euler", kind="component")
def sampler_euler(case: Case) -> Values:
    return collect(
        core.euler_denoising_loop(
            case.inputs["sigmas"],
            _start(case, "video"),
            _start(case, "audio"),
            core.EulerDiffusionStep(),
            analytic_denoiser,
        )
    )


@covers("sampler_gradient_estimating_euler", kind="component")
def sampler_gradient_estimating_euler(case: Case) -> Values:
    values: dict[str, mx.array] = {}
    for name, gamma in case.args["gamma"].items():
        loop = core.gradient_estimating_euler_denoising_loop(
            case.inputs["sigmas"],
            _start(case, "video"),
            _start(case, "audio"),
            core.EulerDiffusionStep(),
            analytic_denoiser,
            ge_gamma=gamma,
        )
        values |= collect(loop, prefix=f"{name}.", drop_last=True)
    return values


class RecordingStep(core.Res2sDiffusionStep):
    """A res_2s step that keeps what it returns."""

    def __init__(self) -> None:
        self.results: list[mx.array] = []

    def step(self, *args: Any, **kwargs: Any) -> mx.array:
        self.results.append(super().step(*args, **kwargs))
        return self.results[-1]


def replay_alternating(video: mx.array, audio: mx.array) -> tuple[NoiseFn, NoiseFn]:
    """(noise, substep_noise) from recorded draws: index 2 k is step k's substep, 2 k + 1 its step."""

    def replay(start: int) -> Callable[[mx.array], mx.array]:
        draws = iter([draw[index] for index in range(start, len(video), 2) for draw in (video, audio)])
        return lambda like: next(draws)

    return replay(1), replay(0)


@covers("sampler_res2s", kind="component")
def sampler_res2s(case: Case) -> Values:
    values: dict[str, mx.array] = {}
    for name, variant in case.args["variants"].items():
        noise, substep_noise = replay_alternating(case.inputs["video.noise"], case.inputs["audio.noise"])
        stepper = RecordingStep()
        sigmas = case.inputs["sigmas"]
        video, audio = core.run(
            core.res2s_audio_video_denoising_loop(
                sigmas[:-1] if variant["drop_last"] else sigmas,
                _start(case, "video"),
                _start(case, "audio"),
                stepper,
                analytic_denoiser,
                noise=noise,
                substep_noise=substep_noise,
                bongmath=variant["bongmath"],
                legacy_mode=variant["legacy_mode"],
            )
        )
        assert video is not None
        assert audio is not None
        values[f"{name}.video.final"] = video.latent
        values[f"{name}.audio.final"] = audio.latent
        values[f"{name}.video.steps"] = mx.stack(stepper.results[0::2])
        values[f"{name}.audio.steps"] = mx.stack(stepper.results[1::2])
    return values
