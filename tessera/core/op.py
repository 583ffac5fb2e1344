"""`define_op`: a plain `jax.numpy` function becomes an op closed under every JAX transformation.

The reference is the op. From it come the shape and dtype rule, sharding, `jvp`, `vjp`, `jet`, `vmap` and the
lowering; what is written by hand (a backward, a faster algorithm) replaces the derived rule and nothing else.

Three primitives carry an op `f`:

    f           the op
    f_forward   the op and what its backward needs (only with `def_forward`)
    f_tangent   its tangent map, linear in the tangents; lowers as the jvp of the reference, and transposes to
                the hand-written backward (only with `def_vjp`)

The JVP rule of `f` binds the other two. Forward mode therefore never meets the backward, reverse mode never
meets the reference's graph, and any nesting of the two is made of the same pieces.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, ParamSpec, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.extend.core import InconclusiveDimensionOperation
from jax.interpreters import ad

from tessera.core import compat, determinism, levels, precision
from tessera.core.determinism import FIXED
from tessera.core.dims import Signature, Term, parse, parse_terms
from tessera.core.errors import Code, CompileError, NumericsError
from tessera.core.operands import check_kind, promote_floats, share_varying_axes, to_array
from tessera.core.partition import Splits, layout_of, parse_splits, run_per_device
from tessera.core.primitive import EXPANSIONS, Flat, make_primitive, taylor_from
from tessera.core.samples import Draw, Sample

__all__ = [
    "Algorithm",
    "Draw",
    "Op",
    "Residuals",
    "Sample",
    "define_op",
    "registered_op",
    "registered_ops",
]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])

REFERENCE = "reference"
TILE = "tile"  # the formulation that runs the op's tile program, which the compiler has

_REGISTRY: dict[str, "Op[..., Any]"] = {}
# Every op there is, with those that are parts of others and stand in no registry.
_BY_NAME: dict[str, "Op[..., Any]"] = {}
# Given a primitive, its operand types, its parameters and a platform: what runs its tile program there, or
# why nothing can.
TilePrograms = Callable[[Any, tuple[Any, ...], dict[str, Any], str], Flat | str]
_tile_programs: list[TilePrograms] = []


@dataclass(frozen=True)
class Residuals:
    """What a backward gets: the operands (None where absent), the output, and the saved arrays."""

    operands: tuple[Any, ...]
    out: Any
    saved: tuple[jax.Array, ...]


@dataclass(frozen=True, eq=False)
class Algorithm:
    """Another formulation of an op: where it applies and how it may be split over devices.

    `when` has a rule for each platform it applies on. `partitions` says that XLA can split it, `splits` along
    which axes a device can compute its part alone.
    """

    name: str
    function: Callable[..., Any]
    when: Mapping[str, Callable[..., bool]]
    partitions: bool
    splits: Splits

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms it may run on."""
        return tuple(self.when)


def define_op(
    dims: str,
    *,
    kinds: str | Sequence[str] = "float",
    name: str | None = None,
    linear: bool = False,
) -> Callable[[Callable[P, R]], "Op[P, R]"]:
    """Returns a decorator that makes a reference function an `Op` and registers it.

    `dims` is the signature (`tessera.core.dims`), one term per positional parameter of the reference.
    Positional parameters are arrays, keyword-only ones static and hashable. `kinds` says which dtypes an
    operand may have, for all or one by one: float, number, integer, bool, any, key. Operands of kind float
    are promoted to one dtype, and those of kind number; one marked `~float` keeps its own.
    `linear=True` states that the op is linear in its operands together, so that it can be transposed.
    """

    def decorate(reference: Callable[P, R]) -> Op[P, R]:
        op = Op(reference, parse(dims), kinds, name or reference.__name__, linear=linear)
        if op.name in _REGISTRY:
            raise CompileError(Code.E_GRAPH_INVALID, f"an op named {op.name!r} is already defined.")
        _REGISTRY[op.name] = op
        return op

    return decorate


def registered_ops() -> tuple["Op[..., Any]", ...]:
    """Returns every op defined so far, by name."""
    return tuple(_REGISTRY[name] for name in sorted(_REGISTRY))


def registered_op(name: str) -> "Op[..., Any]":
    """Returns the op of this name; raises `E_GRAPH_INVALID` naming the known ones if there is none."""
    if name not in _BY_NAME:
        known = ", ".join(sorted(_REGISTRY)) or "none yet: import tessera.op"
        raise CompileError(Code.E_GRAPH_INVALID, f"there is no op {name!r}; ops: {known}.")
    return _BY_NAME[name]


