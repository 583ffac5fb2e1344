"""Notes: what was accepted without effect, told once per call site at level INFO."""

import logging
import sys
from pathlib import Path

logger = logging.getLogger("tessera.graph")

_HERE = str(Path(__file__).parent)
_told: set[tuple[str, int, str]] = set()


def note(message: str) -> None:
    """Logs a message at level INFO, once for each line of the user's code that it speaks of.

    >>> note("example: noted.")
    """
    file, line = _call_site()
    if (file, line, message) in _told:
        return
    _told.add((file, line, message))
    logger.info("%s:%d: %s", file, line, message)


def _call_site() -> tuple[str, int]:
    """Returns file and line of the innermost caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
