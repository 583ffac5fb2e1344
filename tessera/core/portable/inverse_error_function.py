"""The inverse of the error function: x times a polynomial of w = -log(1 - x^2) or of its root (Giles 2010).

The polynomials are minimax to 2^-24 of the result, roundings of coefficients counted (float64: 2^-53).
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.portable.arithmetic import multiply, sqrt
from tessera.core.portable.formats import keeper, operand, polynomial
from tessera.core.portable.logarithm import log


@dataclass(frozen=True)
class _Piece:
    start: float  # of w
    center: float  # what is subtracted from w (the first piece) or its root
    terms: tuple[Any, ...]  # constant term first


_PIECES = {
    "float32": (
        _Piece(
            0.0,
            2.5,
            (
                *map(np.float32, (1.5014094, 0.24664022, -0.004177802, -0.0012526073)),
                *map(np.float32, (0.00021887122, -5.037504e-06, -3.6963818e-06, 4.8126543e-07)),
                *map(np.float32, (6.548985e-08, -9.812805e-09, -2.6722335e-09)),
            ),
        ),
        _Piece(
            5.0,
            3.0,
            (
                *map(np.float32, (2.8329768, 1.0016755, 0.00944437, -0.007648096, 0.005697053)),
                *map(np.float32, (-0.0035355855, 0.0014374322, -0.00018836369, -0.00020856457)),
                *map(np.float32, (0.00020979253, -7.6544246e-05)),
            ),
        ),
    ),
    "float64": (
        _Piece(
            0.0,
            2.5,
            (
                *map(np.float64, (1.501409351110792, 0.2466402767441668, -0.0041773177243861394)),
                *map(np.float64, (-0.0012527079078087872, 0.0002182502643601035)),
                *map(np.float64, (-4.996079606430467e-06, -3.416619636442427e-06)),
                *map(np.float64, (4.787252302657674e-07, 1.3416854569410727e-08)),
                *map(np.float64, (-1.0861178943433925e-08, 9.072658878108341e-10)),
                *map(np.float64, (1.1961211772646531e-10, -3.1085296194013556e-11)),
                *map(np.float64, (9.09916390781384e-13, 5.304324894171933e-13)),
                *map(np.float64, (-7.579164181715714e-14, -1.8874271121740085e-15)),
                *map(np.float64, (1.8550256811949784e-15, -2.544782352416536e-16)),
                *map(np.float64, (-2.3925930082205753e-17, 1.2809408602006205e-17)),
                *map(np.float64, (8.359016740203663e-20, -2.9760707773698486e-19)),
            ),
        ),
        _Piece(
            5.0,
            3.125,
            (
                *map(np.float64, (2.958320150240462, 1.0037186917979266, 0.007047884417828892)),
                *map(np.float64, (-0.005301010608649665, 0.0037944200140072825)),
                *map(np.float64, (-0.002519882686913954, 0.0012606699077695046)),
                *map(np.float64, (-0.0003286622376673778, -8.955352865095754e-05)),
                *map(np.float64, (0.00013610536920262482, -5.885110321113229e-05)),
                *map(np.float64, (2.182255511869872e-06, 1.139611907970646e-05)),
                *map(np.float64, (-6.266005641332575e-06, 9.114072946615182e-07)),
                *map(np.float64, (7.395915440968163e-07, -5.6938524437294e-07)),
                *map(np.float64, (1.4427359170052424e-07, 6.5762302176211e-08)),
                *map(np.float64, (-5.1504743769850965e-08, -4.149706046760535e-09)),
                *map(np.float64, (5.189425975575627e-09, 1.7625436282861252e-09)),
            ),
        ),
        _Piece(
            16.0,
            5.0,
            (
                *map(np.float64, (4.849906401408584, 1.0103004648645446, -0.00013871931839951597)),
                *map(np.float64, (-0.00021503011978184084, 7.599527886722255e-05)),
                *map(np.float64, (-1.9681771549191724e-05, 4.526040589049234e-06)),
                *map(np.float64, (-9.93022205229428e-07, 2.291475799513921e-07)),
                *map(np.float64, (-6.758952746509002e-08, 2.858011393527012e-08)),
                *map(np.float64, (-1.5162304385004405e-08, 9.085908268051987e-09)),
                *map(np.float64, (-3.6323073947753455e-09, -1.024504686585469e-09)),
                *map(np.float64, (-2.6253910031439225e-10, 2.851655632166233e-09)),
                *map(np.float64, (-7.262561304888847e-11, -2.0734026722613513e-09)),
                *map(np.float64, (4.2136232557112e-11, 8.560253547097169e-10)),
                *map(np.float64, (-6.494888098395003e-12, -1.541173932504724e-10)),
            ),
        ),
    ),
}


def erf_inv(x: Any) -> jax.Array:
    """Returns the number whose error function is x within 3 ulp; NaN beyond 1.

    `x` is float32 or float64 of any shape, nowhere subnormal. Magnitudes <= 2^-126 (float64: 2^-1022) become
    zero.

    >>> erf_inv(jnp.array([0.5, -0.0, -1.0]))
    Array([ 0.47693628, -0.        ,        -inf], dtype=float32)
    """
    form, x = operand("erf_inv", x)
    keep, one = keeper(form, x), form.number(1)
    w = -log(keep((one - x) * (one + x)))
    root, (first, *others) = sqrt(w), _PIECES[form.name]
    variable, terms = w - form.number(first.center), list(first.terms)
    for piece in others:
        beyond = w >= form.number(piece.start)
        variable = jnp.where(beyond, root - form.number(piece.center), variable)
        terms = [jnp.where(beyond, a, b) for a, b in zip(piece.terms, terms, strict=True)]
    y = multiply(polynomial(keep, terms, variable), x)
    return jnp.where(jnp.abs(x) == one, x * form.number(np.inf), y)
