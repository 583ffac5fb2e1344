"""The value of a node that depends on nothing but the program: a causal mask, a scale, a padding of zeros.

Arrays come back compressed: an axis along which a value does not change has size 1, so that a mask of a
million entries built from two ramps costs two ramps until they meet.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import Literal
from xdsl.ir import BlockArgument, OpResult, SSAValue

from tessera.core import compat
from tessera.ir.graph import Constant, Node, constant_of, jax_type, node_of
from tessera.lowering.match import param, shape

LARGEST = 2**26  # elements of an array looked at
MOST_STEPS = 128  # that make a value; a mask takes up to 30
OPENED = ("checkpoint", "remat2", "jit")  # their regions' arguments are their operands, one by one


def constant_value(value: SSAValue) -> np.ndarray | None:
    """Returns the array a value always is, compressed, or None if it depends on an input.

    >>> import jax.numpy as jnp
    >>> from tessera.ir.graph import function_of
    >>> from tessera.lowering.jaxpr_to_graph import capture
    >>> module = capture(jax.make_jaxpr(lambda: jnp.zeros((2, 3)) + jnp.arange(3.0)[None])())
    >>> constant_value(function_of(module).block.last_op.operands[0])
    array([[0., 1., 2.]], dtype=float32)
    """
    order = _computed_from_constants(value)
    if order is None:
        return None
    known: dict[SSAValue, np.ndarray] = {}
    for step in order:
        known[step] = _compute(step, known)
    return known[order[-1]]


def constant_number(value: SSAValue) -> float | None:
    """Returns the one number all elements of a value always are, or None."""
    found = constant_value(value)
    if found is None or found.size != 1 or not np.isrealobj(found):
        return None
    return float(found.reshape(()))


def _computed_from_constants(value: SSAValue) -> list[SSAValue] | None:
    """Returns the values that lead to one, each after its operands and that one last.

    Returns None if an input is among them, a step that is not evaluated here, or more than `MOST_STEPS`.
    """
    value = _outside(value)
    if not _is_held(value) and not _is_step(value):
        return None  # nearly all values
    order: dict[SSAValue, None] = {}
    waiting = [value]
    while waiting:
        value = waiting[-1]
        new = [x for x in _read_by(value) if x not in order]
        if value in order or not new:
            order[waiting.pop()] = None
        elif len(waiting) + len(order) > MOST_STEPS or not all(
            _is_held(x) or _is_step(x) for x in new
        ):
            return None
        else:
            waiting += new
    return list(order)


def _read_by(value: SSAValue) -> list[SSAValue]:
    node = node_of(value)
    return [] if node is None else [_outside(x) for x in node.operands]


def _is_held(value: SSAValue) -> bool:
    constant = constant_of(value)
    if constant is None:
        return False
    atom = constant.atom
    held = atom.val if isinstance(atom, Literal) else atom
    if isinstance(held, Tracer) or held is None:
        return False
    if isinstance(held, jax.Array):
        return held.size <= LARGEST and held.is_fully_addressable and _is_plain(held.dtype)
    return np.size(held) <= LARGEST and _is_plain(jax_type(value).dtype)


def _is_plain(dtype: Any) -> bool:
    return not jnp.issubdtype(dtype, jax.dtypes.extended)


def _is_step(value: SSAValue) -> bool:
    node = node_of(value)
    if node is None or (node.name not in STEPS and node.name not in ELEMENTWISE):
        return False
    return all(isinstance(n, int) for n in shape(value))


def _outside(value: SSAValue) -> SSAValue:
    """Returns what an argument of an opened region stands for outside of it, where that is one value."""
    while isinstance(value, BlockArgument):
        parent = value.owner.parent_op()
        if not isinstance(parent, Node):
            return value
        constants = _scan_constants(parent) if parent.short_name == "scan" else 0
        if parent.short_name not in OPENED and value.index >= constants:
            return value
        value = parent.operands[value.index]
    return value


def _scan_constants(scan: Node) -> int:
    """Returns how many operands every step of a loop gets whole; they come first."""
    assert scan.equation is not None
    return compat.scan_constants(scan.equation)


def _compute(value: SSAValue, known: Mapping[SSAValue, np.ndarray]) -> np.ndarray:
    assert isinstance(value, OpResult)
    op = value.op
    if isinstance(op, Constant):
        held = op.atom.val if isinstance(op.atom, Literal) else op.atom
        return _uniform(np.asarray(held, jax_type(value).dtype))
    assert isinstance(op, Node)
    operands = [known[_outside(x)] for x in op.operands]
    if op.name in STEPS:
        return STEPS[op.name](op, operands)
    with np.errstate(all="ignore"):
        result = np.asarray(ELEMENTWISE[op.name](*operands))
        return result.astype(jax_type(value).dtype, copy=False)


def _uniform(x: np.ndarray) -> np.ndarray:
    """Returns a closed-over array with the axes along which it does not change made 1."""
    for axis in range(x.ndim):
        first = x.take([0], axis) if x.shape[axis] > 1 else x
        if first is not x and bool((x == first).all()):
            x = first
    return x


def _iota(node: Node, operands: list[np.ndarray]) -> np.ndarray:
    del operands
    axis, sizes = param(node, "dimension"), param(node, "shape")
    ramp = np.arange(sizes[axis]).astype(param(node, "dtype"))
    return ramp.reshape([-1 if i == axis else 1 for i in range(len(sizes))])


def _broadcast(node: Node, operands: list[np.ndarray]) -> np.ndarray:
    (x,) = operands
    sizes = [1] * len(shape(node.results[0]))
    for size, axis in zip(x.shape, param(node, "broadcast_dimensions"), strict=True):
        sizes[axis] = size
    return x.reshape(sizes)


def _reshape(node: Node, operands: list[np.ndarray]) -> np.ndarray:
    (x,) = operands
    wanted = shape(node.results[0])
    if x.size == 1:
        return x.reshape([1] * len(wanted))
    kept = [n for n in shape(node.operands[0]) if n != 1]
    if kept == [n for n in wanted if n != 1]:  # only axes of size 1 come or go
        sizes = iter(
            n for n, full in zip(x.shape, shape(node.operands[0]), strict=True) if full != 1
        )
        return x.reshape([1 if n == 1 else next(sizes) for n in wanted])
    return np.broadcast_to(x, shape(node.operands[0])).reshape(wanted)


def _cast(node: Node, operands: list[np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return operands[0].astype(param(node, "new_dtype"))


def _transpose(node: Node, operands: list[np.ndarray]) -> np.ndarray:
    return operands[0].transpose(param(node, "permutation"))


def _select(which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    if which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.choose(which, cases)


def _divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if np.issubdtype(x.dtype, np.integer):
        return np.trunc(x / y)  # XLA rounds towards zero
    return x / y


STEPS: Mapping[str, Callable[[Node, list[np.ndarray]], np.ndarray]] = {
    "jax.iota": _iota,
    "jax.broadcast_in_dim": _broadcast,
    "jax.reshape": _reshape,
    "jax.squeeze": _reshape,
    "jax.expand_dims": _reshape,
    "jax.convert_element_type": _cast,
    "jax.transpose": _transpose,
}

ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    "jax.add": np.add,
    "jax.sub": np.subtract,
    "jax.mul": np.multiply,
    "jax.div": _divide,
    "jax.neg": np.negative,
    "jax.abs": np.abs,
    "jax.sign": np.sign,
    "jax.rem": np.fmod,
    "jax.max": np.maximum,
    "jax.min": np.minimum,
    "jax.sqrt": np.sqrt,
    "jax.rsqrt": lambda x: 1 / np.sqrt(x),
    "jax.eq": np.equal,
    "jax.ne": np.not_equal,
    "jax.lt": np.less,
    "jax.le": np.less_equal,
    "jax.gt": np.greater,
    "jax.ge": np.greater_equal,
    "jax.and": np.bitwise_and,
    "jax.or": np.bitwise_or,
    "jax.xor": np.bitwise_xor,
    "jax.not": np.bitwise_not,
    "jax.select_n": _select,
    "jax.stop_gradient": lambda x: x,
    "jax.copy": lambda x: x,
    "jax.pvary": lambda x: x,
}
