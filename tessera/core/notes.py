"""Notes: what was accepted without effect, told once per call site at level INFO."""

import logging
import sys
from pathlib import Path

_HERE = str(Path(__file__).parents[1])
_told: set[tuple[str, int, str]] = set()


def note(area: str, message: str) -> None:
    """Logs a message in the logger "tessera.<area>", once for each line of the user's code it speaks of.

    >>> note("op", "example: noted.")
    """
    place = _call_site()
    if (*place, message) in _told:
        return
    _told.add((*place, message))
    logging.getLogger(f"tessera.{area}").info("%s:%d: %s", *place, message)


def _call_site() -> tuple[str, int]:
    """Returns file and line of the innermost caller outside Tessera."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