def set_tile_programs(find: TilePrograms) -> None:
    """Sets who is asked for the tile program of an op that chose it: the compiler, which knows the ops."""
    _tile_programs[:] = [find]


class Op(Generic[P, R]):
    """An op: call it like the function it was made from. Made by `define_op`."""

    def __init__(
        self,
        reference: Callable[P, R],
        dims: Signature,
        kinds: str | Sequence[str],
        name: str,
        *,
        linear: bool = False,
    ):
        functools.update_wrapper(self, reference)
        parameters = inspect.signature(reference).parameters.values()
        operands = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.name = name
        self.linear = linear
        self.dims = dims
        self.reference = reference
        self.samples: tuple[Sample, ...] = ()
        self.algorithms: dict[str, Algorithm] = {}
        self.operand_names = tuple(p.name for p in operands)
        self.kinds = (kinds,) * len(operands) if isinstance(kinds, str) else tuple(kinds)
        self.statics = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self._check_definition()
        self._call: Callable[..., Any] = self._call_directly
        self._structures: dict[Any, tuple[bool, ...]] = {}
        self._forward: Callable[..., Any] | None = None
        self._saves: tuple[Term, ...] = ()
        self._jvp: Callable[..., Any] | None = None
        self._vjp: Callable[..., Any] | None = None
        self._taylor: Callable[..., Any] | None = None
        self._primitive = make_primitive(
            name,
            self._flat_reference,
            self._signature,
            choose=self._choose_output,
            mapped=_mapped,
        )
        ad.primitive_jvps[self._primitive] = self._jvp_rule
        ad.primitive_transposes[self._primitive] = self._linear_transpose_rule
        self._forward_primitive: Any = None
        self._tangent_primitive: Any = None
        _BY_NAME[name] = self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Applies the op to arrays and static arguments, and at the `policy=` of the call if there is one."""
        chosen: Any = kwargs.pop("policy", None)
        if chosen is None:
            return self._call(*args, **kwargs)
        with precision.policy(chosen):
            return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<op {self.name}: {self.dims}>"

    # An op is its name: the rules of its primitives are found by identity, so a copy would have none.

    def __copy__(self) -> "Op[P, R]":
        return self

    def __deepcopy__(self, _memo: object) -> "Op[P, R]":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return registered_op, (self.name,)

    @property
    def has_backward(self) -> bool:
        """Whether the op has a hand-written backward or tangent map."""
        return self._vjp is not None or self._jvp is not None

    # -- what may be written by hand -------------------------------------------------------------------

    def def_call(self, function: Callable[Q, S]) -> "Op[Q, S]":
        """Returns the op with its public call set: it normalises arguments and ends in `op.bind(...)`."""
        self._call = function
        self.__doc__ = function.__doc__ or self.__doc__
        self.__signature__ = inspect.signature(function)
        return cast("Op[Q, S]", self)

    def def_forward(self, *, saves: str) -> Callable[[F], F]:
        """Sets the forward that also returns what the backward needs.

        It returns `(out, *saved)`; `saves` are the dims of the saved arrays.
        """

        def decorate(function: F) -> F:
            self._forward = function
            self._saves = parse_terms(saves)
            self._forward_primitive = make_primitive(
                f"{self.name}_forward",
                self._flat_forward,
                lambda params: self._signature(params, self._saves),
                choose=self._choose_forward,
                mapped=_mapped,
            )
            ad.primitive_jvps[self._forward_primitive] = self._forward_jvp_rule
            return function

        return decorate

    def def_vjp(self, function: F) -> F:
        """Sets the backward: `(residuals, cotangent, **statics) ->` one gradient per operand.

        An absent, integer or key operand has None. The cotangent has the structure of the output.
        """
        self._vjp = function
        self._tangent_primitive = make_primitive(
            f"{self.name}_tangent",
            self._flat_tangent,
            self._tangent_signature,
            may_broadcast=False,
            mapped=_mapped,
        )
        ad.primitive_jvps[self._tangent_primitive] = self._tangent_jvp_rule
        ad.primitive_transposes[self._tangent_primitive] = self._transpose_rule
        return function

    def def_jvp(self, function: F) -> F:
        """Sets the tangent map: `(operands, tangents, **statics) ->` tangent of the output.

        It is linear in the tangents; one that is None is zero. Taylor mode goes through it too.
        """
        self._jvp = function
        compat.jet_rules[self._primitive] = taylor_from(self._written_tangent, self._primitive.bind)
        # Whoever looked inside would miss the tangent map.
        EXPANSIONS.pop(self._primitive)
        return function

    def def_taylor(self, function: F) -> F:
        """Sets the Taylor rule: `(operands, series, **statics) -> (out, series of out)`.

        A series has the Taylor coefficients of an operand from the first order on, and is None where the
        operand does not vary. Without a rule Taylor mode goes through the reference.
        """
        self._taylor = function
        compat.jet_rules[self._primitive] = self._taylor_rule
        return function

    def def_algorithm(
        self,
        name: str,
        *,
        platforms: tuple[str, ...],
        when: Callable[..., bool] = lambda *_operands, **_statics: True,
        partitions: bool = False,
        splits: str = "",
        sums: bool = False,
        tiles: Mapping[str, str] | None = None,
        tree: str | None = None,
    ) -> Callable[[F], F]:
        """Adds a formulation with the contract of the reference, or of the forward where there is one.

        It is used on `platforms` where `when(*operand_types, **statics)` holds. `partitions=True` states that
        XLA can split it over devices along the batch without gathering. Others run on several devices per
        device, along the axes that `splits` names (see `def_tile`), and leave the work to the reference where
        it names none or another one is split. Inside `shard_map` a program is per device, so they run.
        With `tiles`, which names for an axis the static argument that is its tile, the bits are the same
        however it runs: what leaves no whole tiles on a device is gathered, and along the axis `tree` the
        parts of devices are added in a tree.
        """

        def decorate(function: F) -> F:
            axes = self._splits(splits, sums, tiles, tree)
            rules = dict.fromkeys(platforms, when)
            self.algorithms[name] = Algorithm(name, function, rules, partitions, axes)
            return function

        return decorate

    def def_tile(
        self,
        *,
        platforms: tuple[str, ...],
        when: Callable[..., bool] = lambda *_operands, **_: True,
        splits: str | None = None,
        sums: bool = False,
    ) -> None:
        """States that the op's tile program is used on `platforms` where `when` holds, as for an algorithm.

        A second call adds platforms with a rule of their own; how parts split is said by the first, "*b" by
        default. The program is the compiler's (`tessera.lowering.tile_programs`). Where it cannot hold these
        sizes, or the kernel language of the platform is not installed, the reference runs; `tessera.explain`
        says so.

        Under `jit` on several devices each device runs the program on its part of the operands. `splits`
        names the axes, in the terms of the dims, along which parts are computed independently: "*b m n" for
        a product, everything but the normalised axis for a norm. A result without such an axis must be the
        same on every part, unless `sums=True`: then it is the sum of what the devices find. Where an axis
        not named here is split, or the mesh does not divide a size, XLA partitions the reference instead, so
        nothing large is gathered; likewise where `when` refuses the types of a part. This is decided when XLA
        has placed every array, so Auto and Explicit meshes are alike. The reference also runs where only some
        axes of a mesh are manual, and in what `jax.export` writes for several devices.
        """
        before = self.algorithms.get(TILE)
        if before is not None and (splits is not None or sums):
            raise self._invalid("has its splits from its first def_tile")
        axes = self._splits(splits or "*b", sums) if before is None else before.splits
        rules = {**({} if before is None else before.when), **dict.fromkeys(platforms, when)}
        self.algorithms[TILE] = Algorithm(TILE, _no_function, rules, False, axes)

    def _splits(
        self,
        text: str,
        sums: bool,
        tiles: Mapping[str, str] | None = None,
        tree: str | None = None,
    ) -> Splits:
        found = parse_splits(text, sums=sums, tiles=tiles, tree=tree)
        known = {axis.name for term in self.dims.operands for axis in term.axes}
        if text not in ("", "*b") and not found.axes <= known:
            raise self._invalid(f"cannot split {sorted(found.axes - known)[0]!r}, an axis it lacks")
        return found

    # -- calling ---------------------------------------------------------------------------------------

    def bind(
        self,
        *operands: Any,
        algorithm: str | None = None,
        deterministic: Any = None,
        **statics: Any,
    ) -> Any:
        """Checks operands against kinds and dims, brings them to common dtypes, and applies the op.

        Absent operands are None. `algorithm` pins a formulation by name ("reference" for the reference);
        otherwise one is chosen when the op is lowered. `deterministic` is the level of this call, by default
        that of the scope: from D2 on the reference is computed at that level, which is then the algorithm.
        Raises `E_SHAPE_MISMATCH`, `E_TARGET_CODEGEN` (dtype), `E_GRAPH_INVALID`, or `E_NONDETERMINISTIC` if
        the op cannot reach the level.
        """
        if algorithm is None:
            algorithm = self._level_of_call(deterministic)
        elif algorithm not in (REFERENCE, *FIXED, *self.algorithms):
            known = ", ".join([REFERENCE, *self.algorithms])
            raise self._invalid(f"has no algorithm {algorithm!r}; one of {known}")
        statics = {**self.statics, **statics}
        if len(operands) < len(self.operand_names):
            operands += (None,) * (len(self.operand_names) - len(operands))
        arrays = [self._operand(i, x) for i, x in enumerate(operands)]
        arrays = promote_floats(arrays, self.kinds, self.name)
        arrays, statics, result = precision.for_product(self.name, arrays, statics)
        shapes = [None if x is None else tuple(x.shape) for x in arrays]
        self.dims.bind(self.name, self.operand_names, shapes, statics)
        present = tuple(x is not None for x in arrays)
        live = share_varying_axes([x for x in arrays if x is not None])
        params = {"present": present, "algorithm": algorithm, **statics}
        try:
            outs = self._primitive.bind(*live, **params)
        except TypeError as error:
            unhashable = [k for k, v in statics.items() if not _hashable(v)]
            if not unhashable:
                raise
            raise self._invalid(f"static argument {unhashable[0]!r} is not hashable") from error
        found = self._assemble(outs, params)
        return found if result is None else found.astype(result)

    def _level_of_call(self, deterministic: Any) -> str | None:
        """Returns the level from D2 on at which the op is computed, None where nothing changes."""
        if deterministic is None:
            level = determinism.current_level()
        else:
            with determinism.level_of_call(self.name, deterministic):
                level = determinism.current_level()
        return level if level in FIXED else None

    def _operand(self, index: int, x: Any) -> jax.Array | None:
        name = self.operand_names[index]
        if x is None:
            if not self.dims.operands[index].optional:
                raise self._invalid(f"argument {name!r} is missing")
            return None
        array = to_array(self.name, name, x)
        check_kind(self.name, name, array, self.kinds[index])
        return array

    def _call_directly(self, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(self.reference).bind(*args, **kwargs)
        bound.apply_defaults()
        return self.bind(*bound.args, **bound.kwargs)

    def _check_definition(self) -> None:
        if len(self.operand_names) != len(self.dims.operands):
            raise self._invalid(
                f"has {len(self.operand_names)} operands but {len(self.dims.operands)} terms in {self.dims}"
            )
        reserved = {"present", "algorithm", "nonzero"} & set(self.statics)
        if reserved:
            raise self._invalid(f"static argument {reserved.pop()!r} is a reserved name")

    def _invalid(self, problem: str) -> CompileError:
        return CompileError(
            Code.E_GRAPH_INVALID, f"{self.name}: {problem}. Signature: {self.dims}."
        )

    # -- flat functions: what the primitives compute ---------------------------------------------------

    def _flat_reference(
        self, *live: Any, present: Any, algorithm: Any, **statics: Any
    ) -> list[Any]:
        def run(*live: Any) -> list[Any]:
            out = self.reference(*_fill(present, live), **statics)
            return self._flatten(out, present, statics)

        return self._computed(run, algorithm)(*live)

    def _flat_forward(self, *live: Any, present: Any, algorithm: Any, **statics: Any) -> list[Any]:
        def run(*live: Any) -> list[Any]:
            assert self._forward is not None
            out, *saved = self._forward(*_fill(present, live), **statics)
            return [*self._flatten(out, present, statics), *saved]

        return self._computed(run, algorithm)(*live)

    def _computed(self, run: Flat, algorithm: Any) -> Flat:
        """Returns a function computed as an algorithm says: at a level if it is one, else as it stands."""
        return levels.inline(run, algorithm, self.name) if algorithm in FIXED else run

    def _flat_tangent(
        self, *xs: Any, present: Any, nonzero: Any, algorithm: Any, **statics: Any
    ) -> list[Any]:
        def of_moving(operands: Any, *moving: Any) -> list[Any]:
            rest = iter(moving)
            mixed = (next(rest) if moves else x for moves, x in zip(nonzero, operands, strict=True))
            outs = self._flat_reference(*mixed, present=present, algorithm=None, **statics)
            return [out for out in outs if _differentiable(out)]

        def run(*xs: Any) -> list[Any]:
            operands, tangents = xs[: sum(present)], xs[len(xs) - sum(nonzero) :]
            moving = tuple(x for moves, x in zip(nonzero, operands, strict=True) if moves)
            return jax.jvp(functools.partial(of_moving, operands), moving, tuple(tangents))[1]

        return self._computed(run, algorithm)(*xs)

    def _flatten(self, out: Any, present: Any, statics: Any) -> list[Any]:
        parts = out if isinstance(out, tuple) else (out,)
        assert len(parts) == len(self.dims.outputs), f"{self.name} returned {len(parts)} outputs"
        key = (present, tuple(sorted(statics.items())))
        self._structures[key] = tuple(part is not None for part in parts)
        return [part for part in parts if part is not None]

    def _assemble(self, outs: Sequence[Any], params: dict[str, Any]) -> Any:
        """Rebuilds the output from its present parts; tracing has recorded which are present."""
        if len(self.dims.outputs) == 1:
            return outs[0]
        return _fill(self._present_outputs(params), outs)

    def _present_outputs(self, params: dict[str, Any]) -> tuple[bool, ...]:
        statics = {k: v for k, v in params.items() if k not in ("present", "algorithm", "nonzero")}
        return self._structures[params["present"], tuple(sorted(statics.items()))]

    def _signature(self, params: dict[str, Any], saves: tuple[Term, ...] = ()) -> Signature:
        present = _pick(params["present"], self.dims.operands)
        return Signature(present, self.dims.outputs + saves)

    def _tangent_signature(self, params: dict[str, Any]) -> Signature:
        operands = _pick(params["present"], self.dims.operands)
        moving = _pick(params["nonzero"], operands)
        return Signature(operands + self.dims.outputs + self._saves + moving, self.dims.outputs)

    # -- choosing an algorithm when the op is lowered --------------------------------------------------

    def _choose_output(self, ctx: Any, types: Sequence[Any], params: dict[str, Any]) -> Any:
        return self._chosen(self._output, ctx, types, params)

    def _choose_forward(self, ctx: Any, types: Sequence[Any], params: dict[str, Any]) -> Any:
        return self._chosen(self._output_and_saved, ctx, types, params)

    @property
    def _output(self) -> "_Kind":
        return _Kind(self._primitive, self._flat_reference, False)

    @property
    def _output_and_saved(self) -> "_Kind":
        return _Kind(self._forward_primitive, self._flat_forward, True)

    def _chosen(
        self, kind: "_Kind", ctx: Any, types: Sequence[Any], params: dict[str, Any]
    ) -> Flat:
        found = self._choose(ctx, types, params)
        if found is None:
            return kind.reference
        platform = compat.platform_of(ctx)
        if compat.devices_of(ctx) == 1 or found.partitions:
            run = self._runs(kind, found, types, params, platform)
        else:
            run = self._split(kind, found, ctx, types, params, platform)
        if run is None and params["algorithm"] == TILE and not kind.saves:
            raise self._no_tile_program(kind, types, params, platform)
        return run or kind.reference

    def _runs(
        self,
        kind: "_Kind",
        found: Algorithm,
        types: Sequence[Any],
        params: dict[str, Any],
        platform: str | None,
    ) -> Flat | None:
        """Returns what runs an algorithm for operands of these types; None where a tile program cannot."""
        if found.name != TILE:
            return self._flat_algorithm(found.name, self._forward is not None, kind.saves)
        program = self._tile_program(kind, types, params, platform)
        return None if isinstance(program, str) else program

    def _tile_program(
        self, kind: "_Kind", types: Sequence[Any], params: dict[str, Any], platform: str | None
    ) -> Flat | str:
        if platform is None:
            return "the module is for several platforms"
        if not _tile_programs:
            return "the compiler is not loaded: import tessera.op"
        return _tile_programs[0](kind.primitive, tuple(types), params, platform)

    def _no_tile_program(
        self, kind: "_Kind", types: Sequence[Any], params: dict[str, Any], platform: str | None
    ) -> CompileError:
        program = self._tile_program(kind, types, params, platform)
        hints = "leave algorithm= out, and the reference runs"
        if not isinstance(program, str):
            program = "it names no axes to split over devices"
            hints = "inside jax.shard_map each device runs it on its own part"
        return CompileError(
            Code.E_TILE_LOWERING,
            f"{self.name}: no tile program on {platform}: {program}.",
            hints=hints,
        )

    def _split(
        self,
        kind: "_Kind",
        found: Algorithm,
        ctx: Any,
        types: Sequence[Any],
        params: dict[str, Any],
        platform: str | None,
    ) -> Flat | None:
        """Returns what runs an algorithm per device; None where a tile program cannot run.

        What has no axes to split got here by name: XLA partitions it, unless it is a kernel.
        """
        whole = self._runs(kind, found, types, params, platform)
        if whole is None or not found.splits.axes:
            return whole if found.name != TILE else None
        devices = compat.devices_to_split_over(ctx)
        if not devices and found.splits.tiles:
            raise NumericsError(
                Code.E_NONDETERMINISTIC,
                f"{self.name}: its bits cannot be kept where only some axes of a mesh are manual, or where a "
                "program for several devices is exported.",
                hints="make every axis of the mesh manual, or none",
            )
        if not devices:
            return kind.reference
        given = tuple(sorted(params.items()))
        return self._per_device(
            kind, found, _bare(types), _bare(ctx.avals_out), given, platform, devices
        )

    @functools.cache  # noqa: B019 - ops live as long as the process
    def _per_device(
        self,
        kind: "_Kind",
        found: Algorithm,
        types: tuple[jax.ShapeDtypeStruct, ...],
        outs: tuple[jax.ShapeDtypeStruct, ...],
        given: tuple[tuple[str, Any], ...],
        platform: str | None,
        devices: tuple[Any, ...],
    ) -> Flat:
        params = dict(given)
        saves = self._saves if kind.saves else ()
        signature = self._signature(params, saves)
        there = self._present_outputs(params) + (True,) * len(saves)
        signature = replace(signature, outputs=_pick(there, signature.outputs))
        layout = layout_of(signature, found.splits, types, outs, params)

        def per_device(parts: Sequence[Any]) -> Flat | None:
            if params["algorithm"] is None and not self._applies(found, parts, params, platform):
                return None
            return self._runs(kind, found, parts, params, platform)

        return run_per_device(kind.reference, per_device, layout, devices)

    def _choose(self, ctx: Any, types: Sequence[Any], params: dict[str, Any]) -> Algorithm | None:
        split = compat.devices_of(ctx) > 1 or any(compat.explicitly_sharded(t) for t in types)
        return self.algorithm_for(compat.platform_of(ctx), types, params, split=split)

    def algorithm_for(
        self, platform: str | None, types: Sequence[Any], params: dict[str, Any], *, split: bool
    ) -> Algorithm | None:
        """Returns what computes the op for operands of these types, or None for the reference.

        `params` are those of the primitive; `split` tells whether the module is partitioned over devices.
        """
        pinned = params["algorithm"]
        if pinned is not None:
            return self.algorithms.get(pinned)
        for algorithm in self.algorithms.values():
            can = not split or algorithm.partitions or algorithm.splits.axes
            if can and self._applies(algorithm, types, params, platform):
                return algorithm
        return None

    def _applies(
        self,
        algorithm: Algorithm,
        types: Sequence[Any],
        params: dict[str, Any],
        platform: str | None,
    ) -> bool:
        rule = None if platform is None else algorithm.when.get(platform)
        statics = {k: params[k] for k in self.statics}
        return rule is not None and _holds(rule, _fill(params["present"], types), statics)

    @functools.cache  # noqa: B019 - ops live as long as the process
    def _flat_algorithm(
        self, name: str, has_saved: bool, keep_saved: bool
    ) -> Callable[..., list[Any]]:
        function = self.algorithms[name].function

        def flat(*live: Any, present: Any, algorithm: Any, **statics: Any) -> list[Any]:
            del algorithm
            out = function(*_fill(present, live), **statics)
            saved = []
            if has_saved:
                out, *saved = out
            return [*self._flatten(out, present, statics), *(saved if keep_saved else [])]

        return flat

    # -- derivative rules ------------------------------------------------------------------------------

    def _jvp_rule(self, primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        if params["algorithm"] in FIXED and self._vjp is None:
            return self._jvp_at_level(self._primitive, primals, tangents, params)
        if self._jvp is not None:
            return self._written_jvp(primals, tangents, params)
        if self._vjp is None:
            return jvp_of(functools.partial(self._flat_reference, **params), primals, tangents)
        primitive = self._primitive if self._forward is None else self._forward_primitive
        results = primitive.bind(*primals, **params)
        outs = results[: len(results) - len(self._saves)]
        moving = [t for t in tangents if type(t) is not ad.Zero]
        nonzero = tuple(type(t) is not ad.Zero for t in tangents)
        found = iter(
            self._tangent_primitive.bind(*primals, *results, *moving, nonzero=nonzero, **params)
        )
        return outs, [next(found) if _differentiable(x) else _no_tangent(x) for x in outs]

    def _jvp_at_level(
        self, primitive: Any, primals: Sequence[Any], tangents: Sequence[Any], params: Any
    ) -> tuple[list[Any], list[Any]]:
        """The rule of a primitive at a level: the tangent map of what it is without one, at that level."""
        outs = primitive.bind(*primals, **params)
        plain = functools.partial(primitive.bind, **{**params, "algorithm": None})
        return outs, levels.tangents_at(params["algorithm"], plain, primals, tangents, outs)

    def _written_jvp(
        self, primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]
    ) -> Any:
        outs = self._primitive.bind(*primals, **params)
        known = [None if type(t) is ad.Zero else t for t in tangents]
        return outs, self._written_tangent(primals, known, **params)

    def _taylor_rule(
        self, primals: Sequence[Any], series: Sequence[Any], *, fixed: Any, **params: Any
    ) -> tuple[list[Any], list[Any]]:
        assert self._taylor is not None
        present, statics = params["present"], {k: params[k] for k in self.statics}
        moving = [None if f else terms for f, terms in zip(fixed, series, strict=True)]
        out, terms = self._taylor(_fill(present, primals), _fill(present, moving), **statics)
        return [out], [terms]

    def _written_tangent(
        self, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
    ) -> list[Any]:
        assert self._jvp is not None
        present, statics = params["present"], {k: params[k] for k in self.statics}
        tangent = self._jvp(_fill(present, primals), _fill(present, tangents), **statics)
        return list(tangent) if isinstance(tangent, tuple) else [tangent]

    def _forward_jvp_rule(
        self, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
    ) -> Any:
        if params["algorithm"] in FIXED:
            return self._jvp_at_level(self._forward_primitive, primals, tangents, params)
        return jvp_of(functools.partial(self._flat_forward, **params), primals, tangents)

    def _tangent_jvp_rule(
        self, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
    ) -> Any:
        if params["algorithm"] in FIXED:
            return self._jvp_at_level(self._tangent_primitive, primals, tangents, params)
        return jvp_of(functools.partial(self._flat_tangent, **params), primals, tangents)

    def _linear_transpose_rule(
        self, cotangents: Sequence[Any], *xs: Any, **params: Any
    ) -> list[Any]:
        """Transposes an op that is linear in the operands not known here (`jax.linear_transpose`).

        JAX refuses if the reference is not; where it cannot tell, `define_op(linear=True)` says so.
        """
        if params["algorithm"] in FIXED:
            plain = functools.partial(self._primitive.bind, **{**params, "algorithm": None})
            return levels.transpose_at(params["algorithm"], plain, cotangents, xs)
        run = functools.partial(
            self._primitive.bind if self.linear else self._flat_reference, **params
        )
        if self.linear:
            unknown = [ad.is_undefined_primal(x) for x in xs]
            zeros = [jnp.zeros(x.aval.shape, x.aval.dtype) for x in _pick(unknown, xs)]
            given = [ad.instantiate_zeros(ct) for ct in cotangents]
            found = jax.vjp(_of_unknown(run, unknown, xs), *zeros)[1](given)
            return list(_fill(unknown, found))
        try:
            return transpose_of(run, cotangents, xs)
        except (AssertionError, NotImplementedError, TypeError) as error:
            raise self._invalid("is not linear, so it has no transpose") from error

    def _transpose_rule(self, cotangents: Sequence[Any], *xs: Any, **params: Any) -> list[Any]:
        present, nonzero = params["present"], params["nonzero"]
        statics = {k: params[k] for k in self.statics}
        operands = [jnp.asarray(x) for x in xs[: sum(present)]]  # JAX passes Python numbers on
        middle = xs[sum(present) : len(xs) - sum(nonzero)]
        outs, saved = (
            middle[: len(middle) - len(self._saves)],
            middle[len(middle) - len(self._saves) :],
        )

        def backward(operands: Any, outs: Any, saved: Any, given: Any) -> list[Any]:
            assert self._vjp is not None
            rest = iter(given)
            cts = [next(rest) if _differentiable(x) else None for x in outs]
            residuals = Residuals(
                _fill(present, operands), self._assemble(outs, params), tuple(saved)
            )
            gradients = self._vjp(residuals, self._assemble(cts, params), **statics)
            kept = _pick(nonzero, _pick(present, gradients))
            moving = _pick(nonzero, operands)
            return [_as_gradient(self.name, g, x) for g, x in zip(kept, moving, strict=True)]

        given = [ad.instantiate_zeros(ct) for ct in cotangents]
        run = compat.in_auto_mode(backward, _pick(nonzero, operands))
        if params["algorithm"] in FIXED:
            run = levels.of_lists(run, params["algorithm"])
        return [None] * (len(operands) + len(middle)) + run(operands, outs, saved, given)


@dataclass(frozen=True)
class _Kind:
    """What a primitive of an op computes: the output, or with it what the backward needs."""

    primitive: Any
    reference: Flat
    saves: bool


def _mapped(
    function: Flat, axes: tuple[int | None, ...], params: dict[str, Any]
) -> Callable[..., Any]:
    """Returns the function mapped; one at a level is an equation of its own, which has derivatives."""
    plain = functools.partial(function, **{**params, "algorithm": None})
    if params["algorithm"] in FIXED:
        return levels.at_level(jax.vmap(plain, in_axes=axes), params["algorithm"])
    return jax.vmap(functools.partial(function, **params), in_axes=axes)


def _no_function(*_operands: Any, **_statics: Any) -> Any:
    raise AssertionError("a tile program is found when the op is lowered, not called")


def _fill(present: Sequence[bool], live: Sequence[Any]) -> tuple[Any, ...]:
    rest = iter(live)
    return tuple(next(rest) if there else None for there in present)


def _pick(mask: Sequence[bool], items: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(item for chosen, item in zip(mask, items, strict=True) if chosen)


def _holds(when: Callable[..., bool], operands: Sequence[Any], statics: dict[str, Any]) -> bool:
    try:
        return when(*operands, **statics)
    except InconclusiveDimensionOperation:
        return False  # a symbolic size may be small as well as large


def _bare(types: Sequence[Any]) -> tuple[jax.ShapeDtypeStruct, ...]:
    return tuple(jax.ShapeDtypeStruct(t.shape, t.dtype) for t in types)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _differentiable(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact)


def _no_tangent(x: Any) -> ad.Zero:
    return ad.Zero(jax.typeof(x).to_tangent_aval())


def _as_gradient(op: str, gradient: Any, operand: Any) -> Any:
    assert gradient is not None, f"{op}: the backward gave no gradient for a float operand"
    assert gradient.shape == operand.shape, f"{op}: gradient {gradient.shape} of {operand.shape}"
    if jnp.iscomplexobj(gradient) and not jnp.iscomplexobj(operand):
        gradient = jnp.real(gradient)
    return gradient.astype(operand.dtype)


def transpose_of(flat: Callable[..., Any], cotangents: Sequence[Any], xs: Sequence[Any]) -> Any:
    """Returns the transpose rule's result for a flat function linear in the operands not known here."""
    unknown = [ad.is_undefined_primal(x) for x in xs]
    types = [x.aval for x in _pick(unknown, xs)]
    given = [ad.instantiate_zeros(ct) for ct in cotangents]
    return list(_fill(unknown, jax.linear_transpose(_of_unknown(flat, unknown, xs), *types)(given)))


def _of_unknown(
    flat: Callable[..., Any], unknown: Sequence[bool], xs: Sequence[Any]
) -> Callable[..., Any]:
    def run(*found: Any) -> Any:
        rest = iter(found)
        return flat(*(next(rest) if u else x for u, x in zip(unknown, xs, strict=True)))

    return run


def jvp_of(flat: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Forward mode of a flat function, with symbolic zeros kept out of it."""
    moves = [type(t) is not ad.Zero for t in tangents]

    def of_moving(*moving: Any) -> tuple[list[Any], list[Any]]:
        rest = iter(moving)
        mixed = [next(rest) if m else x for m, x in zip(moves, primals, strict=True)]
        outs = flat(*mixed)
        return [x for x in outs if _differentiable(x)], outs

    live = [t for t in tangents if type(t) is not ad.Zero]
    _, found, outs = jax.jvp(of_moving, _pick(moves, primals), tuple(live), has_aux=True)
    rest = iter(found)
    return outs, [next(rest) if _differentiable(x) else _no_tangent(x) for x in outs]
