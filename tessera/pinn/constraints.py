"""Conditions that a model meets exactly, whatever its weights, so that no term of the loss has to ask.

Dirichlet            values on a boundary, or at the first time: a network times a distance
Periodic             periodic coordinates, with all derivatives: a network of sines and cosines
stream_function      u, v without divergence
vector_potential     u, v, w without divergence
Normalized, Chain    coordinates between -1 and 1, and modules one after the other
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tessera import pde
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer
from tessera.pinn.geometry.arguments import as_coordinates, as_vector
from tessera.pinn.geometry.box import Box
from tessera.pinn.geometry.shape import Shape


class Dirichlet(eqx.Module):
    """Gives `values + distance * network`: the values wherever the distance is zero.

    `network` maps points `(..., d)` to `(..., k)` or `(...)`; `distance`, a function of points, gives `(...)`
    for all components or `(..., k)`, with 1 for a component that is free; `values`, a number or a function of
    points, gives the same shapes and is defined inside too. Values at the first time instead of on a
    boundary take `distance=slab.elapsed`, both take `lambda p: slab.distance(p) * slab.elapsed(p)`. Both
    functions stay as they are in training.

    Raises `E_GRAPH_INVALID` for a distance or values of another kind, `E_SHAPE_MISMATCH` for shapes that do
    not go with the network's.

    >>> from tessera.pinn.geometry import Interval
    >>> model = Dirichlet(lambda x: jnp.exp(x), Interval(0, 1).distance, 2.0)
    >>> print(model(jnp.array([[0.0], [1.0]])))
    [[2.]
     [2.]]
    """

    network: Any
    distance: Callable[[Any], Any] = eqx.field(static=True)
    values: Any = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        if not callable(self.distance):
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"dirichlet: distance is a {type(self.distance).__name__}, not a function of points.",
                hints="shape.distance is one",
            )
        if not callable(self.values) and not isinstance(self.values, int | float):
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"dirichlet: values are a {type(self.values).__name__}, not a number or a function.",
            )

    def __call__(self, x: Any) -> Any:
        """Returns what the network does for x (..., d), constrained, and a Field for a Field."""
        if isinstance(x, pde.Field):
            return x.apply(self)
        free = self.network(x)
        values = self.values(x) if callable(self.values) else self.values
        return (
            _aligned("values", values, free) + _aligned("distance", self.distance(x), free) * free
        )


class Periodic(eqx.Module):
    """Gives cos(2 pi k x / L) and sin(2 pi k x / L), k = 1 .. `waves`, of each periodic coordinate.

    `lengths` has the period L of each coordinate, None for one that is not periodic and stays as it is. What
    follows it in a `Chain` is periodic with all its derivatives, and can be any smooth periodic function.
    Gives `size` features: all cosines and sines of the first coordinate, then of the next. Source: Dong and
    Ni, J. Comput. Phys. 435 (2021).

    Raises `E_GRAPH_INVALID` for lengths or waves that are not positive.

    >>> embedding = Periodic((2.0, None), waves=1)
    >>> embedding.size, embedding(jnp.array([1.0, 0.25])).round(3).tolist()
    (3, [-1.0, 0.0, 0.25])
    """

    lengths: tuple[float | None, ...] = eqx.field(static=True)
    waves: int = eqx.field(static=True)

    def __init__(self, lengths: Sequence[float | None], waves: int = 1):
        found = tuple(lengths)
        periods = as_vector("periodic", "lengths", [1.0 if x is None else x for x in found])
        self.lengths = tuple(None if x is None else p for x, p in zip(found, periods, strict=True))
        self.waves = as_integer("periodic", "waves", waves)
        if min(periods) <= 0 or self.waves < 1:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"periodic: lengths {found} and {waves} waves; both must be positive.",
            )

    @property
    def size(self) -> int:
        """The number of features."""
        return sum(1 if length is None else 2 * self.waves for length in self.lengths)

    def __call__(self, x: Any) -> Any:
        """Returns features (..., size) for x (..., d), and a Field for a Field."""
        if isinstance(x, pde.Field):
            return x.apply(self)
        columns = as_coordinates("periodic", x, len(self.lengths))
        features = [self._features(*pair) for pair in zip(columns, self.lengths, strict=True)]
        return jnp.concatenate(features, axis=-1)

    def _features(self, x: jax.Array, length: float | None) -> jax.Array:
        if length is None:
            return x[..., None]
        turns = x / length
        # Whole turns are taken off, so that both ends of a period have the same bits. Constant between jumps.
        angle = 2 * math.pi * (turns - jax.lax.stop_gradient(jnp.round(turns)))
        angles = [k * angle for k in range(1, self.waves + 1)]
        return jnp.stack([f(a) for f in (jnp.cos, jnp.sin) for a in angles], axis=-1)


class Normalized(eqx.Module):
    """Maps a box to [-1, 1] in every coordinate: first in a `Chain`, a network's inputs are of size 1.

    `bounds` is a shape, or the lowest and highest coordinates `(2, d)`. Raises `E_GRAPH_INVALID` for others.

    >>> from tessera.pinn.geometry import Rectangle
    >>> print(Normalized(Rectangle((0, 4), (0, 1)))(jnp.array([3.0, 0.5])))
    [0.5 0. ]
    """

    lower: tuple[float, ...] = eqx.field(static=True)
    upper: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, bounds: Any):
        box = bounds if isinstance(bounds, Shape) else Box(*_pair(bounds))
        lower, upper = box.bounds.tolist()
        self.lower, self.upper = tuple(lower), tuple(upper)

    def __call__(self, x: Any) -> Any:
        """Returns (..., d) for x (..., d), and a Field for a Field."""
        if isinstance(x, pde.Field):
            return x.apply(self)
        columns = as_coordinates("normalized", x, len(self.lower))
        ends = zip(columns, self.lower, self.upper, strict=True)
        return jnp.stack([((x - a) - (b - x)) / (b - a) for x, a, b in ends], axis=-1)


class Chain(eqx.Module):
    """Applies `parts`, modules or functions, one after the other.

    >>> model = Chain(Periodic((1.0,)), lambda features: features[..., 0])
    >>> print(model(jnp.array([[0.0], [0.5]])))
    [ 1. -1.]
    """

    parts: tuple[Any, ...]

    def __init__(self, *parts: Any):
        self.parts = parts

    def __call__(self, x: Any) -> Any:
        """Returns what the last part gives, and a Field for a Field."""
        if isinstance(x, pde.Field):
            return x.apply(self)
        for part in self.parts:
            x = part(x)
        return x


def stream_function(
    psi: pde.Field, axes: tuple[str, str] = ("x", "y")
) -> tuple[pde.Field, pde.Field]:
    """Returns u = psi_y and v = -psi_x, whose divergence is 0 before anything is computed.

    >>> xy = pde.coords(jnp.array([[2.0, 3.0]]), names=("x", "y"))
    >>> u, v = stream_function(xy["x"] * xy["y"])
    >>> u.array.tolist(), v.array.tolist()
    ([2.0], [-3.0])
    """
    _require_fields("stream_function", [psi])
    first, second = axes
    return pde.grad(psi, second), -pde.grad(psi, first)


def vector_potential(
    potentials: Sequence[pde.Field], axes: tuple[str, str, str] = ("x", "y", "z")
) -> tuple[pde.Field, pde.Field, pde.Field]:
    """Returns u, v, w, the curl of three potentials, whose divergence is 0 before anything is computed.

    >>> xyz = pde.coords(jnp.array([[2.0, 3.0, 5.0]]), names=("x", "y", "z"))
    >>> [part.array.tolist() for part in vector_potential([xyz["y"], xyz["z"], xyz["x"]])]
    [[-1.0], [-1.0], [-1.0]]
    """
    parts = list(potentials)
    _require_fields("vector_potential", parts)
    if len(parts) != 3:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"vector_potential: {len(parts)} potentials, not three."
        )
    velocity = pde.curl(parts, axes)
    return velocity[..., 0], velocity[..., 1], velocity[..., 2]


def _pair(bounds: Any) -> Sequence[Any]:
    if not isinstance(bounds, list | tuple | np.ndarray) or len(bounds) != 2:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"normalized: bounds are a {type(bounds).__name__}, not a shape or two rows of coordinates.",
        )
    return list(bounds)


def _require_fields(op: str, values: Sequence[Any]) -> None:
    strangers = [type(x).__name__ for x in values if not isinstance(x, pde.Field)]
    if strangers:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: a potential is a {strangers[0]}, not a Field.",
            hints="model(at) is one, for at = op.coords(points)",
        )


def _aligned(name: str, factor: Any, result: jax.Array) -> Any:
    """Returns a number or an array as one that goes with the result, component by component."""
    shape, lead = jnp.shape(factor), result.shape[:-1]
    if shape in ((), result.shape):
        return factor
    if shape in (lead, (*lead, 1)):
        return jnp.reshape(factor, (*lead, 1))
    raise CompileError(
        Code.E_SHAPE_MISMATCH,
        f"dirichlet: {name} have shape {shape} where the network gives {result.shape}.",
        hints="one number for each point, or one for each point and component",
    )
