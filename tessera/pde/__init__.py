"""Differential operators on networks: exact, by forward mode, for many points at once.

Every operator takes a function `u` of one point `(d,)` and returns a function of points `(..., d)`.

    laplacian   grad   div   curl   hessian   hvp   the operators
    mean_square                                     a loss whose gradient is gathered chunk by chunk

Reading order: operators, jet, rules, forward_laplacian, chunks, mean_square.
"""

from tessera.pde.mean_square import mean_square
from tessera.pde.operators import curl, div, grad, hessian, hvp, laplacian

__all__ = ["curl", "div", "grad", "hessian", "hvp", "laplacian", "mean_square"]
