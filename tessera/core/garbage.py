"""Python's garbage collector, held back while a program is compiled."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_deferred() -> Iterator[None]:
    """Runs a block without garbage collections, which come after it if they were on before.

    A compilation makes some hundred thousand objects and keeps nearly all until it ends. The collector walks
    those again and again, with everything else the process holds, and finds nothing.

    >>> with collection_deferred():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
