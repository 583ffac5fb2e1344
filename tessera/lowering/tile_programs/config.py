"""How a kernel is cut into blocks: what the schedule plans for a group, the same for every program."""

from dataclasses import dataclass, replace

from tessera.ir.tile import DEFAULT_SHARED_LIMIT
from tessera.lowering.tile_programs.builder import no_program

DEFAULT_TILE = 128  # rows and columns of a block where the schedule plans none
DEFAULT_INNER = 64  # elements along an axis that a loop walks
SMALLEST_DEPTH = 16  # of a product on the matrix units of a GPU


@dataclass(frozen=True)
class Config:
    """Sizes of blocks, in elements, and what a GPU needs to know.

    `rows` and `columns` are of the block of a result, `whole` is the block of columns that a block holds
    whole (None: as many as there are), and `inner` that of an axis that a loop walks (None: the largest that
    fits the scratch). Where an op sums over all rows, one program computes `turns` blocks, one after another.
    `padded` says that blocks may reach beyond short axes, and that each is a power of two. `warps` run one
    program, `stages` loads are in flight.
    """

    rows: int = DEFAULT_TILE
    columns: int = DEFAULT_TILE
    whole: int | None = None
    inner: int | None = None
    turns: int = 1
    warps: int | None = None
    stages: int = 1
    padded: bool = False

    def row_block(self, size: int) -> int:
        """Returns how many of this many rows one block holds.

        >>> Config(rows=16).row_block(5), Config(rows=16, padded=True).row_block(5)
        (8, 16)
        """
        return self.rows if self.padded else min(self.rows, power_of_two(size))

    def column_block(self, size: int) -> int:
        """Returns how many of this many columns one block holds."""
        return self.columns if self.padded else min(self.columns, power_of_two(size))

    def whole_block(self, size: int) -> int:
        """Returns the block of columns of this size that one block holds whole.

        >>> Config().whole_block(48), Config(padded=True).whole_block(48), Config(whole=128).whole_block(48)
        (48, 64, 128)
        """
        if self.whole is not None and self.whole >= size:
            return self.whole
        return power_of_two(size) if self.padded else size

    def for_columns(self, size: int) -> "Config":
        """Returns the config that pads everything where it pads columns of this size.

        >>> Config(whole=64).for_columns(48).padded, Config(whole=48).for_columns(48).padded
        (True, False)
        """
        wide = self.whole is not None and self.whole > size
        return replace(self, padded=self.padded or wide)

    def depth_block(self, size: int) -> int:
        """Returns the block of an axis of this size that products sum over and one block holds whole.

        >>> Config().depth_block(12), Config(padded=True).depth_block(12)
        (12, 16)
        """
        return max(SMALLEST_DEPTH, power_of_two(size)) if self.padded else size

    def inner_block(self, size: int, bytes_each: int = 0, taken: int = 0) -> int:
        """Returns how many elements of an axis that a loop walks one block holds.

        `bytes_each` is what one element along it costs in the scratch, `taken` what other blocks hold there,
        in bytes. Raises `E_TILE_LOWERING` where the planned block, or any, does not fit.

        >>> Config(stages=3).inner_block(512, 2 * (128 + 128)), Config(inner=16).inner_block(512)
        (64, 16)
        >>> Config(stages=2).inner_block(512, 8 * (128 + 128))
        32
        """
        longest = DEFAULT_INNER if self.inner is None else self.inner
        found = longest if self.padded else min(longest, power_of_two(size))
        while taken + found * bytes_each * self.stages > DEFAULT_SHARED_LIMIT:
            if found == 1 or self.inner is not None:
                raise no_program(
                    f"{found} elements of the inner axis, of {bytes_each} bytes in {self.stages} stages, "
                    f"do not fit the scratch beside {taken} bytes"
                )
            found //= 2
        return found


def power_of_two(size: int) -> int:
    """Returns the smallest power of two that is at least a size.

    >>> [power_of_two(size) for size in (0, 1, 3, 64)]
    [1, 1, 4, 64]
    """
    return 1 << max(size - 1, 0).bit_length()
