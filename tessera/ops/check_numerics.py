"""`op.check_numerics`: an error where an array holds NaN or infinity."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from tessera.core.errors import Code, NumericsError

T = TypeVar("T")


def check_numerics(x_or_list: T) -> T:
    """Returns its argument, an array or a pytree of arrays, after checking that all floats in it are finite.

    Raises `E_NAN_INF`, naming the first tensor that is not: "x", or where it is, such as "x[2]" or
    "x['w']". Under `jit` the check is part of the program: it stops when it runs, with JAX's own error,
    whose text ends in ours. The arrays stay on their devices; two numbers of each come to the host.

    >>> import jax.numpy as jnp
    >>> check_numerics([jnp.ones(2), jnp.array([1.0, jnp.inf])])
    Traceback (most recent call last):
    tessera.core.errors.NumericsError: check_numerics: x[1] of shape (2,) has 0 NaN and 1 infinite entries. \
[E_NAN_INF]
    """
    named = [
        (f"x{jax.tree_util.keystr(path)} of shape {tuple(np.shape(leaf))}", leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(x_or_list)[0]
        if _is_float(leaf)
    ]
    names = [name for name, _ in named]
    counts = [_counts(leaf) for _, leaf in named]
    if any(isinstance(leaf, Tracer) for _, leaf in named):
        jax.debug.callback(lambda *found: _require_none(names, found), *counts)
    else:
        _require_none(names, counts)
    return x_or_list


def _is_float(leaf: Any) -> bool:
    known = isinstance(leaf, jax.Array | np.ndarray | np.generic | float | complex)
    return known and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def _counts(leaf: Any) -> jax.Array:
    """Returns how many entries are NaN and how many infinite."""
    return jnp.stack([jnp.sum(jnp.isnan(leaf)), jnp.sum(jnp.isinf(leaf))])


def _require_none(names: Sequence[str], counts: Sequence[Any]) -> None:
    for name, found in zip(names, counts, strict=True):
        nans, infinities = (int(count) for count in found)
        if nans or infinities:
            raise NumericsError(
                Code.E_NAN_INF,
                f"check_numerics: {name} has {nans} NaN and {infinities} infinite entries.",
            )
