"""Python's garbage collector, held back while a program is compiled."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_deferred() -> Iterator[None]:
    """Runs a block without garbage collections, which come after it if they were on before.

    Tracing and compiling make some hundred thousand objects and keep nearly all until the end. The collector
    would walk those again and again, with everything else the process holds, and find nothing. What dies
    before the block ends is young then, and costs no full collection.

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
