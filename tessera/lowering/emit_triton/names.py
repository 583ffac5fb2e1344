"""Names of a kernel's variables: the IR's own where they can be Python's, each given once."""

import builtins
import keyword
import re

RESERVED = frozenset({"tl", "triton", "libdevice", "self"})


class Names:
    """Hands out names.

    >>> names = Names()
    >>> names.fresh("x"), names.fresh("x"), names.fresh("max"), names.fresh("2d")
    ('x', 'x_1', 'max_1', 'v2d')
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, hint: str) -> str:
        """Returns a name like the hint that nothing else has."""
        wanted = re.sub(r"\W", "_", hint)
        if not wanted.isidentifier():
            wanted = f"v{wanted}"
        found, count = wanted, 0
        while found in self._taken or _means_something(found):
            count += 1
            found = f"{wanted}_{count}"
        self._taken.add(found)
        return found


def _means_something(name: str) -> bool:
    return name in RESERVED or keyword.iskeyword(name) or name in vars(builtins)
