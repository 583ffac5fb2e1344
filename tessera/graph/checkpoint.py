"""`graph.checkpoint`: what a backward keeps and what it computes again."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from tessera.core.errors import Code, CompileError
from tessera.core.primitive import PREFIX

_PRODUCTS = ("matmul", "flash_attention")
# With `_forward` an op saves what its backward needs.
_NAMES = frozenset(f"{PREFIX}{name}{kind}" for name in _PRODUCTS for kind in ("", "_forward"))


def _keeps_tessera_products(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in _NAMES


POLICIES: dict[str, Callable[..., Any]] = {
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "products": jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.dots_saveable, _keeps_tessera_products
    ),
    "everything": jax.checkpoint_policies.everything_saveable,
}


def checkpoint(function: Callable[..., Any] | None = None, /, *, policy: str = "nothing") -> Any:
    """Returns the function with a backward that computes values again instead of keeping them.

    `policy` says what is kept between forward and backward beside the arguments: "nothing",
    "products" (results of matrix products and attention, Tessera's included) or "everything".
    Values and derivatives are the same with any. `@graph.checkpoint` and
    `@graph.checkpoint(policy="products")` decorate.

    Raises `E_GRAPH_INVALID` for another word and for something that is not a function.

    >>> import jax, jax.numpy as jnp
    >>> jax.grad(checkpoint(lambda x: jnp.sin(jnp.sin(x))))(0.0).item()
    1.0
    """
    if policy not in POLICIES:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"checkpoint: unknown policy {policy!r}; one of {', '.join(POLICIES)}.",
        )
    if function is None:
        return functools.partial(checkpoint, policy=policy)
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID, f"checkpoint: got a {type(function).__name__}, not a function."
        )
    return jax.checkpoint(function, policy=POLICIES[policy])
