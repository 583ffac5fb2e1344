"""The Allen-Cahn equation: a smooth wave falls apart into two phases with sharp fronts between them."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera import pde
from tessera.pinn.constraints import Chain, Dirichlet, Periodic
from tessera.pinn.geometry import Interval, TimeSlab
from tessera.pinn.networks import MLP
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.reference import allen_cahn as reference
from tessera.pinn.resampling import Resample
from tessera.pinn.sampling import Interior
from tessera.pinn.scalar_fields import fields, value

# The fronts are sqrt(2 diffusion / reaction) wide, 1/300 of the domain: points must gather there.
RESAMPLE = Resample(every=15, adaptive=("interior",))
SLAB = TimeSlab(Interval(-1, 1), 0, reference.END)
# Lowest and highest cos(pi x), sin(pi x) and t.
FEATURES = ((-1.0, -1.0, 0.0), (1.0, 1.0, reference.END))
# Time after which the kink of the start is first rounded, so that no width is zero. It moves u by 1e-6.
EARLIEST = 1e-8


def problem(
    *,
    widths: tuple[int, ...] = (24, 24, 24),
    interior: int = 3000,
    iterations: int = 135,
) -> Problem:
    """Returns the Allen-Cahn equation on -1 <= x <= 1, periodic, from t = 0 to 1.

        u_t = 1e-4 u_xx + 5 u - 5 u^3,   u(x, 0) = x^2 cos(pi x)

    The period and the start are met exactly: u is `start` plus t times a network of sines and cosines. A
    small error at the beginning grows like exp(5 t) where u is near 0, so that the loss must become small
    before the error does. More points are drawn where the residual is large. Lengths are in L, times in T; u
    is a number.

    >>> problem().coordinates
    ('x', 't')
    """
    return Problem(
        name="allen_cahn",
        title="Allen-Cahn equation",
        coordinates=("x", "t"),
        samplers={"interior": Interior(SLAB, interior)},
        terms=(Term("equation", Equation(), unit="1/T"),),
        network=partial(_network, widths),
        fields=fields,
        grid=(np.linspace(-1, 1, 257), np.linspace(0, reference.END, 101)),
        optimizer=(LevenbergMarquardt(iterations, every=5),),
        resample=RESAMPLE,
        truth=reference.solution,
        targets={"u": 5e-4},
        units={"x": "L", "t": "T", "u": "1"},
        source="M. Raissi, P. Perdikaris, G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686-707.",
    )


@dataclass(frozen=True)
class Equation:
    """The residual u_t - diffusion u_xx - reaction (u - u^3)."""

    diffusion: float = reference.DIFFUSION
    reaction: float = reference.REACTION

    def __call__(self, model: Any, at: pde.Field) -> pde.Field:
        """Returns the residual at points (x, t)."""
        u = value(model, at)
        spread = self.diffusion * pde.partial(u, "x", "x")
        return pde.grad(u, "t") - spread - self.reaction * (u - u**3)


def start(points: Any) -> jax.Array:
    """Returns x^2 cos(pi x) with its kink at the ends of the period rounded as diffusion would, at (x, t).

    The slope jumps by 4 there, which a network, being smooth, cannot mend after t = 0. Added is the solution
    of the heat equation that begins as zero and has the opposite jump: in the distance d to the kink,

        2 w (exp(-s^2) / sqrt(pi) - s erfc(s)),   s = d / w,   w = sqrt(4 diffusion t).

    Source: H. S. Carslaw, J. C. Jaeger, Conduction of Heat in Solids (1959), section 2.9.

    >>> print(start(jnp.array([[0.5, 0.0], [1.0, 0.0], [1.0, 1.0]])).round(4) + 0.0)
    [ 0.     -1.     -0.9774]
    """
    x, t = points[..., 0], points[..., 1]
    width = jnp.sqrt(4 * reference.DIFFUSION * (t + EARLIEST))
    s = (1 - jnp.abs(x)) / width
    rounded = jnp.exp(-s * s) / math.sqrt(math.pi) - s * jax.scipy.special.erfc(s)
    return x * x * jnp.cos(math.pi * x) + 2 * width * rounded


def _network(widths: tuple[int, ...], key: Any) -> Dirichlet:
    embedding = Periodic((2.0, None))
    network = MLP(embedding.size, widths, 1, bounds=FEATURES, key=key)
    return Dirichlet(Chain(embedding, network), SLAB.elapsed, start)
