"""Differential operators on networks: exact, by forward mode, for many points at once.

An operator takes a function `u` of one point `(d,)` and returns a function of points `(..., d)`; or it takes
a Field, a function together with points whose coordinates have names, and returns a Field.

    grad   div   curl   laplacian   biharmonic   hessian   partial   hvp      the operators
    material_derivative   strain   stress                                    of Fields
    coords   coordinates   Field   values                                    points with names, values there
    mean_square                                    a loss whose gradient is gathered chunk by chunk
    estimate                                       a Laplacian in many dimensions, from random directions
    explain                                        which scheme finds the derivatives, and what others cost

Each derivative is found by the cheapest exact scheme for the network, the order and the dimension: forward
Laplacian, Taylor mode with sums carried as one, nested or reverse mode (schemes.py).

Reading order: operators, field, sources, evaluate, schemes, plan, series, forward_laplacian, mean_square.
"""

from tessera.pde.coordinates import coordinates, coords
from tessera.pde.estimate import Estimate, estimate
from tessera.pde.explanation import Explanation, explain
from tessera.pde.field import Field, values
from tessera.pde.field_operators import material_derivative, strain, stress
from tessera.pde.mean_square import mean_square
from tessera.pde.operators import biharmonic, curl, div, grad, hessian, hvp, laplacian, partial

__all__ = [
    "Estimate",
    "Explanation",
    "Field",
    "biharmonic",
    "coordinates",
    "coords",
    "curl",
    "div",
    "estimate",
    "explain",
    "grad",
    "hessian",
    "hvp",
    "laplacian",
    "material_derivative",
    "mean_square",
    "partial",
    "strain",
    "stress",
    "values",
]
