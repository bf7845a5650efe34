"""The samplers of ltx-core on a network of your own: a flow that draws a spiral, trained here in seconds.

uv run python apps/scripts/samplers_only.py

Nothing of LTX-2 but its sampling maths is used. What a sampler needs is a network that predicts the velocity
`noise - data` at x = (1 - sigma) * data + sigma * noise, and a state of tokens (B, T, D).
"""

import argparse

import ltx_core as core  # before mlx: it brings in a fast BLAS
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--training-steps", type=int, default=1500)
options.add_argument("--points", type=int, default=1000)
arguments = options.parse_args()


class Flow(nn.Module):
    """Velocities (N, 2) of points (N, 2) at noise levels (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(3, 128), nn.Linear(128, 128), nn.Linear(128, 128), nn.Linear(128, 2)]

    def __call__(self, x: mx.array, sigma: mx.array) -> mx.array:
        x = mx.concatenate([x, sigma], axis=-1)
        for layer in self.layers[:-1]:
            x = nn.silu(layer(x))
        return self.layers[-1](x)


def spiral(where: mx.array) -> mx.array:
    """Points for numbers in [0, 1]: (..., 2)."""
    angle = 4 * mx.pi * mx.sqrt(where)
    return angle[..., None] / (2 * mx.pi) * mx.stack([mx.cos(angle), mx.sin(angle)], axis=-1)


def loss(flow: Flow) -> mx.array:
    data, noise = spiral(mx.random.uniform(shape=(512,))), mx.random.normal((512, 2))
    sigma = mx.random.uniform(shape=(512, 1))
    return mx.mean((flow((1 - sigma) * data + sigma * noise, sigma) - (noise - data)) ** 2)


mx.random.seed(0)
flow, optimizer = Flow(), optim.Adam(optim.cosine_decay(3e-3, arguments.training_steps))
step = nn.value_and_grad(flow, lambda: loss(flow))
for _ in range(arguments.training_steps):
    value, gradients = step()
    optimizer.update(flow, gradients)
    mx.eval(flow.parameters(), optimizer.state)


def velocity(
    video: core.Modality | None, audio: core.Modality | None, _: object
) -> tuple[mx.array | None, mx.array | None]:
    """The network as the denoisers call it: "video" alone, with the noise level of every token."""
    assert video is not None
    return flow(video.latent, video.timesteps), None


denoiser = core.SimpleDenoiser(core.X0Model(velocity), v_context=mx.zeros((1, 1, 1)), a_context=None)
noise = core.RandomNoise(0)
count = arguments.points
state = core.LatentState(
    latent=noise(mx.zeros((1, count, 2))),
    denoise_mask=mx.ones((1, count, 1)),
    positions=mx.zeros((1, 1, count, 2)),
    clean_latent=mx.zeros((1, count, 2)),
)
euler, heun, ancestral = (
    core.EulerDiffusionStep(),
    core.HeunDiffusionStep(),
    core.EulerAncestralDiffusionStep(),
)
samplers = {
    "Euler": lambda s: core.euler_denoising_loop(s, state, None, euler, denoiser),
    "ancestral Euler": lambda s: core.euler_denoising_loop(s, state, None, ancestral, denoiser, noise=noise),
    "gradient estimation": lambda s: core.gradient_estimating_euler_denoising_loop(
        s, state, None, euler, denoiser
    ),
    "Heun": lambda s: core.heun_denoising_loop(s, state, None, heun, denoiser),
    "res_2s": lambda s: core.res2s_audio_video_denoising_loop(
        s,
        state,
        None,
        core.Res2sDiffusionStep(),
        denoiser,
        core.standardized(noise),
        core.standardized(noise),
    ),
}
scheduler = core.LTX2Scheduler()
ground = spiral(mx.linspace(0, 1, 2000))
print("mean distance of the drawn points from the spiral")
print(f"{'steps':<20}" + "".join(f"{steps:>8}" for steps in (4, 8, 16, 32)))
for name, sample in samplers.items():
    distances = []
    for steps in (4, 8, 16, 32):
        video, _ = core.run(sample(scheduler.execute(steps, default_number_of_tokens=1024)))
        assert video is not None
        away = mx.min(mx.linalg.norm(video.latent[0, :, None] - ground, axis=-1), axis=-1)
        distances.append(mx.mean(away).item())
    print(f"{name:<20}" + "".join(f"{distance:8.3f}" for distance in distances))
