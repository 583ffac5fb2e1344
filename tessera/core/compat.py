"""Every difference between the JAX versions Tessera supports, and every private name it must touch.

Supported: JAX 0.10.2 (Python 3.11) to 0.12 (Python 3.12 and later).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import jax
import jax.extend.core
import jax.numpy as jnp
from jax.experimental import jet as _jet
from jax.extend import source_info_util
from jax.interpreters import partial_eval

# The line of an equation is the user's, not that of the op it called.
source_info_util.register_exclusion(str(Path(__file__).parents[1]))

jet_rules: dict[Any, Any] = _jet.jet_rules
JetTrace: Any = _jet.JetTrace
ZERO_SERIES: Any = _jet.zero_series


# A traced function: `jaxpr`, `consts` and `out_avals`. JAX is folding the class into Jaxpr, so its name and
# what a type checker knows of it differ from version to version.
ClosedJaxpr: TypeAlias = Any

_jaxprs: Any = jax.extend.core


def evaluate(jaxpr: Any, consts: Sequence[Any], *operands: Any) -> list[Any]:
    """Returns the results of a jaxpr, whose constants were hoisted, for operands."""
    return _jaxprs.jaxpr_as_fun(_jaxprs.ClosedJaxpr(jaxpr, list(consts)))(*operands)


INPUT_EFFECTS = ("ReadEffect", "WriteEffect", "AccumEffect")  # those that name a variable

# JAX adds its settings to the config object at run time, out of a type checker's sight.
_config: Any = jax.config


def has_no_series(trace: Any, x: Any) -> bool:
    """Returns whether a value does not vary in a trace of Taylor mode."""
    return trace.to_primal_terms_pair(x)[1] is ZERO_SERIES


def x64_is_on() -> bool:
    """Returns whether 64-bit mode is on here."""
    return _config.jax_enable_x64


def jit_is_off() -> bool:
    """Returns whether `jax.disable_jit` is in force here."""
    return _config.jax_disable_jit


def varying_axes(x: Any) -> frozenset[str]:
    """Returns the manual mesh axes over which a value varies (empty outside `shard_map`)."""
    return frozenset(jax.typeof(x).mat.varying)


def varying_like(x: Any, like: Any) -> Any:
    """Returns x, varying over every mesh axis that another array varies over inside `shard_map`."""
    axes = tuple(sorted(varying_axes(like) - varying_axes(x)))
    return jax.lax.pcast(x, axes, to="varying") if axes else x


def type_of_part(x: Any, shape: Sequence[int]) -> jax.ShapeDtypeStruct:
    """Returns the type of a part of an array, which varies over the same manual mesh axes as the whole."""
    whole = jax.typeof(x)
    if not whole.mat.varying:
        return jax.ShapeDtypeStruct(tuple(shape), x.dtype)
    # A type that varies must name the mesh.
    sharding = jax.sharding.NamedSharding(whole.sharding.mesh, jax.P(*[None] * len(shape)))
    return jax.ShapeDtypeStruct(
        tuple(shape), x.dtype, sharding=sharding, manual_axis_type=whole.mat
    )


def manual_axes() -> tuple[str, ...]:
    """Returns the mesh axes over which the code here runs once per shard (none outside `shard_map`)."""
    mesh = jax.sharding.get_abstract_mesh()
    return tuple(mesh.manual_axes)


def is_per_shard(equation: Any) -> bool:
    """Returns whether an equation was traced where code runs once per shard, inside `shard_map`."""
    return bool(equation.ctx.cur_abstract_mesh.manual_axes)


def explicitly_sharded(aval: Any) -> bool:
    """Returns whether a type names mesh axes of an Explicit mesh."""
    spec = aval.sharding.spec
    return any(entry is not None for entry in spec)


def devices_of(ctx: Any) -> int:
    """Returns the number of devices the partitioner will split a module over at this point.

    It is 1 in a module for one device and inside `shard_map`, where the program is already per device.
    `ctx` is the context a lowering rule gets.
    """
    context = ctx.module_context.axis_context
    if type(context).__name__ == "ShardingContext":
        return context.num_devices
    if type(context).__name__ == "SPMDAxisContext":
        automatic = set(context.mesh.axis_names) - set(context.manual_axes)
        sizes = dict(context.mesh.shape)
        product = 1
        for axis in automatic:
            product *= sizes[axis]
        return product
    return 1  # ReplicaAxisContext: pmap, one program per device


def devices_to_split_over(ctx: Any) -> tuple[Any, ...]:
    """Returns as many devices as a module will be partitioned over here; none where a call cannot be.

    XLA numbers the devices of a program, so which ones these are does not matter. A call that Python
    partitions while XLA compiles cannot be exported, nor stand where some axes are manual and others not.
    """
    context = ctx.module_context.axis_context
    if (
        type(context).__name__ != "ShardingContext"
        or ctx.module_context.lowering_parameters.for_export
    ):
        return ()
    there = tuple(jax.devices())
    return there[: context.num_devices] if 1 < context.num_devices <= len(there) else ()


def with_devices(ctx: Any) -> Any:
    """Returns a lowering context that names the devices there are to split a module over, if any.

    JAX leaves them out where no primitive of the jaxpr asked for them, and `custom_partitioning` asks only
    once it is met inside a lowering.
    """
    devices = devices_to_split_over(ctx)
    if not devices:
        return ctx
    context = replace(ctx.module_context.axis_context, device_assignment=devices)
    return ctx.replace(module_context=ctx.module_context.replace(axis_context=context))


def without_mesh() -> Any:
    """Returns a context in which no mesh is set."""
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))


def is_key(x: Any) -> bool:
    """Returns whether an array is a typed PRNG key array."""
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def with_auto_axes(function: Callable[..., Any], out_sharding: Any) -> Callable[..., Any]:
    """Returns a function that runs with the Explicit axes of a mesh made Auto, and ends in a sharding.

    `out_sharding` is one sharding or a list; axes that are Manual here, inside `shard_map`, stay Manual.
    """
    first = out_sharding[0] if isinstance(out_sharding, list) else out_sharding
    kinds = zip(first.mesh.axis_names, first.mesh.axis_types, strict=True)
    axes = tuple(name for name, kind in kinds if kind is jax.sharding.AxisType.Explicit)
    return cast(Any, jax.sharding.auto_axes(function, axes=axes, out_sharding=out_sharding))


def partitioned_by_the_compiler(
    function: Callable[..., list[Any]], operands: Sequence[Any], results: Sequence[Any]
) -> Callable[..., list[Any]]:
    """Returns a function to lower for these types whose inside need not name shardings, as in Auto mode."""
    if not any(map(explicitly_sharded, operands)):
        return function
    return _in_auto_mode_to(function, tuple(result.sharding for result in results))


@cache
def _in_auto_mode_to(
    function: Callable[..., list[Any]], shardings: tuple[Any, ...]
) -> Callable[..., list[Any]]:
    def run(*operands: Any, **params: Any) -> list[Any]:
        body = partial(function, **params)
        with jax.sharding.use_abstract_mesh(shardings[0].mesh):
            return with_auto_axes(body, list(shardings))(*operands)

    return run


def platform_of(ctx: Any) -> str | None:
    """Returns the platform a module is lowered for, or None when it is lowered for several at once."""
    platforms = ctx.platforms or ctx.module_context.platforms
    return platforms[0] if len(platforms) == 1 else None


def forget_dead_code_rule(primitive: Any) -> None:
    """Leaves to JAX when an equation of a primitive is dead.

    jax-triton 0.4.1 has a rule of its own, which JAX 0.12 calls with an argument more than it takes.
    """
    partial_eval.dce_rules.pop(primitive, None)


@contextmanager
def lowering_on(kind: str | None) -> Iterator[None]:
    """Lowers for a GPU of this kind on a machine that has none; None for the devices there are.

    From JAX 0.11 on a lowering for `cuda` may ask which device it is for, and jax-triton does.
    """
    if kind is None or jax.default_backend() == "gpu":
        yield
        return
    device = jax.sharding.AbstractDevice(f"NVIDIA {kind}", None, "gpu")
    mesh = jax.sharding.AbstractMesh((1,), ("device",), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        yield


def in_auto_mode(
    function: Callable[..., list[Any]], like: Sequence[Any]
) -> Callable[..., list[Any]]:
    """Returns a function that runs with Explicit mesh axes made Auto, its results sharded `like` arrays.

    A hand-written backward contracts and reshapes as it likes; under an Explicit mesh every such step would
    have to name its output sharding. Without Explicit axes the function is returned as it is.
    """
    shardings = [jax.typeof(x).sharding for x in like]
    if not any(explicitly_sharded(jax.typeof(x)) for x in like):
        return function
    return with_auto_axes(function, shardings)


def is_literal(atom: Any) -> bool:
    """Returns whether an operand of an equation is a constant written in it."""
    return isinstance(atom, _jaxprs.Literal)


def is_jaxpr(value: Any) -> bool:
    """Returns whether a value is a jaxpr, closed over constants or not."""
    return isinstance(value, _jaxprs.Jaxpr | _jaxprs.ClosedJaxpr)


def hidden_body(equation: Any) -> ClosedJaxpr | None:
    """Returns the traced function of an equation that keeps one to itself, None for any other.

    From JAX 0.12 on some functions of `jax.numpy`, `searchsorted` and `nonzero` among them, are one equation
    until they are lowered.
    """
    if equation.primitive.name != "call_hi_primitive":
        return None
    hidden = equation.params["_prim"]

    def expand(*operands: Any) -> list[Any]:
        return jax.tree.leaves(hidden.expand(*jax.tree.unflatten(hidden.in_tree, operands)))

    return jax.make_jaxpr(expand)(*(v.aval for v in equation.invars))


def context_of(equation: Any) -> Any:
    """Returns the context, a mesh above all, in which an equation was traced, to be entered."""
    return equation.ctx.manager


def opened(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """Returns a jaxpr, closed over constants or not, and its constants."""
    consts = jaxpr.consts if isinstance(jaxpr, _jaxprs.ClosedJaxpr) else ()
    return (jaxpr.jaxpr if consts or isinstance(jaxpr, _jaxprs.ClosedJaxpr) else jaxpr), consts


def closed_jaxpr(
    invars: Sequence[Any],
    results: Sequence[Any],
    equations: Sequence[Any],
    constants: Sequence[tuple[Any, Any]],
    origin: Any,
) -> ClosedJaxpr:
    """Returns a closed jaxpr made of equations, with the effects and argument names of another."""
    jaxpr = _jaxprs.Jaxpr(
        [var for var, _ in constants],
        list(invars),
        list(results),
        list(equations),
        moved_effects(origin.effects, origin.invars, invars),
        origin.debug_info,
    )
    return _jaxprs.ClosedJaxpr(jaxpr, [array for _, array in constants])


def without_constants(traced: ClosedJaxpr) -> tuple[ClosedJaxpr, Sequence[Any]]:
    """Returns a traced function whose constants are its first arguments, and the constants."""
    jaxpr, consts = opened(traced)
    variables = [*jaxpr.constvars, *jaxpr.invars]
    names = _jaxprs.DebugInfo("jit", "at_level", ("",) * len(variables), ("",) * len(jaxpr.outvars))
    hoisted = _jaxprs.Jaxpr(
        [], variables, list(jaxpr.outvars), list(jaxpr.eqns), jaxpr.effects, names
    )
    return _jaxprs.ClosedJaxpr(hoisted, []), consts


def moved_effects(effects: Any, before: Sequence[Any], after: Sequence[Any]) -> Any:
    """Returns effects on references, with the variables of `before` they name replaced by `after`'s."""
    places = {id(var): i for i, var in enumerate(before)}
    return frozenset(
        type(effect)(after[places[id(effect.input)]])
        if type(effect).__name__ in INPUT_EFFECTS and id(effect.input) in places
        else effect
        for effect in effects
    )


