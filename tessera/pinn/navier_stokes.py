"""Plane incompressible flow of density 1 in terms of the stream function and the pressure.

    momentum      u_t + u u_x + v u_y + p_x - nu (u_xx + u_yy) = 0, and the same for v
    velocity      u = psi_y and v = -psi_x, without divergence before anything is computed
    known         a sampler whose points come with the values of a known solution

A model gives the Field of (psi, p) for that of the coordinates: x, y, and t if the flow is unsteady.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera import pde
from tessera.core.errors import Code, CompileError
from tessera.pinn.constraints import stream_function
from tessera.pinn.problem import Model, Sample, Sampler


@dataclass(frozen=True)
class Momentum:
    """The residuals of the two momentum equations, in units of acceleration, for a kinematic viscosity."""

    viscosity: float

    def __call__(self, model: Model, at: pde.Field) -> list[pde.Field]:
        """Returns the residuals along x and y."""
        u, v, p = flow(model, at)
        return [
            pde.material_derivative(w, [u, v])
            + pde.grad(p, axis)
            - pde.laplacian(w) * self.viscosity
            for w, axis in ((u, "x"), (v, "y"))
        ]


@dataclass(frozen=True)
class Known:
    """Draws what `sampler` does, with the values there of fields that are known.

    `solution` maps points `(n, d)` to arrays `(n,)` by name; each entry of `arrays` makes an array of the
    sample, `(n, k)`, of the k fields it names. Raises `E_GRAPH_INVALID` for a field that the solution lacks.

    >>> from tessera.pinn.geometry import Interval
    >>> from tessera.pinn.sampling import Boundary
    >>> ends = Known(Boundary(Interval(0, 2), 2), lambda p: {"u": p[:, 0] ** 2}, (("value", ("u",)),))
    >>> sorted(ends.draw(np.random.default_rng(0)).arrays["value"].tolist())
    [[0.0], [4.0]]
    """

    sampler: Sampler
    solution: Callable[[np.ndarray], Any]
    arrays: tuple[tuple[str, tuple[str, ...]], ...]

    def draw(self, generator: np.random.Generator) -> Sample:
        """Returns points and arrays, the same for a generator in the same state."""
        sample = self.sampler.draw(generator)
        found = self.solution(np.asarray(sample.points, np.float64))
        missing = [name for _, names in self.arrays for name in names if name not in found]
        if missing:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"known: the solution gives {', '.join(found)}, but not {', '.join(missing)}.",
                hints="`arrays` names fields of the solution",
            )
        extra = {
            array: np.stack([np.asarray(found[name], np.float64) for name in names], axis=-1)
            for array, names in self.arrays
        }
        return Sample(sample.points, {**sample.arrays, **extra})


def known_velocity(sampler: Sampler, solution: Callable[[np.ndarray], Any]) -> Known:
    """Returns a sampler with the "velocity" `(n, 2)` of a known solution at its points."""
    return Known(sampler, solution, (("velocity", ("u", "v")),))


def flow(model: Model, at: pde.Field) -> tuple[pde.Field, pde.Field, pde.Field]:
    """Returns u, v and p of a model of (psi, p)."""
    out = model(at)
    return *stream_function(out[..., 0]), out[..., 1]


def velocity_error(model: Model, at: pde.Field, velocity: Any) -> list[Any]:
    """Returns by how much the velocity differs from one given at the points, `(n, 2)`."""
    u, v, _ = flow(model, at)
    return [u - velocity[:, 0], v - velocity[:, 1]]


def fields(model: Model, at: pde.Field) -> dict[str, pde.Field]:
    """Returns u, v and p by name."""
    return dict(zip(("u", "v", "p"), flow(model, at), strict=True))


def truth(solution: Callable[[np.ndarray], Any], points: np.ndarray) -> dict[str, np.ndarray]:
    """Returns those fields of a known solution at points that `fields` gives of a model."""
    found = solution(points)
    return {name: found[name] for name in ("u", "v", "p")}
