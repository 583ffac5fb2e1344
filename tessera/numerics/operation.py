"""One operation of a compared program, and what makes one worse than another."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from tessera.numerics.error_measures import MOVES, Error

_PLACE = re.compile(r"^(?P<path>.*?):(?P<line>\d+)(?::\d+)?(?: \((?P<function>.*)\))?$")
_DIGITS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Operation:
    """One operation: what it is, where it stands, and its errors.

    `name` is that of the JAX or Tessera primitive, `calls` are the calls and loops around it, `where` is the
    user's line, `runs` how often it ran. `local` is the error it makes itself, against float64 on the
    operands it got; `accumulated` is that against the float64 run, and `increase` by how much its relative
    error, where more than 1 counts as 1, exceeds that of its worst operand. `condition` is the mixed
    condition number (`error_measures.condition`), 0 without an operand that varies and NaN where it is not
    known. `overflows` counts results that are infinite or NaN but finite in float64, `breaks` those finite in
    float64 on the same operands; `underflows` counts those too small for a normal number, zero or subnormal
    where float64 is not zero; `nans` counts NaN that float64 has not. Of several runs errors are the largest,
    `median_ulps` is the median of the runs', and counts are sums.
    """

    index: int
    name: str
    calls: tuple[str, ...]
    where: str
    shape: tuple[int, ...]
    dtype: str
    runs: int
    local: Error
    accumulated: Error
    condition: float
    increase: float
    overflows: int
    underflows: int
    nans: int
    breaks: int

    @property
    def label(self) -> str:
        """The name, within the calls and loops around it."""
        return " › ".join((*self.calls, self.name))

    @property
    def place(self) -> str:
        """The file, without its folders, line and function it was written at."""
        return place_of(self.where)

    @property
    def is_exact_move(self) -> bool:
        """Whether it only moves or picks data, and loses nothing."""
        lost = self.local.ulps or self.breaks
        return self.name in MOVES and not lost


def place_of(where: str) -> str:
    """Returns a place without its folders, a cell of a notebook by its line."""
    found = _PLACE.match(where)
    if found is None:
        return where
    path = PurePath(found["path"])
    cell = path.parent.name.startswith("ipykernel_") or path.name.startswith("<ipython-input")
    start = f"cell line {found['line']}" if cell else f"{path.name}:{found['line']}"
    function = (found["function"] or "").replace("<locals>.", "")
    return f"{start} ({function})" if function else start


def _known(value: float) -> float:
    return -1.0 if value != value else value


# What operations are ranked by.
MEASURES: dict[str, Callable[[Operation], tuple[float, ...]]] = {
    "error": lambda o: (o.breaks, o.increase),
    "local": lambda o: (o.local.ulps,),
    "condition": lambda o: (_known(o.condition),),
}


def number(value: float) -> str:
    """Returns a number in two or three significant digits, a large one as a power of ten.

    >>> number(0.5), number(1234.5), number(2.0e8), number(0.0), number(float("nan"))
    ('0.5', '1.2·10³', '2·10⁸', '0', '?')
    """
    if value != value:
        return "?"
    if value in (0.0, float("inf")):
        return "0" if value == 0 else "∞"
    if 1e-2 <= value < 999.5:
        return f"{value:.3g}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{float(digits):g}·10{str(int(exponent)).translate(_DIGITS)}"