def new_jaxpr(
    constvars: Sequence[Any],
    invars: Sequence[Any],
    results: Sequence[Any],
    equations: Sequence[Any],
) -> Any:
    """Returns a jaxpr made of pure equations."""
    names = _jaxprs.DebugInfo("jit", "rewrite", ("",) * len(invars), ("",) * len(results))
    return _jaxprs.Jaxpr(
        list(constvars), list(invars), list(results), list(equations), frozenset(), names
    )


def closed(jaxpr: Any, constants: Sequence[Any]) -> ClosedJaxpr:
    """Returns a jaxpr closed over the arrays that stand for its constants."""
    return _jaxprs.ClosedJaxpr(jaxpr, list(constants))


def like(held: Any, emitted: ClosedJaxpr) -> Any:
    """Returns an emitted jaxpr in the form, closed or open, in which a parameter held its original."""
    if isinstance(held, _jaxprs.ClosedJaxpr):
        return emitted
    assert not emitted.consts, "an array constant inside a region that cannot hold one"
    return emitted.jaxpr


def is_plain_call(equation: Any) -> bool:
    """Returns whether an equation is a `jit` that only calls: no shardings, layouts, donation or options."""
    if equation.primitive.name != "jit":
        return False
    params = equation.params
    unspecified = all(
        type(s).__name__ == "UnspecifiedValue"
        for s in (*params["in_shardings"], *params["out_shardings"])
    )
    layouts = (*params["in_layouts"], *params["out_layouts"])
    return (
        unspecified
        and not any(params["donated_invars"])
        and not params["compiler_options_kvs"]
        and all(layout is None for layout in layouts)
    )


