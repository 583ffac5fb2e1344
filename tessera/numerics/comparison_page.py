"""A comparison as HTML for a notebook: the totals, what to look at, and a table. It loads nothing."""

from collections.abc import Sequence
from html import escape

from tessera.numerics.comparison_table import COLUMNS, ILL, cells, left_out, telling
from tessera.numerics.operation import Operation

# Colours with transparency suit light and dark themes alike; Jupyter's own rules for tables are stronger
# than these without `!important`.
CSS = (
    ".ts-compare{border:1px solid #8886;border-radius:8px;padding:14px 18px;max-width:100%;"
    "box-sizing:border-box;font:13px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}"
    ".ts-compare h3{margin:0 0 2px;font-size:16px;font-weight:600}"
    ".ts-compare .ts-figures{display:flex;flex-wrap:wrap;gap:4px 26px;margin:8px 0}"
    ".ts-compare .ts-figures b{display:block;font-size:15px;font-weight:600}"
    ".ts-compare .ts-figures span,.ts-compare .ts-soft{opacity:.7;font-size:12px}"
    ".ts-compare .ts-scroll{overflow:auto;max-height:640px;margin:8px 0}"
    ".ts-compare table{border-collapse:collapse;font-size:12px!important;margin:0!important;width:100%}"
    ".ts-compare th,.ts-compare td{text-align:left!important;vertical-align:top!important;"
    "padding:4px 12px 4px 0!important;border-bottom:1px solid #8884!important;white-space:nowrap}"
    ".ts-compare .ts-n{text-align:right!important;font-variant-numeric:tabular-nums}"
    ".ts-compare .ts-ill td{background:#d55e0022}"
    ".ts-compare .ts-worst td{background:#d55e0044;font-weight:600}"
)
HINTS = {
    "local ulps": "largest error of the operation itself, on the operands it got",
    "accumulated": "largest error against the float64 run, in ulps",
    "relative": "largest accumulated error over the largest magnitude",
    "condition": "how much a relative error of the operands may grow",
    "median": "of the elements",
    "over": "infinite or NaN, finite in float64",
    "under": "zero or subnormal, non-zero in float64",
}


def page(
    name: str,
    figures: Sequence[tuple[str, str]],
    operations: Sequence[Operation],
    findings: Sequence[tuple[str, str]],
    worst: Operation | None,
) -> str:
    """Returns the whole view."""
    numbers = "".join(f"<div><b>{escape(v)}</b><span>{escape(n)}</span></div>" for v, n in figures)
    told = "".join(f"<div><b>{escape(what)}</b>: {escape(which)}</div>" for what, which in findings)
    shown = telling(operations)
    more = "".join(f'<p class="ts-soft">{escape(t)}</p>' for t in left_out(operations, shown))
    return (
        f'<div class="ts-compare"><style>{CSS}</style><h3>{escape(name)}, against float64</h3>'
        f'<div class="ts-figures">{numbers}</div>{told}'
        f'<div class="ts-scroll"><table><thead><tr>{_heads()}</tr></thead><tbody>'
        f"{''.join(_row(operation, worst) for operation in shown)}</tbody></table></div>"
        f"{more}</div>"
    )


def _heads() -> str:
    return "".join(
        f'<th{_numeric(c.right)} title="{escape(HINTS.get(c.head, ""))}">{escape(c.head)}</th>'
        for c in COLUMNS
    )


def _row(operation: Operation, worst: Operation | None) -> str:
    ill = operation.breaks or operation.condition >= ILL
    kind = ' class="ts-worst"' if operation is worst else ' class="ts-ill"' if ill else ""
    row = zip(COLUMNS, cells(operation), strict=True)
    inner = "".join(f"<td{_numeric(c.right)}>{escape(text)}</td>" for c, text in row)
    return f'<tr{kind} title="{escape(operation.where)}">{inner}</tr>'


def _numeric(right: bool) -> str:
    return ' class="ts-n"' if right else ""
