"""What the code itself says of an operator: its call, derivative, algorithms and what it is made of."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any

import jax

from operator_page.text import one_line
from tessera import ops
from tessera.core import levels
from tessera.core import op as core
from tessera.core.op import Algorithm, Op, Sample, registered_op, registered_ops

OPS = "tessera.ops."
# Where a function's parts are looked for: what lies below is checks, dtypes and JAX.
PARTS = (OPS, "tessera.core.activations")
# JAX's functions that carry a rule of their own.
RULES = {
    "custom_linear_solve": "jax.lax.custom_linear_solve",
    "custom_root": "jax.lax.custom_root",
    "custom_jvp": "jax.custom_jvp",
    "custom_vjp": "jax.custom_vjp",
}


@dataclass(frozen=True)
class Operator:
    """A public name, the object behind it and the other names of that object."""

    name: str
    value: Any
    others: tuple[str, ...]

    @property
    def op(self) -> Op[..., Any] | None:
        """The op of the registry, where the object is one."""
        return self.value if isinstance(self.value, Op) else None

    @property
    def doc(self) -> str:
        """The docstring; of an object that is called, that of its class and of its call."""
        found = inspect.getdoc(self.value) or ""
        if not self.has_methods:
            return found
        before, prompt, example = found.partition("\n>>> ")
        return before + "\n\n" + (inspect.getdoc(self.value.__call__) or prompt + example)

    @property
    def has_methods(self) -> bool:
        """Whether it is an object with a call of its own, neither function nor class nor op."""
        return not isinstance(self.value, type | FunctionType | Op)

    @property
    def own_name(self) -> str:
        """The name it has in its module, which its examples use."""
        return getattr(self.value, "__name__", self.name)

    @property
    def calls(self) -> str:
        """The call as it is written, with the defaults; annotations are left to the docstring."""
        return _call(f"op.{self.name}", self.value)

    @property
    def methods(self) -> list[tuple[str, str]]:
        """The calls of the public methods of an object, and what each gives."""
        if not self.has_methods:
            return []
        names = [name for name in dir(type(self.value)) if not name.startswith("_")]
        members = [(name, getattr(self.value, name)) for name in names]
        return [
            (_call(f"op.{self.name}.{name}", member), one_line(inspect.getdoc(member), first=True))
            for name, member in members
            if callable(member)
        ]


def operators() -> list[Operator]:
    """Returns what `tessera.op` offers, each object once: by its own name, where that is public."""
    names: dict[int, list[str]] = {}
    for name, value in sorted(vars(ops).items()):
        if not name.startswith("_") and not isinstance(value, ModuleType):
            names.setdefault(id(value), []).append(name)
    found = []
    for same in names.values():
        value = vars(ops)[same[0]]
        own = value.name if isinstance(value, Op) else getattr(value, "__name__", "")
        first = own if own in same else same[0]
        found.append(Operator(first, value, tuple(n for n in same if n != first)))
    return found


def hidden_ops() -> list[Op[..., Any]]:
    """Returns the ops of the library that have no public name: parts of others."""
    public = {id(value) for value in vars(ops).values()}
    # A kernel that a user registers is in the registry too.
    ours = [op for op in registered_ops() if op.__module__.startswith(OPS)]
    return [op for op in ours if id(op) not in public]


def _call(name: str, value: Any) -> str:
    parameters = inspect.signature(value).parameters.values()
    bare = [
        p.replace(
            annotation=p.empty, default=p.default if p.default is p.empty else _Bare(p.default)
        )
        for p in parameters
    ]
    return name + str(inspect.Signature(bare))


class _Bare:
    """A default as a reader would write it: a function or class by its name."""

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        named = isinstance(self.value, type | FunctionType)
        return self.value.__name__ if named else repr(self.value)


def derivative(operator: Operator) -> str:
    """Returns where the derivative comes from; empty for data and for what takes derivatives."""
    if operator.op is not None:
        return _of_op(operator.op)
    if not isinstance(operator.value, FunctionType) or not operator.value.__module__.startswith(
        OPS
    ):
        return ""
    if "without gradient" in operator.doc.split("\n\n")[0]:
        return "none"
    parts = parts_of(operator.value)
    if parts.rules:
        carried = " and ".join(f"`{RULES[rule]}`" for rule in sorted(parts.rules))
        return f"hand-written, carried by {carried}"
    return "that of its parts and of JAX" if parts.ops else "JAX's"


def _of_op(op: Op[..., Any]) -> str:
    if op.has_backward:
        return "hand-written"
    return "transposed from the reference" + (", which is linear" if op.linear else "")


def highest_level(op: Op[..., Any]) -> str:
    """Returns the highest determinism level an op keeps at every one of its samples."""

    def lowest(sample: Sample) -> str:
        operands = sample.make(jax.random.key(0))
        live = [x for x in operands if x is not None]

        def run(*arrays: jax.Array) -> Any:
            rest = iter(arrays)
            return op.bind(*(None if x is None else next(rest) for x in operands), **sample.statics)

        return min((r.highest for r in levels.reaches(jax.make_jaxpr(run)(*live))), default="D4")

    return min(lowest(sample) for sample in op.samples)


def algorithms(op: Op[..., Any]) -> Iterator[str]:
    """Yields a line for each algorithm and rule: what it is, where it runs, and the rule's own note."""
    for algorithm in op.algorithms.values():
        rules: dict[Callable[..., bool], list[str]] = {}
        for platform, rule in algorithm.when.items():
            rules.setdefault(rule, []).append(platform)
        what = one_line(algorithm.function.__doc__)
        if not rules:
            yield _sentence(f"`{algorithm.name}`: not chosen by itself on any platform", what)
        for rule, platforms in rules.items():
            always = rule.__module__ == core.__name__
            where = ", ".join(platforms) + (", always" if always else ", where its rule holds")
            yield _sentence(f"`{algorithm.name}` on {where}", what, one_line(rule.__doc__))


