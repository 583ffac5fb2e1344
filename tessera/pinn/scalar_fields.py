"""What problems of one unknown u share: the unknown, its difference to something known, its truth."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tessera import pde
from tessera.pinn.reference.exact import Exact


def value(model: Any, at: pde.Field) -> pde.Field:
    """Returns u, the only component of a model; as a residual it asks for u = 0."""
    return model(at)[..., 0]


def fields(model: Any, at: pde.Field) -> dict[str, pde.Field]:
    """Returns what is solved for, by name."""
    return {"u": value(model, at)}


def truth(solution: Exact, points: np.ndarray) -> dict[str, np.ndarray]:
    """Returns u of an exact solution, in float64, by name."""
    return {"u": solution(points)["u"]}


@cache
def known(solution: Exact, name: str) -> Callable[[Any], Any]:
    """Returns one field of an exact solution as a function of points; equal calls give the same function."""
    return lambda points: solution(points)[name]


@dataclass(frozen=True)
class Difference:
    """The residual u - expected, with `expected` a function of points."""

    expected: Callable[[Any], Any]

    def __call__(self, model: Any, at: pde.Field) -> pde.Field:
        """Returns the difference at points."""
        return value(model, at) - at.apply(self.expected)
