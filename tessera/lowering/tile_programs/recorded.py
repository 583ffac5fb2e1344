"""Programs that users wrote: who writes one down for which node, and what it is written for.

`tessera.tile` puts one entry per kernel into `RECORDED`. A node that has one is a group of its own: nothing
joins it, and the whole of its kernel is what the program says.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.dialects.builtin import DYNAMIC_INDEX, IntegerAttr, TensorType
from xdsl.ir import Attribute, SSAValue

from tessera.ir.attributes import integers
from tessera.ir.graph import Constant, Node, constant_of
from tessera.ir.schedule import Group
from tessera.ir.tile import Func, Tile
from tessera.lowering.configs import GPUS
from tessera.lowering.cost import Device
from tessera.lowering.tile_programs.builder import no_program
from tessera.lowering.tile_programs.elementwise import block_element
from tessera.lowering.tile_programs.operands import number_of


@dataclass(frozen=True)
class Operand:
    """An operand or result of a call: its type, and its place among the kernel's arrays or its number."""

    type: Tile
    place: int | None
    number: float | None = None


@dataclass(frozen=True)
class Call:
    """One use of a program: the arrays of its kernel, what of them it gets, and how it is cut.

    `arrays` are those that are read, then `outputs` that are written. `params` are those of the node.
    `padded` says that blocks are powers of two, as a GPU wants them.
    """

    name: str
    arrays: tuple[Tile, ...]
    outputs: int
    operands: tuple[Operand, ...]
    results: tuple[Operand, ...]
    params: Mapping[str, Any]
    blocks: tuple[int, ...]
    padded: bool
    said: Mapping[str, Any]


@dataclass(frozen=True)
class Recorded:
    """A program: what writes it down, its blocks where nothing plans others, and its warps on a GPU."""

    write: Callable[[Call], Func]
    blocks: tuple[int, ...]
    warps: int


# By the name of the node: `tessera.graph.tile_kernel.<name>`.
RECORDED: dict[str, Recorded] = {}


def recorded_node(nodes: Iterable[Node]) -> Node | None:
    """Returns the node among those of a group that has a program of a user, or None."""
    return next((node for node in nodes if node.name in RECORDED), None)


def planned_for(node: Node, device: Device) -> dict[str, Any]:
    """Returns what a schedule says of the group of such a node."""
    found = RECORDED[node.name]
    said: dict[str, Any] = {"blocks": found.blocks} if found.blocks else {}
    return said | {"warps": found.warps} if device.platform in GPUS else said


def write(node: Node, group: Group, index: int) -> Func:
    """Returns the kernel of such a node's group; raises what the program raises."""
    if node.equation is None:
        raise no_program(f"{node.name} was read from text, which does not hold its program")
    assert group.block is not None
    end = group.block.last_op
    assert end is not None
    closed = [
        op.result for op in group.block.ops if isinstance(op, Constant) and number_of(op) is None
    ]
    unread = [result for result in node.results if result not in end.operands]
    written = [*end.operands, *unread]
    values = [*group.block.args, *closed, *written]
    planned = RECORDED[node.name]
    call = Call(
        name=node.short_name.removeprefix("tile_kernel."),
        arrays=tuple(map(_array, values)),
        outputs=len(written),
        operands=tuple(_operand(x, values) for x in node.operands),
        results=tuple(_operand(x, values) for x in node.results),
        params=node.equation.params,
        blocks=planned.blocks if group.blocks is None else integers(group.blocks),
        padded=group.warps is not None,
        said=_said(group, index),
    )
    return planned.write(call)


def array_type(sizes: Sequence[int], element: Attribute) -> Tile:
    """Returns the type of an array in a kernel; raises `E_TILE_LOWERING` for one no kernel can hold."""
    if DYNAMIC_INDEX in sizes:
        raise no_program("the size of an axis is known by name only")
    if 0 in sizes:
        raise no_program("an array holds nothing")
    return Tile.of(sizes, block_element(element), "hbm")


def _array(value: SSAValue) -> Tile:
    kind = value.type
    if not isinstance(kind, TensorType):
        raise no_program(f"{kind} is no array of numbers")
    return array_type(kind.get_shape(), kind.get_element_type())


def _operand(value: SSAValue, values: list[SSAValue]) -> Operand:
    constant = constant_of(value)
    number = None if constant is None else number_of(constant)
    place = values.index(value) if number is None else None
    return Operand(_array(value), place, number)


def _said(group: Group, index: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(group.warps, IntegerAttr):
        found["warps"] = group.warps.value.data
    found["group"] = index
    if group.runs is not None:
        found["runs"] = group.runs.data
    return found
