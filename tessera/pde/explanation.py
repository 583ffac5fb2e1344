"""`explain`: which derivatives a function takes, by which scheme, and what the other schemes would cost."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from tessera.pde.plan import describe
from tessera.pde.schemes import Choice, listen

# What a line says about schemes that were not taken.
HEADINGS = ("derivatives", "scheme", "rows", "cost of the others")


@dataclass(frozen=True)
class Explanation:
    """The choices of schemes in a function, in the order they were made; prints as a table."""

    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        rows = [HEADINGS, *map(_line, self.choices)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        def row(cells: tuple[str, ...], tag: str) -> str:
            inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        body = "".join(row(_line(choice), "td") for choice in self.choices)
        return f"<table>{row(HEADINGS, 'th')}{body}</table>"


def explain(function: Callable[..., Any]) -> Callable[..., Explanation]:
    """Returns the function that tells how derivatives in `function` are found, from the same arguments.

    Nothing is computed: arguments may be types. One line for each pass through a network: the derivatives
    it gives, the scheme, how many values are carried for each of the network's, and what each other scheme
    would cost, in costs of the one taken.

    >>> import jax.numpy as jnp
    >>> from tessera import pde
    >>> told = explain(pde.laplacian(lambda x: jnp.sum(jnp.sin(x))))(jnp.ones((5, 2)))
    >>> told.choices[0].scheme.name, told.choices[0].rows
    ('forward Laplacian', 4)
    """

    def of_arguments(*args: Any, **kwargs: Any) -> Explanation:
        with listen() as choices:
            # A new function: what JAX has traced before it would not trace again.
            jax.eval_shape(lambda *a, **k: function(*a, **k), *args, **kwargs)
        return Explanation(tuple(choices))

    return of_arguments


def _line(choice: Choice) -> tuple[str, ...]:
    request, name = choice.request, choice.scheme.name
    names = request.names or tuple(f"x{i}" for i in range(request.dimensions))
    wanted = ", ".join(describe(s, names) for s in request.symbols)
    own = choice.costs[name]
    others = [f"{other} {c / own:.1f}x" for other, c in choice.costs.items() if other != name]
    return wanted, name, str(choice.rows), ", ".join(others)
