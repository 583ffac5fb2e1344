"""The whole pipe in one place: compile, inspect, explain, export, load.

your function ─▶ jaxpr ─▶ Graph ─▶ Schedule ─▶ jaxpr ─▶ StableHLO ─▶ XLA
"""

import functools
import inspect as python_inspect
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar

import jax
from jax import export
from jax.extend.core import JaxprEqn
from xdsl.dialects.builtin import ModuleOp

from tessera import ops as ops  # loading it registers the ops that rules name
from tessera.core import compat
from tessera.core.arguments import (
    Static,
    Structure,
    names_of,
    require_hash,
    split,
    split_result,
)
from tessera.core.errors import Code, CompileError
from tessera.core.garbage import collection_deferred
from tessera.core.levels import name_of
from tessera.core.op import TILE
from tessera.ir.schedule import Group
from tessera.ir.text import fingerprint, to_text
from tessera.lowering import (
    GRAPH_PASSES,
    SCHEDULE_PASSES,
    is_planned,
    run_passes,
    tile_to_target,
)
from tessera.lowering.graph_to_jaxpr import emit
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.kernels import equation_of
from tessera.lowering.rule import Context, Record
from tessera.lowering.schedule_to_tile import to_tile
from tessera.runtime import artifact, machine_code, peaks
from tessera.view.explanation import Explanation, explanation

P = ParamSpec("P")
R = TypeVar("R")

LEVELS = (
    "jaxpr",
    "captured",
    "graph",
    "schedule",
    "tile",
    "stablehlo",
    "hlo",
    *tile_to_target.LEVELS,
    "asm",
)
# The device a level is for where no target is named and JAX's own is a CPU.
TARGETS = dict.fromkeys(tile_to_target.LEVELS, "cuda") | {"amdgcn": "rocm", "asm": "cpu"}


@dataclass(frozen=True)
class Traced:
    """A function traced for one signature: what it computes, and how its results are put together."""

    name: str
    jaxpr: compat.ClosedJaxpr
    names: tuple[str, ...]
    result: Structure


@dataclass(frozen=True)
class Plan:
    """A traced function after the compiler: its levels and what every pass did."""

    traced: Traced
    captured: str
    graph: str
    schedule: ModuleOp
    records: tuple[Record, ...]


