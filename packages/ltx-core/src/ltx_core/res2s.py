"""Coefficients of res_2s, a second-order exponential Runge-Kutta method with noise (host side, float64).

Derivation: "Refined Exponential Solver", arXiv:2308.02157; the steps are in h = log(sigma / sigma_next).
"""

import math


def phi(j: int, neg_h: float) -> float:
    """phi_j(z) = (e^z - sum_{k<j} z^k / k!) / z^j at z = `neg_h`; 1 / j! at 0.

    Near 0 the numerator cancels, so the series sum_k z^k / (k + j)! is used there.
    """
    if abs(neg_h) < 0.5:
        return sum(neg_h**k / math.factorial(k + j) for k in range(16))
    return (math.exp(neg_h) - sum(neg_h**k / math.factorial(k) for k in range(j))) / neg_h**j


def get_res2s_coefficients(h: float, c2: float = 0.5) -> tuple[float, float, float]:
    """(a21, b1, b2) of one step: a21 places the substep, b1 and b2 weigh the two evaluations.

    Args:
        h: log(sigma / sigma_next).
        c2: position of the substep, as a fraction of h.
    """
    b2 = phi(2, -h) / c2
    return c2 * phi(1, -h * c2), phi(1, -h) - b2, b2


def refine_anchor(q: float, iterations: int) -> tuple[float, float]:
    """Weights of `iterations` rounds of anchor <- middle - q * (x0 - anchor), the "bong" refinement.

    Returns (w_anchor, w_target) such that the result is w_anchor * anchor + w_target * (middle - q * x0):
    the iteration is linear, so its n rounds have a closed form.
    """
    power = q**iterations
    return power, (1 - power) / (1 - q)