def in_scope_of(equation: Any, caller: Any) -> Any:
    """Returns an equation as if the call it was found in were not there.

    It gets the named scopes of its caller before its own and, where it came from JAX alone, the caller's
    line.
    """
    outer, inner = caller.source_info, equation.source_info
    traceback = inner.traceback if source_info_util.summarize(inner) else outer.traceback
    if traceback is inner.traceback and not outer.name_stack.stack:
        return equation
    scopes = outer.name_stack + inner.name_stack
    return equation.replace(source_info=inner.replace(traceback=traceback, name_stack=scopes))


def argument_names(jaxpr: Any) -> Sequence[str]:
    """Returns the names of a jaxpr's arguments as the user wrote them, empty where unknown."""
    return jaxpr.debug_info.arg_names or () if jaxpr.debug_info is not None else ()


def source_of(equation: Any) -> str:
    """Returns `file:line (function)` of the user's code an equation was traced from."""
    return source_info_util.summarize(equation.source_info)


def scan_constants(scan: Any) -> int:
    """Returns how many operands of a scan every step gets whole; they come first."""
    params = scan.params
    if "num_consts" in params:  # to JAX 0.11
        return params["num_consts"]
    return len(params["ft_in"].unpack()[0])


def scan_carries(scan: Any) -> int:
    """Returns how many operands of a scan go from step to step; they follow the constants."""
    params = scan.params
    if "num_carry" in params:  # to JAX 0.11
        return params["num_carry"]
    return len(params["ft_in"].unpack()[1])


