"""Tile → Triton: a kernel as the text of one `@triton.jit` function, and what a caller must know of it.

    tessera.tile.func @double(%x: 256xf32, %y: 256xf32, %i)    →    # double: 2 programs, 4 warps, 1 stage
      %0 = tessera.tile.load %x, %i                                 @triton.jit
      ...                                                           def double(x, y):
                                                                        i = tl.program_id(0)
                                                                        ...
Shapes are constants of the text; the only arguments are the arrays, inputs first.
"""

import math
import re
from dataclasses import dataclass

from xdsl.dialects import builtin
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr

from tessera.ir.attributes import integers
from tessera.ir.text import fingerprint
from tessera.ir.tile import Dot, For, Func, Tile
from tessera.lowering.emit_triton.elements import element_named
from tessera.lowering.emit_triton.functions import KEEP_NAN
from tessera.lowering.emit_triton.legality import check_legal
from tessera.lowering.emit_triton.statements import Writer

DEFAULT_WARPS = 4
MOST_WARPS = 16
# Elements of a dot's result that eight warps share: one in fp32 runs on the threads and needs more of them.
LARGE_PRODUCT = 128 * 64
LARGE_FP32_PRODUCT = 64 * 64
ELEMENTS_PER_WARP = 512  # of a block without dots: 16 for each thread

IMPORTS = "import triton\nimport triton.language as tl\n"
IMPORT_LIBDEVICE = "from triton.language.extra import libdevice\n"
HELPER = """\
@triton.jit
def {name}(a, b):
    return tl.{function}(a, b, {keep_nan})
"""


@dataclass(frozen=True)
class ArrayType:
    """The type of an array a kernel gets; `dtype` is JAX's name, `signature` Triton's."""

    shape: tuple[int, ...]
    dtype: str
    signature: str


@dataclass(frozen=True)
class TritonSource:
    """A kernel in Triton: `text` defines `name`, which runs once for each of `programs`.

    Its arguments are the arrays, of which it writes the last `outputs`. `digest` names the content.
    """

    name: str
    text: str
    programs: int
    warps: int
    stages: int
    arrays: tuple[ArrayType, ...]
    outputs: int
    digest: str

    @property
    def inputs(self) -> tuple[ArrayType, ...]:
        """The arrays the kernel reads."""
        return self.arrays[: len(self.arrays) - self.outputs]

    @property
    def results(self) -> tuple[ArrayType, ...]:
        """The arrays the kernel writes."""
        return self.arrays[len(self.arrays) - self.outputs :]


_written: dict[str, TritonSource] = {}


def source(kernel: Func) -> TritonSource:
    """Returns a kernel in Triton; kernels that say the same are written once.

    Raises `E_TILE_LOWERING` for a block that is not legal in Triton, with the nearest legal tile, and for a
    function Triton has not.
    """
    key = digest(kernel)
    if key not in _written:
        check_legal(kernel)
        _written[key] = _write(kernel, key)
    return _written[key]


def digest(kernel: Func) -> str:
    """Returns a hash of what a kernel computes: equal for equal programs of different groups."""
    copy = kernel.clone()
    copy.attributes["sym_name"] = StringAttr(_name(kernel))
    for attribute in ("group", "runs", "arrays"):
        copy.attributes.pop(attribute, None)
    return fingerprint(ModuleOp([copy]))[:32]


def _write(kernel: Func, key: str) -> TritonSource:
    writer = Writer(kernel)
    name = writer.names.fresh(_name(kernel))
    warps, stages = _warps(kernel), _stages(kernel)
    programs = math.prod(integers(kernel.grid))
    grid = " x ".join(map(str, integers(kernel.grid))) or "1"
    body = "\n".join(writer.lines) or "    pass"
    helpers = [
        HELPER.format(name=helper, function=f"{kind}imum", keep_nan=KEEP_NAN)
        for kind, helper in writer.helpers.items()
        if re.search(rf"\b{helper}\b", body)
    ]
    function = (
        f"# {name}: {_count(programs, 'program')} on a grid of {grid}, {_count(warps, 'warp')}, "
        f"{_count(stages, 'stage')}.\n"
        f"@triton.jit\ndef {name}({', '.join(writer.parameters)}):\n{body}\n"
    )
    imports = IMPORTS + (IMPORT_LIBDEVICE if "libdevice." in body else "")
    text = "\n\n".join([imports, *helpers, function])
    return TritonSource(
        name, text, programs, warps, stages, _array_types(kernel), kernel.outputs.value.data, key
    )


def _name(kernel: Func) -> str:
    """Returns the name of a kernel without the number of its group."""
    name = kernel.sym_name.data
    group = kernel.attributes.get("group")
    if isinstance(group, IntegerAttr):
        name = name.removesuffix(f"_{group.value.data}")
    return name


def _array_types(kernel: Func) -> tuple[ArrayType, ...]:
    found: list[ArrayType] = []
    for array in kernel.arrays:
        assert isinstance(array.type, Tile)
        element = element_named(array.type.element, kernel)
        found.append(ArrayType(array.type.sizes, element.jax, f"*{element.signature}"))
    return tuple(found)


def _warps(kernel: Func) -> int:
    """Returns how many warps run a program: the kernel's own number, or one for its largest block."""
    if kernel.warps is not None:
        return kernel.warps.value.data
    products = [op for op in kernel.walk() if isinstance(op, Dot)]
    if products:
        return 8 if any(map(_is_large, products)) else DEFAULT_WARPS
    largest = max((_elements(r.type) for op in kernel.walk() for r in op.results), default=1)
    return max(1, min(MOST_WARPS, largest // ELEMENTS_PER_WARP))


def _is_large(dot: Dot) -> bool:
    factor = dot.operands[0].type
    assert isinstance(factor, Tile)
    large = LARGE_FP32_PRODUCT if factor.element == builtin.f32 else LARGE_PRODUCT
    return _elements(dot.result.type) >= large


def _elements(kind: object) -> int:
    return math.prod(kind.sizes) if isinstance(kind, Tile) else 1


def _stages(kernel: Func) -> int:
    if kernel.stages is not None:
        return kernel.stages.value.data
    return max((op.depth for op in kernel.walk() if isinstance(op, For)), default=1)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