class Compiled(Generic[P, R]):
    """A function compiled by Tessera. Call it like the original; made by `compile`."""

    def __init__(
        self,
        function: Callable[P, R],
        target: str | None = None,
        static_argnames: Sequence[str] = (),
    ):
        functools.update_wrapper(self, function, updated=())  # its attributes would hide methods
        self._function = function
        self._target = target
        self._static = frozenset(static_argnames)
        self._parameters = _parameter_names(function)
        self._last: tuple[Structure, tuple[Any, ...]] | None = None
        self.trace_count = 0
        self._jitted = jax.jit(_named(self._run, self.name), static_argnums=0)
        unknown = self._static - set(self._parameters)
        if unknown:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"compile: {self.name} has no parameter {min(unknown)!r} to be static.",
                hints=f"parameters: {', '.join(self._parameters)}",
            )

    @property
    def name(self) -> str:
        """The name of the function."""
        return name_of(self._function)

    def __repr__(self) -> str:
        return f"<compiled {self.name}>"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Returns the method of an instance, where a compiled function stands in a class."""
        return self if instance is None else MethodType(self, instance)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the program compiled for the types of the arguments, compiling it if there is none."""
        if compat.jit_is_off():
            return self._function(*args, **kwargs)
        structure, arrays = self._split(args, kwargs)
        out = self._jitted(structure, *arrays)
        self._last = (structure, tuple(map(jax.typeof, arrays)))
        return self._unwrapped(out)

    def _unwrapped(self, out: Any) -> Any:
        return jax.tree.map(lambda x: x.value if isinstance(x, Static) else x, out, is_leaf=_static)

    # -- looking inside ------------------------------------------------------------------------------------

    def inspect(self, level: str, /, *args: Any, target: str | None = None, **kwargs: Any) -> str:
        """Returns the text of a level, for arguments (arrays or their types) or for the last call.

        Levels: jaxpr, captured (Graph before any pass), graph, schedule, tile (the program of every group
        that has one, and what executes it), stablehlo, hlo (optimised by XLA); and, with the extra `gpu`
        and without a GPU, triton, ttir, ttgir, llvm, ptx and amdgcn of every kernel. For the target "cpu",
        llvm and asm are what XLA makes of the function. `target` is the platform ("cpu", "cuda", "rocm") or
        architecture ("sm_80", "sm_90", "sm_100", "gfx942"). Raises `E_GRAPH_INVALID` for another word, or
        without arguments and without a call before; `E_TARGET_CODEGEN` for a level a target has not.
        """
        if level not in LEVELS:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"inspect: there is no level {level!r}.",
                hints=f"levels: {', '.join(LEVELS)}",
            )
        structure, types = self._signature(args, kwargs)
        target = target or self._target or _own_target(level)
        on_cpu = target is not None and peaks.device(target).platform == "cpu"
        if level in ("stablehlo", "hlo") or (level in machine_code.LEVELS and on_cpu):
            return self._lowered_text(level, structure, types, target)
        traced = self._trace(structure, types)
        if level == "jaxpr":
            return traced.jaxpr.pretty_print(use_color=False)
        plan = make_plan(traced, target)
        device = peaks.device(target)
        if level == "tile":
            return to_text(to_tile(plan.schedule, Context(device)))
        if level == "asm":
            raise CompileError(
                Code.E_TARGET_CODEGEN,
                f"inspect: {device.platform} has no level 'asm'.",
                hints='its assembly is the level "ptx" or "amdgcn"; asm is for the target "cpu"',
            )
        if level in tile_to_target.LEVELS:
            tiles = to_tile(plan.schedule, Context(device))
            return tile_to_target.target_text(tiles, level, device.architecture)
        return {
            "captured": plan.captured,
            "graph": plan.graph,
            "schedule": to_text(plan.schedule),
        }[level]

    def _lowered_text(
        self, level: str, structure: Structure, types: Any, target: str | None
    ) -> str:
        program = (
            self if target == self._target else Compiled(self._function, target, [*self._static])
        )
        platforms = _platforms(target, level)
        with compat.lowering_on(None if platforms is None else peaks.device(target).kind):
            lowered = program._jitted.trace(structure, *types).lower(lowering_platforms=platforms)
        if level in machine_code.LEVELS:
            return machine_code.text_of(lowered, level)
        return lowered.as_text() if level == "stablehlo" else str(lowered.compile().as_text())

    def plan(self, /, *args: Any, **kwargs: Any) -> Plan:
        """Returns what the compiler does for arguments (arrays or their types), or did for the last call."""
        return make_plan(self._trace(*self._signature(args, kwargs)), self._target)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Returns what the compiler does for arguments (arrays or their types), or did for the last call."""
        bare = not (args or kwargs or self._parameters or self._last)
        signature = self._split(args, kwargs) if bare else self._signature(args, kwargs)
        plan = make_plan(self._trace(*signature), self._target)
        device = peaks.device(self._target)
        return explanation(self.name, plan.schedule, plan.records, device, plan.traced.names)

    def lower(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Returns the lowered program, as `jax.jit(f).lower` does, for arrays or their types."""
        structure, arrays = self._split(args, kwargs)
        return self._jitted.lower(structure, *arrays)

    def save(
        self,
        path: str | Path,
        *args: Any,
        platforms: Sequence[str] | None = None,
        derivatives: int = 0,
        **kwargs: Any,
    ) -> None:
        """Writes the program for arguments (arrays or their types), or for the last call, to a file.

        A symbolic size (`jax.export.symbolic_shape`) stays symbolic. Results must be of plain containers.
        `derivatives` is how often the loaded program can be differentiated in reverse.
        """
        structure, types = self._signature(args, kwargs)
        if derivatives < 0:
            raise CompileError(
                Code.E_GRAPH_INVALID, f"save: derivatives is {derivatives}, not 0 or more."
            )

        def flat(*arrays: Any) -> Any:
            return self._unwrapped(self._jitted(structure, *arrays))

        exported = export.export(jax.jit(flat), platforms=platforms)(*types)
        plan = make_plan(self._trace(structure, types), self._target)
        artifact.save(
            path,
            exported,
            name=self.name,
            names=plan.traced.names,
            ir_hash=fingerprint(plan.schedule),
            derivatives=derivatives,
        )

    # -- the pipe --------------------------------------------------------------------------------------------

    def _run(self, structure: Structure, *arrays: Any) -> Any:
        self.trace_count += 1
        with collection_deferred():
            return self._run_through_levels(structure, arrays)

    def _run_through_levels(self, structure: Structure, arrays: Sequence[Any]) -> Any:
        # In a call of its own: the levels are garbage by the time there are collections again.
        traced = self._trace(structure, tuple(jax.typeof(x) for x in arrays))
        module, context = lower(traced, self._target)
        emitted = emit(module, partial(_kernel_of, platform=context.device.platform))
        found = compat.evaluate(*compat.opened(emitted), *arrays)
        return _with_statics(traced.result, found)

    def _split(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Structure, list[Any]]:
        if self._static:
            words = _padded(self._parameters, len(args))
            args = tuple(self._marked(k, x) for k, x in zip(words, args, strict=True))
            kwargs = {k: self._marked(k, x) for k, x in kwargs.items()}
        return split((tuple(args), dict(kwargs)), self.name)

    def _marked(self, name: str, value: Any) -> Any:
        if name not in self._static:
            return value
        require_hash(value, f"{self.name}: static argument {name!r} is")
        return Static(value)

    def _signature(self, args: Any, kwargs: Any) -> tuple[Structure, tuple[Any, ...]]:
        if args or kwargs:
            structure, arrays = self._split(args, kwargs)
            return structure, tuple(_type_of(x) for x in arrays)
        if self._last is None and not self._parameters:
            return self._split((), {})[0], ()
        if self._last is None:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"{self.name} has not been called, so there is no signature to look at.",
                hints="pass arguments, or jax.ShapeDtypeStruct(shape, dtype) in their place",
            )
        return self._last

    def _trace(self, structure: Structure, types: Sequence[Any]) -> Traced:
        found: list[Structure] = []

        def flat(*arrays: Any) -> list[Any]:
            args, kwargs = structure.fill(arrays)
            args = tuple(x.value if isinstance(x, Static) else x for x in args)
            kwargs = {k: x.value if isinstance(x, Static) else x for k, x in kwargs.items()}
            result, leaves = split_result(self._function(*args, **kwargs))
            found.append(result)
            return leaves

        names = names_of(self._parameters, structure.fill(types), structure)
        _pose_as(flat, self._function, names)
        jaxpr = jax.make_jaxpr(flat)(*types)
        return Traced(self.name, jaxpr, tuple(names), found[0])