def varies_alike(traced: ClosedJaxpr, types: Sequence[Any]) -> bool:
    """Returns whether every equation's operands vary over the same manual mesh axes, as `shard_map` asks.

    `types` are those of the arguments. What was traced outside `shard_map` does not say itself over which
    axes its values vary, and mixes them as it likes.
    """
    return _varying_results(traced, [frozenset(t.mat.varying) for t in types]) is not None


def _varying_results(
    traced: ClosedJaxpr, arguments: Sequence[frozenset[str]]
) -> list[frozenset[str]] | None:
    jaxpr, _ = opened(traced)
    found: dict[Any, frozenset[str]] = dict(zip(jaxpr.invars, arguments, strict=True))

    def axes_of(atom: Any) -> frozenset[str]:
        return frozenset() if isinstance(atom, _jaxprs.Literal) else found.get(atom, frozenset())

    for equation in jaxpr.eqns:
        operands = [axes_of(atom) for atom in equation.invars]
        if len(set(operands)) > 1:
            return None
        results = [operands[0] if operands else frozenset[str]()] * len(equation.outvars)
        if equation.primitive.name == "jit":
            inner = _varying_results(equation.params["jaxpr"], operands)
            if inner is None:
                return None
            results = inner
        found.update(zip(equation.outvars, results, strict=True))
    return [axes_of(atom) for atom in jaxpr.outvars]


def function_name(traced: ClosedJaxpr) -> str:
    """Returns the name of the function a jaxpr was traced from."""
    jaxpr, _ = opened(traced)
    return jaxpr.debug_info.func_name if jaxpr.debug_info is not None else "function"
