"""The blocks, warps and stages a tile program is planned with, until a measurement says better.

The rule is occupancy first: the largest block whose grid still gives every processor a program, since a
larger block of a product reads each operand less often. A GPU's blocks are powers of two, of at least 16 in a
product, as its matrix units want. Elsewhere blocks are what the caches of a core hold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tessera.ir.tile import DEFAULT_SHARED_LIMIT
from tessera.lowering.cost import Device

GPUS = ("cuda", "rocm")
CPU_BLOCK = 128  # rows and columns of a product's block on CPU, queries and keys of attention's
CPU_OUT_OF_CACHE = 2**20  # elements: above it temporaries as large as an array leave the cache
CPU_SUMMED_ROWS = 32  # of a block of an op that sums over all rows
CPU_COLUMNS = (
    64  # of a block that CPUs take at once along its columns: what it is cut into is only text
)
CPU_GROUP_BLOCKS = (32, 128)  # the fewest and the most rows of a grouped product's block on CPU
SMALLEST = 16  # an axis of a block in a product on a GPU

# Rows, columns, inner block, warps and stages of a product on a GPU, the largest block first.
NARROW_PRODUCTS = (  # operands of at most 16 bits
    (128, 256, 64, 8, 3),
    (128, 128, 64, 4, 3),
    (64, 128, 64, 4, 3),
    (64, 64, 64, 4, 3),
    (32, 64, 64, 4, 3),
    (16, 64, 64, 4, 3),
)
# Of a product that saves what stands before its activation, both in registers at once.
SAVING_PRODUCTS = ((128, 128, 64, 8, 3), *NARROW_PRODUCTS[2:])
WIDE_PRODUCTS = (  # fp32 and fp64 operands, twice and four times the bytes in flight
    (128, 64, 32, 8, 3),
    (64, 64, 32, 4, 3),
    (32, 64, 32, 4, 3),
    (16, 64, 32, 4, 3),
)
# Of rows times the matrix of their group, likewise; two accumulators are in registers.
GROUPED = (
    (128, 128, 64, 8, 3),
    (64, 128, 64, 4, 3),
    (32, 128, 64, 4, 3),
    (16, 64, 64, 4, 4),
)
WIDE_GROUPED = ((64, 64, 32, 8, 3), (32, 64, 32, 4, 3), (16, 64, 32, 4, 3))
# Rows held (queries; of the kernel of dk and dv, keys), rows looped over, warps and stages of attention on a
# GPU, by the wider of depth and width, up to 256. Beside them the registers of a thread that Triton 3.6 needs
# on sm_90 where causal, forward or for keys and queries: none spills. Two programs of four warps share a
# multiprocessor, so one computes weights while the other multiplies; one of eight warps has it alone.
NARROW_ATTENTION = {  # operands of at most 16 bits
    32: (128, 64, 4, 3),  # 203
    64: (128, 64, 4, 3),  # 252
    128: (128, 64, 8, 3),  # 242; causal at 4096 keys (64, 64, 4, 3) took 0.88 of its time
    256: (128, 64, 8, 2),  # 232
}
NARROW_ATTENTION_BACKWARD = {
    32: (64, 64, 4, 3),  # 168 and 107
    64: (64, 64, 4, 3),  # 187 and 146
    128: (128, 64, 8, 3),  # 249 and 168
    256: (64, 16, 8, 2),  # 242 and 171
}
WIDE_ATTENTION = {  # fp32, whose products run on the threads; fp64 halves the blocks
    32: (64, 32, 4, 2),  # 166
    64: (64, 32, 8, 2),  # 89
    128: (32, 32, 8, 2),  # 80
    256: (32, 32, 8, 2),  # 128
}
WIDE_ATTENTION_BACKWARD = {
    32: (64, 32, 4, 2),  # 168 and 168
    64: (64, 32, 8, 2),  # 106 and 90
    128: (64, 32, 8, 2),  # 168 and 108
    256: (32, 16, 8, 2),  # 167 and 103
}
# Elements of rows that one program holds, and that one thread of it does.
ROW_ELEMENTS = 4096
THREAD_ELEMENTS = 16
NEIGHBOURS = 16  # of 16 bits, what memory gives at once
WARP = 32
# Of an op that sums over all rows: every program leaves a part of the sums, so few programs walk many rows.
# Two fit a multiprocessor at once; the loads of the next rows are in flight meanwhile.
SUMMING_PROGRAMS = 2  # per processor
SUMMING_STAGES = 2
SUMMED_PARTS = 128  # in a block of what adds the parts


@dataclass(frozen=True)
class Plan:
    """Blocks of rows and columns, the block of an axis that is looped over, warps and loads in flight.

    `turns` is how many blocks one program computes, one after another.
    """

    tile: tuple[int, int]
    inner: int | None = None
    warps: int | None = None
    stages: int | None = None
    turns: int | None = None


def product(
    rows: int, columns: int, inner: int, batch: int, bytes_each: int, on: Device, *, saving: bool
) -> Plan:
    """Returns the plan of a product (rows, inner) by (inner, columns), `batch` times.

    With `saving` it stores what its backward needs too.
    """
    if on.platform not in GPUS:
        return Plan((_covering(rows, CPU_BLOCK), _covering(columns, CPU_BLOCK)))
    narrow = SAVING_PRODUCTS if saving else NARROW_PRODUCTS
    known = narrow if bytes_each <= 2 else WIDE_PRODUCTS
    plans: list[Plan] = []
    for *blocks, warps, stages in known:
        sizes = zip((rows, columns, inner), blocks, strict=True)
        block_rows, block_columns, depth = (max(SMALLEST, _covering(*each)) for each in sizes)
        plans.append(Plan((block_rows, block_columns), depth, warps, stages))
        programs = batch * math.ceil(rows / block_rows) * math.ceil(columns / block_columns)
        if programs >= on.processors:
            break
    return plans[-1]  # the smallest block where none fills the device


def grouped(rows: int, columns: int, inner: int, groups: int, bytes_each: int, on: Device) -> Plan:
    """Returns the plan of a grouped product, of rows (rows, inner) by matrices (inner, columns).

    A block of rows is taken once for every group with a row in it, so it is no longer than a part of what a
    group has: half of it on a CPU, a quarter on a GPU. `inner` of the plan is also the rows of a block that
    the gradient of the matrices sums over.
    """
    each = max(1, rows // max(1, groups))
    if on.platform not in GPUS:
        block = min(
            _covering(rows, 1 << 62),
            max(CPU_GROUP_BLOCKS[0], _covering(each // 2, CPU_GROUP_BLOCKS[1])),
        )
        return Plan((block, min(columns, CPU_COLUMNS)))
    for rows_block, *blocks, warps, stages in GROUPED if bytes_each <= 2 else WIDE_GROUPED:
        if 4 * rows_block <= each or rows_block == SMALLEST:
            sizes = zip((columns, inner), blocks, strict=True)
            columns_block, depth = (max(SMALLEST, _covering(*size)) for size in sizes)
            return Plan((rows_block, columns_block), depth, warps, stages)
    raise AssertionError("the last block is the smallest")


def runs(each: int, columns: int, on: Device) -> Plan:
    """Returns the plan of sums over runs of `each` rows on average: rows and columns of a step."""
    if on.platform not in GPUS:
        return Plan((_covering(max(1, each), CPU_BLOCK), min(columns, CPU_COLUMNS)))
    held = _covering(columns, 128)
    rows = min(_covering(max(1, each), 1 << 62), max(1, ROW_ELEMENTS // held))
    return Plan((rows, held), warps=_warps(rows * held), stages=2)


def whole_rows(
    rows: int, columns: int, batch: int, on: Device, *, summing: bool = False, turned: bool = False
) -> Plan:
    """Returns the plan of an op whose program holds whole rows, `batch` times `rows` of them.

    With `summing` it also adds up something over all rows. With `turned` the elements of a row are far apart
    in memory and those of a column are neighbours, of which a block has some.
    """
    if on.platform not in GPUS:
        if not summing or batch * rows * columns < CPU_OUT_OF_CACHE:
            return Plan((_covering(rows, CPU_BLOCK), columns))
        # One program walks all rows: what it computes of a block never leaves the cache.
        block = _covering(rows, CPU_SUMMED_ROWS)
        turns = batch * math.ceil(rows / block)
        return Plan((block, columns), inner=SUMMED_PARTS, turns=turns)
    held = _covering(columns, 1 << 62)
    fewest = _covering(rows, NEIGHBOURS) if turned else 1
    block = max(fewest, min(_covering(rows, ROW_ELEMENTS), ROW_ELEMENTS // held))
    while block > fewest and batch * math.ceil(rows / block) < 4 * on.processors:
        block //= 2
    found = Plan((block, held), warps=_warps(block * held))
    turns = math.ceil(batch * math.ceil(rows / block) / (SUMMING_PROGRAMS * on.processors))
    if not summing or turns == 1:
        return found
    return replace(found, inner=SUMMED_PARTS, turns=turns, stages=SUMMING_STAGES)


def attention(
    rows: int, keys: int, depth: int, width: int, bytes_each: int, on: Device, *, backward: bool
) -> Plan:
    """Returns the plan of attention: blocks of queries, all of the value's width, blocks of keys."""
    if on.platform not in GPUS:
        block = _covering(rows, CPU_BLOCK)
        room = (DEFAULT_SHARED_LIMIT - block * depth * bytes_each) // ((depth + width) * bytes_each)
        inner = max(1, min(CPU_BLOCK, 1 << max(room, 1).bit_length() - 1))
        return Plan((block, width), inner=_covering(keys, inner))
    widest = max(_covering(depth, 1 << 62), _covering(width, 1 << 62), min(NARROW_ATTENTION))
    wide, narrow = (
        (WIDE_ATTENTION_BACKWARD, NARROW_ATTENTION_BACKWARD)
        if backward
        else (WIDE_ATTENTION, NARROW_ATTENTION)
    )
    known = narrow if bytes_each <= 2 else wide
    block, inner, warps, stages = known[min(widest, max(known))]
    if bytes_each > 4 or widest > max(known):
        block, inner = max(SMALLEST, block // 2), max(SMALLEST, inner // 2)
    tile = (max(SMALLEST, _covering(rows, block)), max(SMALLEST, _covering(width, 1 << 62)))
    return Plan(tile, max(SMALLEST, _covering(keys, inner)), warps, stages)


def hinted_product(
    plan: Plan, hint: tuple[int, int, int], rows: int, columns: int, on: Device
) -> Plan:
    """Returns a plan of a product with the blocks a call asks for, rounded up to what is legal there."""
    *blocks, inner = hint
    sizes = zip(blocks, (rows, columns), strict=True)
    block_rows, block_columns = (_legal(block, size, on) for block, size in sizes)
    return replace(plan, tile=(block_rows, block_columns), inner=_legal(inner, inner, on))


def hinted_attention(
    plan: Plan, rows: int, keys: int, block_q: int | None, block_k: int | None, on: Device
) -> Plan:
    """Returns a plan of attention with the blocks a call asks for, on a GPU the next that are legal there."""
    if block_q is not None:
        plan = replace(plan, tile=(_legal(block_q, rows, on), plan.tile[1]))
    return plan if block_k is None else replace(plan, inner=_legal(block_k, keys, on))


def _legal(block: int, size: int, on: Device) -> int:
    """Returns a block no longer than its axis, on a GPU the power of two that holds it."""
    block = min(block, size)
    return max(SMALLEST, _covering(block, 1 << 62)) if on.platform in GPUS else block


def elementwise(shape: Sequence[int], on: Device) -> Plan:
    """Returns the plan of a chain of elementwise nodes over a result of rank 2 or more."""
    rows, columns = shape[-2:]
    if on.platform not in GPUS:
        return Plan((_covering(rows, CPU_BLOCK), columns))
    held = _covering(columns, 1024)
    return Plan((_covering(rows, max(1, 2048 // held)), held), warps=4)


def padded(tile: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...] | None:
    """Returns what a tile pads axes of these sizes to, or None if it divides them.

    >>> padded((128, 64), (300, 64))
    (384, 64)
    """
    found = tuple(-(-n // t) * t for n, t in zip(sizes, tile, strict=True))
    return None if found == tuple(sizes) else found


def _covering(size: int, largest: int) -> int:
    """Returns the smallest power of two that holds an axis, at most the largest."""
    return min(largest, 1 << max(size - 1, 0).bit_length())


def _warps(elements: int) -> int:
    return max(1, min(16, _covering(elements // (WARP * THREAD_ELEMENTS), 16)))