def lower(traced: Traced, target: str | None) -> tuple[ModuleOp, Context]:
    """Returns the module of a traced function that is run, and the context its passes have filled.

    That is its Schedule, or its Graph where every group of the Schedule would be opened again.
    """
    context = Context(peaks.device(target))
    module = _captured(traced)
    run_passes(module, context, GRAPH_PASSES, partial(_captured, traced))
    if is_planned(module, context):
        run_passes(module, context, SCHEDULE_PASSES)
    return module, context


def make_plan(traced: Traced, target: str | None) -> Plan:
    """Returns every level of a traced function, as they are when it is compiled."""
    context = Context(peaks.device(target))
    module = _captured(traced)
    captured = to_text(module)
    run_passes(module, context, GRAPH_PASSES, partial(_captured, traced))
    graph = to_text(module)
    run_passes(module, context, SCHEDULE_PASSES)
    return Plan(traced, captured, graph, module, tuple(context.records))


def _captured(traced: Traced) -> ModuleOp:
    return capture(traced.jaxpr, traced.name, traced.names)


def compile(  # noqa: A001 - the specification's name
    function: Callable[P, R],
    *,
    target: str | None = None,
    static_argnames: Sequence[str] | str = (),
) -> Compiled[P, R]:
    """Returns a function compiled by Tessera: same arguments, same results, same derivatives.

    On a call the function is traced, as by `jax.jit`; plain `jax.numpy` code that is a Tessera op becomes
    that op where it pays; what remains is compiled by XLA as ever. The result goes wherever a JAX function
    goes: `jax.jit`, `jax.grad`, `jax.jvp`, `jax.vmap`, `jax.hessian`, `shard_map`, sharded arguments.

    Arguments are any pytrees. Arrays and numbers are traced; functions, strings and what an Equinox module
    holds beside arrays are static, as are the parameters named by `static_argnames`. `target` is the
    platform to plan for ("cpu", "cuda"); by default JAX's own.

    Raises what the function raises, and `E_GRAPH_INVALID` for an unhashable static argument.

    >>> import jax.numpy as jnp
    >>> mean_exp = compile(lambda x: jnp.mean(jnp.exp(x)))
    >>> mean_exp(jnp.zeros(3)), jax.grad(mean_exp)(jnp.zeros(2))
    (Array(1., dtype=float32), Array([0.5, 0.5], dtype=float32))
    """
    if isinstance(function, Compiled):
        return function
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID, f"compile: {function!r} is not a function.", hints="compile(f)"
        )
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    return Compiled(function, target, names)


def inspect(
    function: Callable[..., Any], level: str, *args: Any, target: str | None = None, **kwargs: Any
) -> str:
    """Returns the text of one level of a function, for arguments (arrays or their types).

    Levels and errors are those of `Compiled.inspect`. The Graph and Schedule text parses with `ts.ir.parse`.

    >>> import jax.numpy as jnp
    >>> "tessera.graph.softmax" in inspect(jax.nn.softmax, "graph", jnp.zeros((2, 3)))
    True
    """
    return compile(function).inspect(level, *args, target=target, **kwargs)


