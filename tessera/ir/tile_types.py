"""The type of the Tile dialect and what its ops have in common."""

import math
from collections.abc import Sequence

from xdsl.dialects import builtin
from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.ir import Attribute, Operation, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import IRDLOperation, irdl_attr_definition, param_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from tessera.core.errors import Code, CompileError

PREFIX = "tessera.tile."
SPACES = ("hbm", "shared", "reg")


@irdl_attr_definition
class Tile(ParametrizedAttribute, TypeAttribute):
    """A block of numbers and where it lives: `!tessera.tile.tile<128x64xbf16, shared>`.

    >>> print(Tile.of((128, 64), builtin.bf16, "shared"))
    !tessera.tile.tile<128x64xbf16, shared>
    """

    name = "tessera.tile.tile"
    shape: ArrayAttr[builtin.IntAttr] = param_def()
    element: Attribute = param_def()
    space: StringAttr = param_def()

    @classmethod
    def of(cls, shape: Sequence[int], element: Attribute, space: str = "reg") -> "Tile":
        """Returns the type of a block of this shape."""
        sizes = ArrayAttr([builtin.IntAttr(size) for size in shape])
        return cls(sizes, element, StringAttr(space))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        """Returns the parameters between the angle brackets."""
        with parser.in_angle_brackets():
            sizes, element = parser.parse_ranked_shape()
            parser.parse_punctuation(",", " before the space of a tile")
            start = parser.pos
            space = parser.parse_identifier(" that names a space")
            if space not in SPACES:
                parser.raise_error(
                    f"{space!r} is no space of a tile; known: {', '.join(SPACES)}",
                    start,
                    parser.pos,
                )
        return [ArrayAttr([builtin.IntAttr(size) for size in sizes]), element, StringAttr(space)]

    def print_parameters(self, printer: Printer) -> None:
        """Prints the parameters between angle brackets."""
        sizes = "".join(f"{'?' if n < 0 else n}x" for n in self.sizes)
        printer.print_string(f"<{sizes}{self.element}, {self.space.data}>")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return tuple(size.data for size in self.shape.data)

    @property
    def size_in_bytes(self) -> int:
        """How much memory the block takes."""
        bits = self.element.bitwidth if isinstance(self.element, _NUMBERS) else 8
        return -(-math.prod(self.sizes) * bits // 8)


_NUMBERS = (builtin.IntegerType, builtin.FixedBitwidthType)


class TileOp(IRDLOperation):
    """An op whose inside is checked by `check`; a failure is `E_TILE_LOWERING`."""

    def tile(self, value: SSAValue, what: str) -> Tile:
        """Returns the type of a block, or raises for a value that is none."""
        if not isinstance(value.type, Tile):
            raise tile_error(self, f"{what} is a tile, not {value.type}")
        return value.type

    def block(self, value: SSAValue, what: str) -> Tile:
        """Returns the type of a block that was loaded or computed, not of an array."""
        found = self.tile(value, what)
        if found.space.data == "hbm":
            raise tile_error(
                self, f"{what} is an array in hbm, not a block", hints="Load a block of it."
            )
        if any(size < 1 for size in found.sizes):
            raise tile_error(self, f"a block has known sizes of at least 1, but {what} is {found}")
        return found

    def array(self, value: SSAValue, what: str) -> Tile:
        """Returns the type of an array in hbm."""
        found = self.tile(value, what)
        if found.space.data != "hbm":
            raise tile_error(self, f"{what} is an array in hbm, not a block in {found.space.data}")
        return found


def is_index(kind: Attribute) -> bool:
    """Returns whether a value of this type can index an array: an index, or a whole number without axes.

    >>> is_index(Tile.of((), builtin.i32)), is_index(Tile.of((2,), builtin.i32))
    (True, False)
    """
    if isinstance(kind, builtin.IndexType):
        return True
    if not isinstance(kind, Tile) or kind.sizes:
        return False
    return isinstance(kind.element, builtin.IntegerType) and kind.element != builtin.i1


def tile_error(op: Operation, text: str, hints: str | Sequence[str] = ()) -> CompileError:
    """Returns the error of a tile program that cannot be lowered."""
    return CompileError(Code.E_TILE_LOWERING, f"{op.name}: {text}.", hints=hints, where="tile")


def words(types: Sequence[Attribute]) -> str:
    """Returns types as text, for a message."""
    return ", ".join(map(str, types)) or "none"
