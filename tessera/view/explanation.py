"""What the user holds: the report of one function, shown in a terminal, in Jupyter or in a file."""

import dataclasses
import io
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from xdsl.dialects.builtin import ModuleOp

from tessera.lowering.cost import Device
from tessera.lowering.rule import Record
from tessera.view import data, page, picture
from tessera.view.causes import users_place
from tessera.view.collect import collect
from tessera.view.report import Edge, GroupReport, Opaque, Totals
from tessera.view.table import Terminal
from tessera.view.tree import Item, tree
from tessera.view.units import amount, duration
from tessera.view.words import bounded

PIPED = (120, 40)  # columns and lines where no terminal sets them
NOTHING = ("Nothing is computed: every result is an argument or a constant.",)
NOTES = (
    "Times are roofline times at the nominal peaks above: what the hardware allows, not what was measured.",
    "A group is what the compiler plans as one kernel. XLA compiles the whole program and may fuse further.",
)


@dataclass(frozen=True)
class Explanation:
    """What the compiler did with a function for one signature.

    `groups` are the planned kernels in program order, `edges` the values between them, `raised` the rewrites
    made, `declined` those found and not made, `opaque` what was not fused with its neighbours and why. It
    prints as tables and shows in Jupyter with a picture; `to_json`, `to_dot` and `to_svg` are for files.
    """

    name: str
    device: Device
    groups: tuple[GroupReport, ...]
    edges: tuple[Edge, ...]
    raised: tuple[Record, ...]
    declined: tuple[Record, ...]
    opaque: tuple[Opaque, ...]
    totals: Totals

    def text(self, width: int) -> str:
        """Returns the table as plain text of at most this many columns."""
        out = io.StringIO()
        console = Console(
            file=out, width=width, color_system=None, force_terminal=False, force_jupyter=False
        )
        console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip()

    def __str__(self) -> str:
        return self.text(shutil.get_terminal_size(PIPED).columns)

    def __rich__(self) -> RenderableType:
        """Returns what rich prints, at the width of its console."""
        figures = [f"{value} {name}" for value, name in self._figures()]
        return Terminal(
            f"{self.name} on {device_text(self.device)}",
            (" · ".join(figures), *self._notes()),
            self._items(),
            self.groups,
            self.totals.seconds,
            self.raised,
            self.declined,
            self.opaque,
        )

    def _repr_html_(self) -> str:
        """Returns the view for Jupyter: self-contained HTML with an inline picture."""
        items = self._items()
        parts = (
            page.graph(self.name, items, self.edges, (g.kind for g in self.groups)),
            page.group_table(items, self.totals.seconds),
        )
        return page.page(
            self.name,
            self._figures(),
            (f"Compiled for {device_text(self.device)}.", *self._notes()),
            *(parts if self.groups else ()),
            page.records("Raised to Tessera ops", self.raised, good=True),
            page.records("Left as written", self.declined, good=False),
            page.opaque(self.opaque),
            page.choices(self.groups),
        )

    def to_json(self) -> str:
        """Returns every field as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)

    def to_dot(self) -> str:
        """Returns the graph of groups in the DOT language."""
        return data.to_dot(self.name, self.groups, self.edges)

    def to_svg(self) -> str:
        """Returns the picture as an SVG document that needs nothing else."""
        return picture.document(self.name, self._items(), self.edges)

    def _items(self) -> tuple[Item, ...]:
        return tree(self.groups)

    def _notes(self) -> tuple[str, ...]:
        return NOTES if self.groups else NOTHING

    def _figures(self) -> list[tuple[str, str]]:
        """Returns the totals as (value, name)."""
        total = self.totals
        return [
            (str(total.groups), "group" if total.groups == 1 else "groups"),
            (bounded(amount(total.flops, "FLOP"), total.exact), "work"),
            (bounded(amount(total.bytes, "B"), total.exact), "moved"),
            (bounded(duration(total.seconds), total.exact), "roofline time"),
            (bounded(amount(total.peak, "B"), total.exact), "peak, arguments included"),
        ]


def device_text(device: Device) -> str:
    """Returns a device with its peaks.

    >>> device_text(Device("cpu", "2 cores", 160e9, 20e9, 2**25))
    'cpu, 2 cores, nominal peaks 160 GFLOP/s and 20 GB/s'
    """
    flops = amount(device.flops_per_second, "FLOP/s")
    rate = amount(device.bytes_per_second, "B/s")
    return f"{device.platform}, {device.kind}, nominal peaks {flops} and {rate}"


def explanation(
    name: str,
    module: ModuleOp,
    records: Iterable[Record],
    device: Device,
    arguments: Sequence[str] = (),
) -> Explanation:
    """Returns the explanation of a Schedule module, made for a device by passes that left these records."""
    found = collect(module, device, arguments)
    made = [dataclasses.replace(record, where=users_place(record.where)) for record in records]
    return Explanation(
        name,
        device,
        found.groups,
        found.edges,
        tuple(record for record in made if record.applied),
        tuple(record for record in made if not record.applied),
        found.opaque,
        found.totals,
    )
