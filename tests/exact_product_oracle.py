"""The matrix product of `core.exact_product` in integers of any length and fractions, from its docstring."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np

P = {"float32": 30, "float64": 62}


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the product (m, n) of (m, k) and (k, n), one entry after the other."""
    wide = np.float64 if np.float64 in (a.dtype, b.dtype) else np.float32
    rows = [on_a_grid(row, P.get(a.dtype.name, 22), wide) for row in a]
    columns = [on_a_grid(column, P.get(b.dtype.name, 22), wide) for column in b.T]
    sums = [[sum(map(int.__mul__, x, y)) * u * v for y, v in columns] for x, u in rows]
    found = [[nearest(Fraction(total), wide) for total in row] for row in sums]
    return np.array(found, wide).reshape(len(a), b.shape[1])


def exact(a: np.ndarray, b: np.ndarray) -> list[list[Fraction]]:
    """Returns the product (m, n) without any rounding."""
    rows = [[Fraction(float(x)) for x in row] for row in a]
    columns = [[Fraction(float(x)) for x in column] for column in b.T]
    return [
        [sum(map(Fraction.__mul__, row, column), Fraction()) for column in columns] for row in rows
    ]


def on_a_grid(entries: np.ndarray, bits: int, wide: type) -> tuple[list[int], Fraction]:
    """Returns entries as integers, halves away from 0, and what an integer is worth."""
    least = Fraction(float(ml_dtypes.finfo(wide).tiny))
    values = [Fraction(float(x)) for x in entries]
    values = [x if abs(x) >= least else Fraction() for x in values]
    unit = above(values) / 2**bits
    return [int(abs(x) / unit + Fraction(1, 2)) * (1 if x >= 0 else -1) for x in values], unit


def above(values: list[Fraction]) -> Fraction:
    """Returns the power of two above the largest magnitude, 1 where all are 0."""
    largest = float(max(map(abs, values), default=Fraction()))
    return Fraction(2) ** (math.frexp(largest)[1] if largest else 0)


def nearest(value: Fraction, wide: type) -> float:
    """Returns the nearest normal number, ties to even; infinity and 0 beyond the normal ones."""
    form = ml_dtypes.finfo(wide)
    if not value:
        return 0.0
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    exponent -= abs(value) < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - form.nmant)
    found = round(value / unit) * unit
    sign = math.copysign(1.0, value)
    if abs(found) > Fraction(float(form.max)):
        return sign * math.inf
    return float(found) if abs(found) >= Fraction(float(form.tiny)) else sign * 0.0
