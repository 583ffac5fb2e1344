"""`with graph.stream(name)`: a label on the operations inside, which the compiler may use as a hint."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from tessera.core.errors import Code, CompileError

ATTRIBUTE = "tessera_stream"  # the frontend attribute in StableHLO and HLO

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@contextmanager
def stream(name: str) -> Iterator[None]:
    """Labels what is traced inside with a stream; values and derivatives are the same without it.

    Operations carry the frontend attribute `tessera_stream = name` and a name scope `stream.name` in
    StableHLO and HLO. The order inside a stream is that of the program, between streams that of the
    data. Of nested streams the innermost counts. It can also stand as a decorator on a function.

    Raises `E_GRAPH_INVALID` unless the name consists of letters, digits, `_`, `.` and `-`.

    >>> import jax, jax.numpy as jnp
    >>> def f(x):
    ...     with stream("compute"):
    ...         return jnp.sin(x)
    >>> 'tessera_stream = "compute"' in jax.jit(f).lower(1.0).as_text()
    True
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"stream: the name {name!r} is not a word of letters, digits, '_', '.' and '-'.",
            hints='with graph.stream("compute"):',
        )
    with jax.named_scope(f"stream.{name}"), set_xla_metadata(**{ATTRIBUTE: name}):
        yield
