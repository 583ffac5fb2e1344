"""Algorithms that XLA cannot split, run per device under `jit` on several devices.

A kernel is opaque to the SPMD partitioner, which would gather its operands whole. Which dims of an op are
computed independently is in its signature, and for each of them a device can run the kernel on its own part.
How an array is split is known only while XLA compiles, so both ways to compute are lowered:

    pick(reference(*operands), *operands)

XLA partitions the reference as ever and asks Tessera to partition `pick`, which then sees where every operand
lies. If each split is along a dim that may stay split, `pick` becomes the kernel on each device's parts and
XLA drops the reference, which nobody reads. Otherwise `pick` is the result of the reference: a product whose
contracted dim is split runs as XLA's partial products and their sum, never as a gather.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.core import ShapedArray
from jax.experimental.custom_partitioning import ArrayMapping, SdyShardingRule, custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import mlir

from tessera.core import compat, numerics
from tessera.core.dims import Signature, Term, parse_terms
from tessera.core.primitive import Flat

# Given the types of one device's operands: what computes them there, or None where the reference should.
PerDevice = Callable[[Sequence[Any]], Flat | None]
Names = tuple[str, ...]
# Per dim of an array, the axes of the mesh that split it.
Split = list[tuple[int, ...]]


@dataclass(frozen=True)
class Splits:
    """The axes of an op's dims that may stay split, and whether results without one are sums over it.

    `tiles` names the static argument that says in whole multiples of what an axis may be split. An algorithm
    with tiles computes the same bits however it is split: what it cannot keep split is gathered, and nothing
    is left to the reference. Over the axis `tree` its parts are added neighbours first.
    """

    axes: frozenset[str]
    sums: bool
    tiles: tuple[tuple[str, str], ...] = ()
    tree: str | None = None

    def __str__(self) -> str:
        return " ".join(sorted(self.axes))


@dataclass(frozen=True)
class Layout:
    """The factor of every dim of every operand and result, and which factors may stay split.

    A factor is one axis of the signature, or one axis of a group of it; a dim of size 1 that another array
    has whole is a factor of its own.
    """

    operands: tuple[Names, ...]
    results: tuple[Names, ...]
    independent: frozenset[str]
    tiles: tuple[tuple[str, int], ...] = ()
    tree: frozenset[str] = frozenset()


def parse_splits(
    text: str, *, sums: bool, tiles: Mapping[str, str] | None = None, tree: str | None = None
) -> Splits:
    """Returns the axes a text such as `"*b m n"` names.

    >>> str(parse_splits("*b m n", sums=False))
    'b m n'
    """
    (term,) = parse_terms(text) if text else (Term(()),)
    axes = frozenset(axis.name for axis in term.axes)
    return Splits(axes, sums, tuple((tiles or {}).items()), tree)


def layout_of(
    signature: Signature,
    splits: Splits,
    operands: Sequence[Any],
    results: Sequence[Any],
    params: dict[str, Any],
) -> Layout:
    """Returns the factors of arrays of these types, for a signature with a term for each of them."""
    independent: set[str] = set()
    own = iter(range(10**6))

    def names(term: Term, shape: tuple[int, ...]) -> Iterator[str]:
        position = params[term.at.at] if term.at is not None and term.at.at is not None else 0
        pairs = term.split(shape, position)
        assert pairs is not None, f"{term} does not fit {shape}"
        for axis, size in pairs:
            shared = axis.fixed is None and not (axis.or_one and size == 1)
            found = [f"{axis.name}_{i}" for i in range(len(size) if isinstance(size, tuple) else 1)]
            if shared and axis.name in splits.axes:
                independent.update(f"d{name}" for name in found)
            yield from (f"d{name}" if shared else f"u{next(own)}" for name in found)

    def all_names(terms: Sequence[Term], types: Sequence[Any]) -> tuple[Names, ...]:
        pairs = zip(terms, types, strict=True)
        return tuple(tuple(names(term, t.shape)) for term, t in pairs)

    of_operands = all_names(signature.operands, operands)
    of_results = all_names(signature.outputs, results)
    tree = {name for name in independent if name.startswith(f"d{splits.tree}_")}
    if not splits.sums:
        independent.intersection_update(*of_results)
        independent |= tree
    tiles = {f"d{axis}_0": params[static] for axis, static in splits.tiles}
    return Layout(
        of_operands, of_results, frozenset(independent), tuple(tiles.items()), frozenset(tree)
    )


def run_per_device(
    reference: Flat, per_device: PerDevice, layout: Layout, devices: Sequence[Any]
) -> Flat:
    """Returns what computes `reference`, on every device its own part where the operands are split so.

    `devices` stand for those the program will run on, of which only the number counts. Where the mesh does
    not divide a size, or a dim that is not independent is split, XLA partitions the reference.
    """
    count = len(layout.results)

    def run(*operands: Any, **params: Any) -> list[jax.Array]:
        wide = compat.x64_is_on()

        def partition(_mesh: Any, arrays: Any, results: Any) -> Any:
            # XLA calls back while it compiles, under whatever mesh and mode are set there.
            with compat.without_mesh(), jax.enable_x64(wide):
                return _partition(layout, devices, arrays, results, per_device, params)

        pick = custom_partitioning(lambda *arrays: list(arrays[:count]))
        pick.def_partition(
            partition,
            infer_sharding_from_operands=lambda _mesh, arrays, _results: [
                x.sharding for x in arrays[:count]
            ],
            decode_shardings=False,
            sharding_rule=_rule(layout),
        )
        return pick(*reference(*operands, **params), *operands)

    return run


def _partition(
    layout: Layout,
    devices: Sequence[Any],
    arrays: Sequence[Any],
    results: Sequence[Any],
    per_device: PerDevice,
    params: dict[str, Any],
) -> Any:
    """Returns what JAX asks of a partition: a mesh, the function of one device, its shardings.

    Types are global here, and `arrays` are the results of the reference and then the operands.
    """
    count = len(results)
    operands = arrays[count:]
    sizes, splits = _splits_of([*results, *operands], devices)
    mesh = _mesh_of(devices, sizes)
    whole = jax.sharding.NamedSharding(mesh, jax.P())
    factors = _assign(layout, splits)
    if layout.tiles:
        factors = _whole_tiles(layout, factors, [*results, *operands], sizes)
    to, into = (_shardings(mesh, factors, names) for names in (layout.results, layout.operands))
    fits = bool(layout.tiles) or _fits(layout, operands, splits[count:])
    found = per_device(_parts(into, operands)) if fits else None
    if found is None:  # the operands stay where they are: they are not read
        wanted = [x.sharding or whole for x in results]
        given = [x.sharding or whole for x in operands]
        return mesh, lambda *local: list(local[:count]), wanted, (*wanted, *given)
    split = {name: tuple(f"p{i}" for i in axes) for name, axes in factors.items()}

    add = _added_neighbours if layout.tree else _summed

    def of_parts(*local: jax.Array) -> list[jax.Array]:
        return [
            add(out, [axis for f in split if f not in names for axis in split[f]])
            for out, names in zip(found(*local, **params), layout.results, strict=True)
        ]

    types = tuple(ShapedArray(x.shape, x.dtype) for x in _parts(to, results))
    wide = compat.x64_is_on()

    def call(*local: jax.Array) -> list[jax.Array]:
        return _PART.bind(*local[count:], function=of_parts, types=types, wide=wide)

    return mesh, call, list(to), (*to, *into)


def _parts(shardings: Sequence[Any], arrays: Sequence[Any]) -> list[jax.ShapeDtypeStruct]:
    """Returns the types of what one device has of arrays."""
    return [
        jax.ShapeDtypeStruct(s.shard_shape(tuple(x.shape)), x.dtype)
        for s, x in zip(shardings, arrays, strict=True)
    ]


def _rule(layout: Layout) -> SdyShardingRule:
    """Returns the rule of `pick`: a result is split like that of the reference, an operand as it likes."""
    results = [
        ArrayMapping(*(f"r{i}x{j}" for j in range(len(n)))) for i, n in enumerate(layout.results)
    ]
    operands = [
        ArrayMapping(*(f"o{i}x{j}" for j in range(len(n)))) for i, n in enumerate(layout.operands)
    ]
    return SdyShardingRule((*results, *operands), tuple(results))


def _summed(x: jax.Array, axes: Sequence[str]) -> jax.Array:
    if not axes:
        return x
    return jax.lax.psum(x.astype(numerics.accumulator(x.dtype)), tuple(axes)).astype(x.dtype)


def _added_neighbours(x: jax.Array, axes: Sequence[str]) -> jax.Array:
    """Returns the parts of all devices added in a tree, those next to each other first."""
    if not axes:
        return x
    parts = jax.lax.all_gather(x, tuple(axes))
    while parts.shape[0] > 1:
        parts = parts[::2] + parts[1::2]
    return parts[0]


def _whole_tiles(
    layout: Layout,
    factors: dict[str, tuple[int, ...]],
    arrays: Sequence[Any],
    sizes: tuple[int, ...],
) -> dict[str, tuple[int, ...]]:
    """Returns the splits that leave whole tiles on every device."""
    tiles = dict(layout.tiles)
    lengths: dict[str, int] = {}
    for names, x in zip((*layout.results, *layout.operands), arrays, strict=True):
        lengths.update(zip(names, x.shape, strict=True))

    def whole(name: str, axes: tuple[int, ...]) -> bool:
        parts = math.prod(sizes[i] for i in axes)
        return lengths[name] % (parts * tiles.get(name, 1)) == 0

    return {name: axes for name, axes in factors.items() if whole(name, axes)}


def _fits(layout: Layout, operands: Sequence[Any], splits: Sequence[Split | None]) -> bool:
    """Returns whether every device can compute its own part without more than a small gather.

    A dim that must be whole may be split by mesh axes that also split an independent dim of a larger
    operand: then the smaller operand, a weight kept in parts, is gathered however the op is computed.
    """
    by_size = sorted(
        zip(operands, layout.operands, splits, strict=True), key=lambda x: -math.prod(x[0].shape)
    )
    taken: set[int] = set()
    for _, names, split in by_size:
        if split is None:
            return False
        dims = list(zip(names, split, strict=True))
        if any(f not in layout.independent and not taken.issuperset(axes) for f, axes in dims):
            return False
        taken.update(axis for f, axes in dims if f in layout.independent for axis in axes)
    return True


def _assign(layout: Layout, splits: Sequence[Split | None]) -> dict[str, tuple[int, ...]]:
    """Returns the mesh axes of each factor that stays split; the results have their way first."""
    found: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    for names, split in zip((*layout.results, *layout.operands), splits, strict=True):
        for name, axes in zip(names, split or [()] * len(names), strict=True):
            free = name in layout.independent and name not in found and taken.isdisjoint(axes)
            if axes and free:
                found[name] = axes
                taken.update(axes)
    return found


# -- from XLA's shardings to axes of a mesh ---------------------------------------------------------------


def _splits_of(
    arrays: Sequence[Any], devices: Sequence[Any]
) -> tuple[tuple[int, ...], list[Split | None]]:
    """Returns a mesh and, for every array, which of its axes split each dim; None where none can say.

    A sharding may split finer than the axes of the user's mesh, so the axes here are of prime sizes.
    """
    blocks = [_blocks(x, devices) for x in arrays]
    best: tuple[tuple[int, ...], list[Split | None]] | None = None
    for sizes in _orders(_primes(len(devices))):
        splits = [None if b is None else _split(b, sizes) for b in blocks]
        if best is None or splits.count(None) < best[1].count(None):
            best = sizes, splits
    assert best is not None
    return best


def _blocks(x: Any, devices: Sequence[Any]) -> list[np.ndarray] | None:
    """Returns for each dim which block of it every device has; None where the blocks are not equal."""
    if x.sharding is None:
        return [np.zeros(len(devices), int) for _ in x.shape]
    try:
        indices = x.sharding.devices_indices_map(tuple(x.shape))
    except ValueError:
        return None
    local = x.sharding.shard_shape(tuple(x.shape))
    starts = [[place.start or 0 for place in indices[device]] for device in devices]
    return [
        np.array([start[dim] // max(size, 1) for start in starts]) for dim, size in enumerate(local)
    ]


def _split(blocks: Sequence[np.ndarray], sizes: tuple[int, ...]) -> Split | None:
    """Returns the axes of a mesh that number the blocks of each dim, major first; None if none do."""
    digits = np.unravel_index(np.arange(math.prod(sizes)), sizes)
    strides = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
    found: Split = []
    for block in blocks:
        steps = [int(block[stride]) for stride in strides]
        axes = sorted((i for i, step in enumerate(steps) if step), key=lambda i: -steps[i])
        number = np.zeros_like(block)
        for i in axes:
            number = number * sizes[i] + digits[i]
        if not np.array_equal(number, block):
            return None
        found.append(tuple(axes))
    return found


def _primes(n: int) -> list[int]:
    found: list[int] = []
    factor = 2
    while n > 1:
        while n % factor == 0:
            found.append(factor)
            n //= factor
        factor += 1
    return found


def _orders(items: list[int]) -> Iterator[tuple[int, ...]]:
    """Yields the different orders of items, some of which are equal."""
    if not items:
        yield ()
    for first in sorted(set(items)):
        rest = items.copy()
        rest.remove(first)
        yield from ((first, *others) for others in _orders(rest))


def _mesh_of(devices: Sequence[Any], sizes: tuple[int, ...]) -> jax.sharding.Mesh:
    array = np.array(devices, object).reshape(sizes)
    return jax.sharding.Mesh(array, tuple(f"p{i}" for i in range(len(sizes))))


def _shardings(
    mesh: jax.sharding.Mesh, factors: dict[str, tuple[int, ...]], arrays: Sequence[Names]
) -> tuple[jax.sharding.Sharding, ...]:
    specs = (
        jax.P(*(tuple(f"p{i}" for i in factors.get(f, ())) or None for f in a)) for a in arrays
    )
    return tuple(jax.sharding.NamedSharding(mesh, spec) for spec in specs)


def _lower_part(
    ctx: Any, *operands: Any, function: Callable[..., Any], types: Any, wide: bool
) -> Any:
    del types
    with compat.without_mesh(), jax.enable_x64(wide):
        return mlir.lower_fun(function, multiple_results=True)(ctx, *operands)


# What one device computes. JAX lowers it in the thread where XLA compiles: with its mesh, whose Explicit axes
# would be written into what has no such axes, and its 64-bit mode.
_PART = Primitive("per_device")
_PART.multiple_results = True
_PART.def_abstract_eval(lambda *_operands, function, types, wide: list(types))
mlir.register_lowering(_PART, _lower_part)