def export_mlir(
    function: Callable[..., Any],
    args: Sequence[Any],
    path: str | Path,
    dialect: str = "stablehlo",
    target: str | None = None,
) -> None:
    """Writes the MLIR of one call of a function to a file.

    `dialect` is "stablehlo", or a level of Tessera's own: "graph", "schedule", "tile". `args` are arrays or
    their types. Raises `E_GRAPH_INVALID` for another dialect.
    """
    dialects = ("stablehlo", "graph", "schedule", "tile")
    if dialect not in dialects:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"export_mlir: there is no dialect {dialect!r}.",
            hints=f"dialects: {', '.join(dialects)}",
        )
    Path(path).write_text(inspect(function, dialect, *args, target=target))


def load(path: str | Path) -> artifact.Program:
    """Returns a program written by `Compiled.save`; errors are those of `tessera.runtime.artifact.load`."""
    return artifact.load(path)


def explain(
    function: Callable[..., Any], *, target: str | None = None
) -> Callable[..., Explanation]:
    """Returns a function of the arguments (arrays or their types) that explains what is compiled for them.

    What comes back prints as a table and shows in Jupyter as a picture: every group of operations that is
    planned as one kernel, with its work, bytes, roofline time and reasons; what became a Tessera op and what
    was left as written, and why. `target` is the platform to plan for, by default JAX's own.

    Raises `E_GRAPH_INVALID` for what is not a function, and what the function raises.

    >>> import jax.numpy as jnp
    >>> found = explain(jnp.matmul)(jnp.ones((2, 3)), jnp.ones((3, 4)))
    >>> [group.pattern for group in found.groups], found.totals.flops
    (['dot_general'], 48)
    """
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"explain: {type(function).__name__} is not a function.",
            hints="ts.explain(f)(*args): the function first, then its arguments",
        )
    if isinstance(function, Compiled) and target is None:
        return function.explain
    if isinstance(function, Compiled):
        return Compiled(function._function, target, tuple(function._static)).explain
    return Compiled(function, target).explain


def _kernel_of(group: Group, platform: str) -> JaxprEqn | None:
    """Returns the equation of a group that runs as its tile program, None for one that does not."""
    return (
        equation_of(group, platform) if group.runs is not None and group.runs.data == TILE else None
    )


def _with_statics(result: Structure, arrays: Sequence[Any]) -> Any:
    filled = result.fill(arrays)
    dynamic = {id(x) for x in arrays}
    return jax.tree.map(lambda x: x if id(x) in dynamic else Static(x), filled)


def _own_target(level: str) -> str | None:
    """Returns the platform a level of a GPU is for on a machine without one, None for any other."""
    return TARGETS.get(level) if peaks.device().platform not in ("cuda", "rocm") else None


def _platforms(target: str | None, level: str) -> tuple[str, ...] | None:
    """Returns the platforms to lower for, None for this machine's; XLA optimises for that one alone."""
    here = peaks.device().platform
    if target is None or peaks.device(target).platform == here:
        return None
    if level in ("hlo", *machine_code.LEVELS):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"inspect: XLA optimises for {here}, this machine's platform, and not for {target}.",
            hints='level "stablehlo" shows the program for another platform',
        )
    return (peaks.device(target).platform,)


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        return function(*args)

    run.__name__ = name  # as profiles and StableHLO show it
    return run


def _pose_as(flat: Any, function: Callable[..., Any], names: Sequence[str]) -> None:
    """Makes errors met while tracing `flat` speak of the user's function and arguments."""
    parameter = python_inspect.Parameter
    words = [re.sub(r"\W+", "_", name).strip("_") for name in names]
    unique = len(set(words)) == len(words) and all(word.isidentifier() for word in words)
    if unique and not any(map(keyword.iskeyword, words)):
        parameters = [parameter(word, parameter.POSITIONAL_ONLY) for word in words]
        flat.__signature__ = python_inspect.Signature(parameters)
    flat.__name__ = name_of(function)
    flat.__wrapped__ = function


def _static(x: Any) -> bool:
    return isinstance(x, Static)


def _type_of(x: Any) -> Any:
    return x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)


def _padded(names: Sequence[str], count: int) -> list[str]:
    return [*names[:count], *[""] * (count - len(names))]


def _parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = python_inspect.signature(function).parameters.values()
    except ValueError:  # a builtin has no signature
        return ()
    return tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
