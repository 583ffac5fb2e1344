"""`numerics.report`: what in a function breaks a determinism level, where, and the fix."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

import jax
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tessera import ops as ops  # sets how sums and products keep a level
from tessera.core import determinism, levels
from tessera.core.determinism import LEVELS, at_least
from tessera.core.errors import Code, CompileError
from tessera.core.primitive import PREFIX
from tessera.numerics.operation import place_of

CELL = "text-align:left;white-space:pre-line"
PLACES = 3  # shown of the lines of one finding
HEADS = ("equation", "times", "reaches", "why", "fix", "written at")


@dataclass(frozen=True)
class Finding:
    """Equations of one kind that break the level: what they reach as they stand, and at most, and where."""

    name: str
    reaches: str
    highest: str
    reason: str
    fix: str
    times: int
    places: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What breaks a determinism level in a function; `reaches` is the level the function keeps as it stands.

    `highest` is what `numerics.reproducible` can make of it. Prints as a table, and shows as one in Jupyter.
    """

    function: str
    level: str
    reaches: str
    highest: str
    equations: int
    findings: tuple[Finding, ...]

    @property
    def keeps(self) -> bool:
        """Whether the function keeps the level as it stands."""
        return at_least(self.reaches, self.level)

    def __str__(self) -> str:
        out = StringIO()
        # Told that it is no notebook, where a console displays instead of writing.
        console = Console(file=out, width=160, no_color=True, force_jupyter=False)
        console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip()

    def __rich__(self) -> RenderableType:
        """Returns what rich prints, at the width of its console."""
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, title=self._title(), title_justify="left"
        )
        for head in HEADS:
            table.add_column(head, overflow="fold", justify="right" if head == "times" else "left")
        for row in self._rows():
            table.add_row(*(Text(cell) for cell in row))
        return table if self.findings else Text(self._title())

    def _repr_html_(self) -> str:
        heads = "".join(f"<th style='text-align:left'>{h}</th>" for h in HEADS)
        rows = "".join(
            "<tr>" + "".join(f"<td style='{CELL}'>{escape(c)}</td>" for c in row) + "</tr>"
            for row in self._rows()
        )
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return f"<p><b>{escape(self._title())}</b></p>{table if self.findings else ''}"

    def _title(self) -> str:
        if self.keeps:
            return f"{self.function} keeps {self.level}: no equation of {self.equations} breaks it."
        found = sum(f.times for f in self.findings)
        return (
            f"{self.function} reaches {self.reaches}, not {self.level}: {found} of {self.equations} "
            f"equations break it. numerics.reproducible reaches {self.highest}."
        )

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for f in self.findings:
            places = list(dict.fromkeys(map(place_of, f.places)))
            shown = [*places[:PLACES], *["..."] * (len(places) > PLACES)]
            yield f.name, str(f.times), f.reaches, f.reason, f.fix, "\n".join(shown)


def report(function: Callable[..., Any], level: str | None = None) -> Callable[..., Report]:
    """Returns a function of the arguments (arrays or their types) that reports what breaks a level.

    `level` is D1 to D4, by default that of the scope, or D2 outside one. The function is traced, not run;
    loops and calls are entered, and Tessera ops are one equation each. Where an equation breaks the level
    the fix says what to write instead. D1 holds wherever XLA's flags are as `deterministic` requires.

    Raises `E_GRAPH_INVALID` for what is not a function or no level, and what the function raises.

    >>> import jax.numpy as jnp
    >>> found = report(lambda x: jnp.sum(x), "D2")(jnp.ones(8))
    >>> found.reaches, found.highest, [f.name for f in found.findings]
    ('D1', 'D4', ['reduce_sum'])
    """
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"report: {type(function).__name__} is not a function.",
            hints="numerics.report(f)(*args): the function first, then its arguments",
        )
    wanted = determinism.as_level("report", level) or determinism.current_level() or "D2"

    def run(*args: Any, **kwargs: Any) -> Report:
        traced = jax.make_jaxpr(function)(*args, **kwargs)
        return _report(levels.name_of(function), list(levels.reaches(traced)), wanted)

    return run


def _report(name: str, found: list[levels.Reach], level: str) -> Report:
    places: dict[tuple[str, ...], list[str]] = {}
    for r in found:
        if not at_least(r.native, level):
            name_of = r.equation.primitive.name.removeprefix(PREFIX)
            key = (name_of, r.native, r.highest, r.reason, _fix(r, level))
            places.setdefault(key, []).append(r.where)
    findings = tuple(
        Finding(*key, times=len(where), places=tuple(dict.fromkeys(where)))
        for key, where in sorted(places.items(), key=lambda item: LEVELS.index(item[0][1]))
    )
    reaches = min((r.native for r in found), default="D4")
    highest = min((r.highest for r in found), default="D4")
    return Report(name, level, reaches, highest, len(found), findings)


def _fix(found: levels.Reach, level: str) -> str:
    name = found.equation.primitive.name
    if not at_least(found.highest, level):
        return FIXES.get(name, f"none: it reaches {found.highest} at most")
    if name.startswith(PREFIX):
        return f'deterministic="{level}", or the scope of that name'
    return FIXES.get(name, f'numerics.reproducible(f, "{level}")')


# What to write instead of an equation of plain JAX.
FIXES = {
    "reduce_sum": "op.reduce_sum",
    "dot_general": "op.matmul in the scope of the level",
    "psum": 'dist.all_reduce(..., method="tree" or "exact")',
    "psum_invariant": 'dist.all_reduce(..., method="tree" or "exact")',
    "reduce_scatter": 'dist.reduce_scatter(..., method="tree" or "exact")',
    "scatter-add": "op.segment_reduce of sorted indices",
}
