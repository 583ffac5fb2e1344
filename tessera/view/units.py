"""Numbers and places as people read them: three significant digits, decimal prefixes, short paths."""

import re
from pathlib import PurePath

_LARGE = ("", "k", "M", "G", "T", "P", "E")
_SMALL = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
_PLACE = re.compile(r"^(?P<path>.*?):(?P<line>\d+)(?::\d+)?(?: \((?P<function>.*)\))?$")


def three_digits(value: float) -> str:
    """Returns a number below 1000 in three significant digits.

    >>> three_digits(12.345), three_digits(0.5), three_digits(7)
    ('12.3', '0.5', '7')
    """
    return f"{value:.3g}"


def amount(value: float, unit: str) -> str:
    """Returns a quantity with a decimal prefix.

    >>> amount(4_358_144, "FLOP"), amount(999_900, "B"), amount(12, "B")
    ('4.36 MFLOP', '1 MB', '12 B')
    """
    place = 0
    while float(three_digits(value)) >= 1000 and place < len(_LARGE) - 1:
        value, place = value / 1000, place + 1
    return f"{three_digits(value)} {_LARGE[place]}{unit}"


def duration(seconds: float) -> str:
    """Returns a time in s, ms, µs or ns.

    >>> duration(6.0621e-05), duration(0.0), duration(2e-10), duration(90.0)
    ('60.6 µs', '0 s', '0.2 ns', '90 s')
    """
    if seconds == 0:
        return "0 s"
    unit, size = next((s for s in _SMALL if float(three_digits(seconds / s[1])) >= 1), _SMALL[-1])
    return f"{three_digits(seconds / size)} {unit}"


def share(part: float, whole: float) -> str:
    """Returns a part of a whole in percent.

    >>> share(1, 8), share(1, 1000), share(0, 0)
    ('12 %', '<1 %', '')
    """
    if whole <= 0:
        return ""
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 1 or percent == 0 else "<1 %"


def place(where: str) -> str:
    """Returns where code was written in few characters; a notebook's cells have no file to name.

    >>> place("/home/me/model.py:10:8 (Block.__call__)"), place("/tmp/ipykernel_71/2834.py:3:4 (f)")
    ('model.py:10 (Block.__call__)', 'cell line 3 (f)')
    """
    found = _PLACE.match(where)
    if found is None:
        return where
    path = PurePath(found["path"])
    start = f"cell line {found['line']}" if _is_cell(path) else f"{path.name}:{found['line']}"
    function = (found["function"] or "").replace("<locals>.", "")
    return f"{start} ({function})" if function else start


def full_place(where: str) -> str:
    """Returns where code was written with its whole path, if it has one that lasts."""
    found = _PLACE.match(where)
    return place(where) if found is not None and _is_cell(PurePath(found["path"])) else where


def _is_cell(path: PurePath) -> bool:
    return path.parent.name.startswith("ipykernel_") or path.name.startswith("<ipython-input")