def _sentence(*parts: str) -> str:
    return ". ".join(p.rstrip(".") for p in parts if p) + "."


def over_devices(op: Op[..., Any]) -> str:
    """Returns how the op runs on several devices under `jit`."""
    lines = [line for a in op.algorithms.values() if (line := _split(op, a))]
    return "; ".join([*lines, "otherwise XLA partitions the reference"]) if lines else ""


def _split(op: Op[..., Any], algorithm: Algorithm) -> str:
    if algorithm.partitions:
        return f"`{algorithm.name}` is split by XLA along the batch"
    axes = ", ".join(f"`{axis}`" for axis in _axes(op) if axis in algorithm.splits.axes)
    if not axes or not algorithm.platforms:
        return ""
    sums = ", and what lacks the axis is the sum of what they find" if algorithm.splits.sums else ""
    return f"`{algorithm.name}` runs on each device's part along {axes}{sums}"


def _axes(op: Op[..., Any]) -> list[str]:
    return list(dict.fromkeys(axis.name for term in op.dims.operands for axis in term.axes))


@dataclass
class Parts:
    """The ops a function applies and the rules of JAX it carries, by name."""

    ops: set[str] = field(default_factory=set)
    rules: set[str] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)


def parts_of(value: Any) -> Parts:
    """Returns what a function is made of, as far as the names in its code tell."""
    found = Parts()
    _visit(value, found)
    return found


def _visit(value: Any, found: Parts) -> None:
    if id(value) in found.seen:
        return
    found.seen.add(id(value))
    if isinstance(value, Op):
        found.ops.add(value.name)
    elif isinstance(value, jax.custom_jvp | jax.custom_vjp):
        found.rules.add(type(value).__name__)
    elif isinstance(value, FunctionType) and value.__module__.startswith(PARTS):
        _visit_code(value.__code__, value.__globals__, found)
    elif isinstance(value, type) and value.__module__.startswith(PARTS):
        for member in vars(value).values():
            _visit(member, found)
    elif isinstance(value, dict):
        for member in value.values():
            _visit(member, found)


def _visit_code(code: CodeType, scope: dict[str, Any], found: Parts) -> None:
    found.rules.update(name for name in RULES if name in code.co_names)
    named = {op.name for op in registered_ops()}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _visit_code(constant, scope, found)
        elif "registered_op" in code.co_names and isinstance(constant, str) and constant in named:
            _visit(registered_op(constant), found)
    for name in code.co_names:
        _visit(scope.get(name), found)
