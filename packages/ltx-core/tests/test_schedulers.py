"""Schedules, and the beta quantiles that one of them needs."""

import math

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ltx_core.beta_distribution import beta_quantile, regularised_incomplete_beta

shape = st.floats(0.2, 5.0)


def check_schedule(sigmas: mx.array) -> None:
    values = np.array(sigmas)
    assert values.dtype == np.float32
    assert values[-1] == 0
    assert 0.99 < values[0] <= 1
    assert (np.diff(values) < 0).all()


@settings(max_examples=50, deadline=None)
@given(
    steps=st.integers(2, 60),
    frames=st.integers(1, 16),
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    terminal=st.floats(0.01, 0.3),
)
def test_ltx2_decreases_from_1_to_0_through_the_terminal(
    steps: int, frames: int, rows: int, columns: int, terminal: float
) -> None:
    sigmas = core.LTX2Scheduler().execute(steps, mx.zeros((1, 2, frames, rows, columns)), terminal=terminal)
    assert sigmas.shape == (steps + 1,)
    check_schedule(sigmas)
    assert sigmas[-2].item() == pytest.approx(terminal, abs=1e-5)


def test_more_tokens_mean_more_noise() -> None:
    few, many = (core.LTX2Scheduler().execute(20, default_number_of_tokens=tokens) for tokens in (1024, 4096))
    assert mx.all(few[1:-2] < many[1:-2])


def test_without_stretch_the_schedule_is_the_shifted_line() -> None:
    sigmas = np.array(core.LTX2Scheduler().execute(1, stretch=False))
    np.testing.assert_allclose(sigmas, [1, 0], atol=1e-6)


@pytest.mark.parametrize("arguments", [{"steps": 1}, {"steps": 20, "default_number_of_tokens": 10**7}])
def test_nothing_to_stretch_is_an_error(arguments: dict[str, int]) -> None:
    with pytest.raises(core.ConfigError, match="cannot be stretched"):
        core.LTX2Scheduler().execute(**arguments)


@pytest.mark.parametrize("terminal", [-0.1, 0.0, 1.0])
def test_terminal_is_a_noise_level(terminal: float) -> None:
    with pytest.raises(core.ConfigError, match="terminal"):
        core.LTX2Scheduler().execute(8, terminal=terminal)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), steps=st.integers(1, 60))
def test_linear_quadratic_decreases_from_1_to_0(data: st.DataObject, steps: int) -> None:
    linear = data.draw(st.none() | st.integers(1, steps))
    sigmas = core.LinearQuadraticScheduler().execute(steps, linear_steps=linear)
    assert sigmas.shape == (steps + 1,)
    check_schedule(sigmas)


@pytest.mark.parametrize("linear_steps", [0, 9])
def test_the_linear_part_is_within_the_schedule(linear_steps: int) -> None:
    with pytest.raises(core.ConfigError, match="linear_steps"):
        core.LinearQuadraticScheduler().execute(8, linear_steps=linear_steps)


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 40), alpha=shape, beta=shape)
def test_beta_decreases_from_1_to_0(steps: int, alpha: float, beta: float) -> None:
    sigmas = core.BetaScheduler().execute(steps, alpha, beta)
    assert 2 <= sigmas.size <= steps + 1
    check_schedule(sigmas)


def test_beta_takes_coinciding_timesteps_once() -> None:
    assert core.BetaScheduler().execute(5000).size < 5001


@pytest.mark.parametrize("arguments", [{"alpha": 0.0}, {"beta": -1.0}])
def test_beta_parameters_are_positive(arguments: dict[str, float]) -> None:
    with pytest.raises(core.ConfigError, match="positive"):
        core.BetaScheduler().execute(8, **arguments)


@pytest.mark.parametrize("scheduler", [core.LTX2Scheduler, core.LinearQuadraticScheduler, core.BetaScheduler])
def test_a_schedule_has_steps(scheduler: type[core.SchedulerProtocol]) -> None:
    with pytest.raises(core.ConfigError, match="at least 1 step"):
        scheduler().execute(0)


def test_distilled_schedules() -> None:
    check_schedule(mx.array(core.DISTILLED_SIGMA_VALUES))
    assert core.DISTILLED_SIGMA_VALUES[-4:] == core.STAGE_2_DISTILLED_SIGMA_VALUES


@settings(max_examples=50, deadline=None)
@given(x=st.floats(0, 1), n=st.integers(1, 6), m=st.integers(1, 6))
def test_incomplete_beta_of_integers_is_a_binomial_sum(x: float, n: int, m: int) -> None:
    total = n + m - 1
    expected = sum(math.comb(total, k) * x**k * (1 - x) ** (total - k) for k in range(n, total + 1))
    assert regularised_incomplete_beta(x, n, m) == pytest.approx(expected, abs=1e-13)


@settings(max_examples=50, deadline=None)
@given(probability=st.floats(0, 1), a=shape, b=shape)
@example(probability=0.9921875, a=0.75, b=0.203125)
def test_quantile_inverts_the_distribution(probability: float, a: float, b: float) -> None:
    x = beta_quantile(probability, a, b)
    # Near 1 float64 has steps of 2^-53, over which a density without bound rises by more than 1e-9.
    spread = 2.0**-58 + np.spacing(x)
    low, high = (regularised_incomplete_beta(x + side * spread, a, b) for side in (-1, 1))
    assert low - 1e-9 <= probability <= high + 1e-9


def test_quantiles_against_known_values() -> None:
    # The arcsine distribution, a = b = 1/2, has quantiles sin^2(pi p / 2).
    for probability in (0.01, 0.25, 0.5, 0.9):
        expected = np.sin(np.pi * probability / 2) ** 2
        assert beta_quantile(probability, 0.5, 0.5) == pytest.approx(expected, abs=1e-14)
