"""The pieces of flash attention: a softmax over keys that come block by block."""

import math

from tessera.tile.access import Range
from tessera.tile.compute import cast, dot, reduce, where
from tessera.tile.elementwise import ELEMENTWISE
from tessera.tile.program import current
from tessera.tile.values import Block, describe, used

_exp, _maximum = ELEMENTWISE["exp"], ELEMENTWISE["maximum"]


def softmax_online(scores: Block, top: Block, total: Block) -> tuple[Block, Block, Block, Block]:
    """Returns weights, rescale, top and total after one more block of scores.

    Of scores (m, n) in float32 the rows are softmaxed over n, block after block. `top` and `total`, both
    (m, 1), are the largest score of each row so far and its sum of exponentials; they begin as -inf and 0.
    Weights are exp(scores - top), and what was summed before is multiplied by `rescale` = exp(old top - top).
    A score of -inf has weight 0. The softmax of all blocks is weights / total at the end.

        weights, rescale, top, total = tile.softmax_online(scores, top, total)
        acc = tile.softmax_accumulate(acc, rescale, weights, values)        # acc / total after the loop

    (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.)

    Raises `E_SHAPE_MISMATCH` for a top or total of another shape.
    """
    program = current("softmax_online")
    for name, x in (("scores", scores), ("top", top), ("total", total)):
        shape = (scores.shape[0], scores.shape[1] if x is scores else 1)
        if used(program, x, "softmax_online").shape != shape:
            raise program.mismatch(
                "softmax_online",
                f"keeps one number per row, {list(shape)}, but {name} is {describe(x)}",
            )
    highest = _maximum(top, reduce(scores, "max", 1))
    # A row without any score so far: exp(-inf - -inf) would be NaN.
    finite = where(highest > -math.inf, highest, 0)
    weights = _exp(scores - finite)
    rescale = _exp(top - finite)
    return weights, rescale, highest, total * rescale + reduce(weights, "sum", 1)


def softmax_accumulate(acc: Block, rescale: Block, weights: Block, values: Block) -> Block:
    """Returns acc · rescale + weights @ values: (m, d) from (m, d), (m, 1), (m, n) and (n, d).

    Weights are multiplied in the values' dtype and summed in the accumulator's. Errors are those of `dot`.
    """
    return dot(cast(weights, values.dtype), values, acc * rescale)


def mask_causal(scores: Block, queries: Range, keys: Range, *, offset: int = 0) -> Block:
    """Returns scores (m, n) with -inf where a key stands after its query: key > query + offset.

    `queries` and `keys` are the ranges the blocks were loaded with. With fewer queries than keys, those of
    the last positions have offset = keys - queries. Raises `E_SHAPE_MISMATCH` for ranges of other sizes.
    """
    program = current("mask_causal")
    if used(program, scores, "mask_causal").shape != (queries.size, keys.size):
        raise program.mismatch(
            "mask_causal", f"has a row per query and a column per key, {[queries.size, keys.size]}, but "
            f"scores are {list(scores.shape)}",
        )  # fmt: skip
    seen = keys.positions[None, :] <= queries.positions[:, None] + offset
    return where(seen, scores, -math.inf)
