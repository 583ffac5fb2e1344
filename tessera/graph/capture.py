"""`graph.capture`: shape buckets for a function, or a recording of calls."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

from tessera.core.errors import Code, CompileError
from tessera.graph.buckets import Bucketed, Dims
from tessera.graph.recording import Recording


@overload
def capture() -> Recording: ...
@overload
def capture(
    *, bucket_by: Sequence[str], dims: Dims | None = None
) -> Callable[[Callable[..., Any]], Bucketed]: ...
@overload
def capture(
    entry: Callable[..., Any], /, *, bucket_by: Sequence[str], dims: Dims | None = None
) -> Bucketed: ...
def capture(
    entry: Callable[..., Any] | None = None,
    /,
    *,
    bucket_by: Sequence[str] | None = None,
    dims: Dims | None = None,
) -> Any:
    """Returns a function compiled once per bucket of lengths, or without arguments a recording.

    `@graph.capture(bucket_by=["seq_len"], dims={"seq_len": {"ids": 1}})`, or
    `graph.capture(entry, bucket_by=...)`: axis 1 of argument `ids` has dim `seq_len`. It is padded with
    zeros to the next power of two, so every length in a bucket runs the same program
    (`.trace_count`), and results are cropped. An argument may be a pytree, and the axis is that of
    each array in it. Instead of `dims`, jaxtyping annotations may name the axes. A function that
    mixes positions must mask the padding: its parameter `valid_len`, if it has one, receives the
    true length, a traced integer, or a dict of them for several dims; the caller does not pass it.

    `with graph.capture() as g:` records the calls of kernels, modules, training steps and bucketed
    functions made inside, and `graph.launch(g, ...)` repeats them with other inputs.

    Raises `E_GRAPH_INVALID` (no axis for a dim, an unknown parameter, a result with an axis that
    grows with a dim but is not that dim alone) and `E_SHAPE_MISMATCH` where two arguments give a
    dim two sizes.

    >>> import jax.numpy as jnp
    >>> @capture(bucket_by=["n"], dims={"n": {"x": 0}})
    ... def normalised(x, valid_len):
    ...     return x / valid_len
    >>> normalised(jnp.ones(5)).tolist()
    [0.2, 0.2, 0.2, 0.2, 0.2]
    >>> _ = normalised(jnp.ones(7)), normalised(jnp.ones(8))
    >>> normalised.trace_count
    1
    """
    if bucket_by is None:
        if entry is None and dims is None:
            return Recording()
        raise CompileError(
            Code.E_GRAPH_INVALID,
            "capture: no dims to bucket by.",
            hints='graph.capture(f, bucket_by=["seq_len"]); ts.compile(f) compiles without buckets',
        )
    if entry is None:
        return functools.partial(capture, bucket_by=bucket_by, dims=dims)
    if not callable(entry):
        raise CompileError(
            Code.E_GRAPH_INVALID, f"capture: got a {type(entry).__name__}, not a function."
        )
    return Bucketed(entry, bucket_by, dims)
