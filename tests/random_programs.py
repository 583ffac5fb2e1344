"""Random JAX programs for hypothesis: what a compiler of any JAX function has to leave as it was.

A program is a list of steps. Each step applies one rule of `RULES` to two earlier values and appends one
float32 array; control flow and transformations have steps of their own inside. Outputs are a few of the
values, so most programs hold dead code, and a step drawn twice is duplicated code.

Values stay below `BOUND`, slopes are of order one, and nothing branches on a computed float: a compiler may
reorder roundings without leaving the tolerance. Where two equal numbers would make a gradient arbitrary
(maximum, sort), a ramp is added first.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from tessera import op
from tessera.core import numerics

Array = jax.Array

BOUND = 4.0
LARGEST = 96  # elements of one value
KNOBS = 12  # a knob picks an axis, a size, a constant
SHAPES: dict[str, tuple[int, ...]] = {
    "a": (4, 6),
    "b": (6,),
    "c": (2, 3, 4),
    "s": (),
    "low": (3, 5),
}
CONSTANTS = (
    np.linspace(-1.0, 1.0, 6, dtype=np.float32),
    jnp.asarray(np.cos(np.arange(24.0)).reshape(4, 6), jnp.float32),
)
# Each of up to nine steps passes rounding on, some with slopes of two or three, and XLA's own fusions of one
# program differ as much.
AMPLIFIED = 100.0


@dataclass(frozen=True)
class Step:
    """One rule, the positions of its two operands among the values so far, a knob, and steps inside."""

    rule: str
    operands: tuple[int, int] = (0, 1)
    knob: int = 0
    body: tuple["Step", ...] = ()


@dataclass(frozen=True, repr=False)
class Program:
    """A function of `(floats, integers, flags)`, arguments for it, and what may be done with it.

    `floats` is a dictionary, the only argument a gradient is taken of. `differentiable` tells whether reverse
    mode is defined, `effects` whether it calls back to Python (each call appends to `seen`), `dtype` is the
    narrowest dtype it computes in.
    """

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    seed: int
    function: Callable[..., Any]
    args: tuple[Any, ...]
    differentiable: bool
    effects: bool
    dtype: str
    seen: list[float]

    def __repr__(self) -> str:
        """Returns the call that makes this program again: what hypothesis prints of a failure."""
        return f"build({self.steps}, {self.outputs}, {self.seed})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Has hypothesis print that too, instead of every field."""
        printer.text("..." if cycle else repr(self))


@dataclass(frozen=True)
class Operands:
    """What a rule sees: two values, a knob, the other arguments, and the steps inside as `run(x, y)`.

    `run_alone` closes over none of the arguments: JAX cannot differentiate a jitted function in which a
    derivative rule closes over what is traced.
    """

    x: Array
    y: Array
    knob: int
    integers: Array
    flags: Array
    run: Callable[[Array, Array], Array]
    run_alone: Callable[[Array, Array], Array]
    seen: list[float]

    @property
    def rows(self) -> Array:
        """Returns x as a matrix."""
        return self.x.reshape(-1, self.x.shape[-1]) if self.x.ndim else self.x.reshape(1, 1)

    @property
    def others(self) -> Array:
        """Returns y as a matrix of the same shape."""
        return jnp.resize(self.y, self.rows.shape)

    @property
    def same(self) -> Array:
        """Returns y in the shape of x."""
        return jnp.resize(self.y, self.x.shape)

    @property
    def weights(self) -> Array:
        """Returns a matrix that x, as a matrix, can be multiplied with from the right."""
        return jnp.resize(self.y, (self.rows.shape[1], 2 + self.knob % 4)) / self.rows.shape[1]

    @property
    def bias(self) -> Array:
        """Returns as many elements as the weights have columns."""
        return jnp.resize(self.y, (2 + self.knob % 4,))

    @property
    def untied(self) -> Array:
        """Returns x as a matrix in which no two elements of a row are equal."""
        ramp = 0.0713 * jnp.arange(self.rows.shape[1], dtype=jnp.float32)
        return self.rows + ramp.reshape(1, -1)


Rule = Callable[[Operands], Array]


def soft(x: Array) -> Array:
    """Returns x, bent so that it stays below `BOUND`."""
    return BOUND * jnp.tanh(x / BOUND)


# -- functions of elements ------------------------------------------------------------------------------

ELEMENTWISE: dict[str, Rule] = {
    "add": lambda o: soft(o.x + 0.5 * o.same),
    "subtract": lambda o: soft(o.x - 0.6 * o.same),
    "multiply": lambda o: soft(o.x * o.same),
    "divide": lambda o: o.x / (1 + o.same**2),
    "scalars": lambda o: soft(1.5 * (2.0 - o.x) / 2.0 + 0.0),
    "negate twice": lambda o: jnp.negative(-o.x),
    "polynomial": lambda o: soft(o.x**3 - 0.5 * o.x**2),
    "power": lambda o: (1 + o.x**2) ** 0.3,
    "square root": lambda o: jnp.sqrt(1 + o.x**2) - 1,
    "rsqrt": lambda o: o.x * lax.rsqrt(1 + o.same**2),
    "exponential": lambda o: jnp.exp(-(o.x**2)),
    "logarithm": lambda o: jnp.log1p(o.x**2) - jnp.expm1(-(o.same**2)),
    "sine": lambda o: jnp.sin(o.x) * jnp.cos(o.same),
    "tanh": lambda o: jnp.tanh(o.x),
    "erf": lambda o: lax.erf(o.x),
    "logaddexp": lambda o: soft(jnp.logaddexp(o.x, o.same)),
    "clamp": lambda o: lax.clamp(-1.2345, o.x, 1.3456),
    "maximum": lambda o: jnp.maximum(o.x, o.same + 0.1234),
    "select by argument": lambda o: jnp.where(jnp.resize(o.flags, o.x.shape), o.x, o.same),
    "select by sign": lambda o: jnp.where(o.x > 0.0123, o.x, 0.1 * o.x + 0.0123),
    "noise": lambda o: soft(
        o.x + 0.3 * jax.random.normal(jax.random.key(o.knob), o.x.shape, jnp.float32)
    ),
    "stop gradient": lambda o: soft(o.x + 0.5 * lax.stop_gradient(o.same)),
    "constant": lambda o: soft(o.x + jnp.resize(CONSTANTS[o.knob % 2], o.x.shape)),
    "constant times": lambda o: o.x * jnp.resize(CONSTANTS[o.knob % 2], o.x.shape),
    "barrier": lambda o: lax.optimization_barrier(o.x),
    "bf16": lambda o: soft((o.x.astype(jnp.bfloat16) * 1.5).astype(jnp.float32)),
    "bf16 matmul": lambda o: soft(
        jnp.matmul(
            o.rows.astype(jnp.bfloat16),
            o.weights.astype(jnp.bfloat16),
            preferred_element_type=jnp.float32,
        )
    ),
}

# -- sums, products, order ------------------------------------------------------------------------------


def _axis(o: Operands) -> int:
    return o.knob % max(o.x.ndim, 1) if o.x.ndim else 0


def _line(o: Operands) -> Array:
    """Returns x with at least one axis."""
    return o.x if o.x.ndim else o.x.reshape(1)


def _cumulative(function: Callable[..., Array]) -> Rule:
    def rule(o: Operands) -> Array:
        x = _line(o)
        sums = function(x, axis=_axis(o)) / x.shape[_axis(o)]
        return soft(sums).reshape(o.x.shape)

    return rule


def _convolve(o: Operands) -> Array:
    kernel = jnp.resize(o.y, (1, 1, 3)) / 3
    out = lax.conv_general_dilated(o.rows[:, None, :], kernel, (1,), "SAME")
    return soft(out[:, 0, :])


def _spectral(o: Operands) -> Array:
    modes = jnp.fft.rfft(o.rows, axis=-1)
    weights = jnp.resize(o.y, (1, modes.shape[1])).astype(jnp.complex64)
    return soft(jnp.fft.irfft(modes * weights, n=o.rows.shape[1], axis=-1))


REDUCTIONS: dict[str, Rule] = {
    "sum": lambda o: soft(jnp.sum(_line(o), axis=_axis(o))),
    "mean of all": lambda o: jnp.mean(o.x) + jnp.zeros_like(o.same),
    "centre": lambda o: o.x - jnp.mean(o.x),
    "deviation": lambda o: jnp.sqrt(jnp.var(o.rows, axis=0) + 0.1),
    "maximum of rows": lambda o: soft(jnp.max(o.untied, axis=1)),
    "minimum kept": lambda o: soft(o.rows - jnp.min(o.untied, axis=1, keepdims=True)),
    "logsumexp": lambda o: soft(jax.nn.logsumexp(o.rows, axis=o.knob % 2)),
    "argmax": lambda o: jax.nn.one_hot(jnp.argmax(o.untied, axis=1), o.rows.shape[1]) * o.rows,
    "any and all": lambda o: jnp.where(jnp.any(o.flags) & ~jnp.all(o.flags), o.x, 0.5 * o.x),
    "cumsum": _cumulative(lax.cumsum),
    "cumlogsumexp": _cumulative(lax.cumlogsumexp),
    "cumprod": _cumulative(lambda x, axis: lax.cumprod(1 + 0.1 * x, axis)),
    "cummax": lambda o: soft(lax.cummax(o.untied, axis=1)),
    "associative scan": _cumulative(lambda x, axis: lax.associative_scan(jnp.add, x, axis=axis)),
    "matmul": lambda o: soft(o.rows @ o.weights),
    "matmul transposed": lambda o: soft(
        jnp.einsum("ij,kj->ik", o.rows, o.others) / o.rows.shape[1]
    ),
    "batched matmul": lambda o: soft(
        jnp.einsum("bi,bij->bj", o.rows, jnp.resize(o.y, (*o.rows.shape, 3))) / o.rows.shape[1]
    ),
    "outer": lambda o: soft(jnp.outer(o.x, o.y)),
    "dense layer": lambda o: jax.nn.relu(o.rows @ o.weights + o.bias.reshape(1, -1) + 0.21),
    "residual layer": lambda o: soft(
        o.rows + jax.nn.gelu(o.rows @ jnp.resize(o.y, (o.rows.shape[1],) * 2) / o.rows.shape[1])
    ),
    "convolution": _convolve,
    "spectral": _spectral,
    "sort": lambda o: soft(jnp.sort(o.untied, axis=1)),
    "sort pairs": lambda o: lax.sort((o.untied, o.others), dimension=1, num_keys=1)[1],
    "argsort": lambda o: jnp.take_along_axis(o.others, jnp.argsort(o.untied, axis=1), axis=1),
    "top k": lambda o: soft(lax.top_k(o.untied, min(2, o.rows.shape[1]))[0]),
}

# -- shapes and indices ---------------------------------------------------------------------------------


def _scatter_add(o: Operands) -> Array:
    where = o.integers % o.rows.shape[0]
    return soft(o.rows.at[where].add(0.3 * jnp.resize(o.y, (where.size, o.rows.shape[1]))))


def _segments(o: Operands) -> Array:
    groups = jnp.resize(o.integers, (o.rows.shape[0],)) % 3
    return soft(jax.ops.segment_sum(o.rows, groups, num_segments=3))


def _update(o: Operands) -> Array:
    piece = o.others[:1, :1] + 0.5
    start = (o.integers[0] % o.rows.shape[0], o.integers[1] % o.rows.shape[1])
    return soft(lax.dynamic_update_slice(o.rows, piece, start))


SHAPING: dict[str, Rule] = {
    "transpose": lambda o: jnp.transpose(o.x),
    "transpose twice": lambda o: jnp.transpose(jnp.transpose(o.x)),
    "flatten": lambda o: o.x.reshape(-1),
    "reshape": lambda o: jnp.resize(o.x, (2 + o.knob % 3, 4)),
    "expand": lambda o: jnp.broadcast_to(o.x[None], (2, *o.x.shape)),
    "move axis": lambda o: jnp.moveaxis(_line(o), 0, -1),
    "concatenate": lambda o: jnp.concatenate([o.rows, o.others], axis=o.knob % 2),
    "stack": lambda o: jnp.mean(jnp.stack([o.x, o.same, o.x]), axis=0),
    "split": lambda o: jnp.split(jnp.concatenate([o.rows, o.others]), 2)[o.knob % 2],
    "reverse": lambda o: o.rows[:, ::-1],
    "roll": lambda o: jnp.roll(o.rows, o.knob, axis=1),
    "pad": lambda o: jnp.pad(o.rows, ((0, 0), (1, o.knob % 3)), constant_values=0.25),
    "slice": lambda o: o.rows[:, o.knob % o.rows.shape[1] :],
    "triangle": lambda o: jnp.tril(o.rows, o.knob % 3 - 1),
    "dynamic slice": lambda o: lax.dynamic_slice_in_dim(o.rows, o.integers[0] % 3, 1, axis=0),
    "dynamic update": _update,
    "gather": lambda o: jnp.take(o.rows, o.integers % o.rows.shape[0], axis=0),
    "gather element": lambda o: o.rows[o.integers[0] % o.rows.shape[0], -1],
    "scatter add": _scatter_add,
    "set one": lambda o: o.rows.at[0, o.knob % o.rows.shape[1]].set(0.5),
    "segments": _segments,
    "one hot": lambda o: soft(jax.nn.one_hot(o.integers % 4, 4) @ jnp.resize(o.x, (4, 3))),
    "iota": lambda o: soft(o.rows + 0.1 * lax.broadcasted_iota(jnp.float32, o.rows.shape, 1)),
    "integers": lambda o: soft(
        o.x * jnp.resize(((o.integers // 2) ^ 5) & 7, o.x.shape).astype(jnp.float32) / 8
    ),
}

# -- the forms libraries write, and Tessera's ops -------------------------------------------------------


def _attention(o: Operands) -> Array:
    q, k, v = o.rows, o.others, jnp.roll(o.others, 1, axis=1)
    scores = q @ k.T / np.sqrt(q.shape[1])
    if o.knob % 2:
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape, bool)), scores, -jnp.inf)
    return jax.nn.softmax(scores, axis=-1) @ v


def _flash(o: Operands) -> Array:
    q, k = o.rows[None], o.others[None]
    return op.flash_attention(q, k, k, causal=bool(o.knob % 2), scale=0.5)[0]


def _softmax_by_hand(o: Operands) -> Array:
    top = lax.stop_gradient(jnp.max(o.rows, axis=-1, keepdims=True))
    weights = jnp.exp(o.rows - top)
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def _layer_norm(o: Operands) -> Array:
    mean = jnp.mean(o.rows, axis=-1, keepdims=True)
    scale = jnp.resize(o.y, (1, o.rows.shape[1]))
    if o.knob % 2:
        spread = jnp.mean(jnp.square(o.rows), axis=-1, keepdims=True) - jnp.square(mean)
        return soft((o.rows - mean) * (lax.rsqrt(spread + 0.1) * scale) + 0.5)
    return soft(scale * (o.rows - mean) / jnp.sqrt(jnp.var(o.rows, -1, keepdims=True) + 0.1))


def _rms_norm(o: Operands) -> Array:
    square = jnp.mean(jnp.square(o.rows), axis=-1, keepdims=True)
    return soft(o.rows * lax.rsqrt(square + 0.1) * jnp.resize(o.y, (1, o.rows.shape[1])))


def _gelu_by_hand(o: Operands) -> Array:
    if o.knob % 2:
        return 0.5 * o.x * (1 + jnp.tanh(0.7978845608 * (o.x + 0.044715 * o.x**3)))
    return o.x * 0.5 * (1 + lax.erf(o.x / np.sqrt(2).astype(np.float32)))


def _cross_entropy(o: Operands) -> Array:
    labels = jnp.resize(o.integers, (o.rows.shape[0],)) % o.rows.shape[1]
    log_p = jax.nn.log_softmax(o.rows, axis=-1)
    return soft(-jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0])


def _activated(o: Operands) -> Array:
    activation = ("tanh", "relu", "gelu", "silu", "sigmoid")[o.knob % 5]
    return soft(
        op.matmul(o.rows, o.weights, epilogue={"bias": o.bias + 0.19, "activation": activation})
    )


IDIOMS: dict[str, Rule] = {
    "relu": lambda o: jax.nn.relu(o.x + 0.37),
    "leaky relu": lambda o: jax.nn.leaky_relu(o.x - 0.17),
    "gelu": lambda o: jax.nn.gelu(o.x, approximate=bool(o.knob % 2)),
    "gelu by hand": _gelu_by_hand,
    "silu": lambda o: jax.nn.silu(o.x) * jax.nn.sigmoid(o.same),
    "softplus": lambda o: soft(jax.nn.softplus(o.x)),
    "softmax": lambda o: jax.nn.softmax(o.rows, axis=o.knob % 2),
    "softmax by hand": _softmax_by_hand,
    "log softmax": lambda o: soft(jax.nn.log_softmax(o.rows, axis=-1)),
    "layer norm": _layer_norm,
    "rms norm": _rms_norm,
    "attention": _attention,
    "cross entropy": _cross_entropy,
    "op gelu": lambda o: op.gelu(o.x, approximate=bool(o.knob % 2)),
    "op silu": lambda o: op.silu(op.tanh(o.x)) + op.sigmoid(o.same),
    "op relu": lambda o: op.relu(o.x + 0.29),
    "op sine": lambda o: op.sin(o.x) * op.cos(o.same),
    "op softmax": lambda o: op.softmax(o.rows, axis=o.knob % 2),
    "op layernorm": lambda o: op.layernorm(
        o.rows, 0.1, weight=jnp.resize(o.y, (o.rows.shape[1],)) / BOUND
    ),
    "op rmsnorm": lambda o: op.rmsnorm(o.rows, 0.1),
    "op matmul": _activated,
    "op reduce_sum": lambda o: soft(op.reduce_sum(o.rows, axis=o.knob % 2)),
    "op flash_attention": _flash,
}

# -- control flow and transformations -------------------------------------------------------------------


def _scan(o: Operands) -> Array:
    def step(carry: Array, count: Array) -> tuple[Array, dict[str, Array]]:
        return o.run(carry, o.y), {"mean": jnp.mean(carry) * count}

    counts = o.integers[:3].astype(jnp.float32) / 8
    last, seen = lax.scan(step, o.x, counts, reverse=bool(o.knob % 2))
    return soft(last + jnp.mean(seen["mean"]))


def _while(o: Operands) -> Array:
    stop = 1 + o.integers[0] % 3

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        return state[0] + 1, o.run(state[1], o.y)

    return lax.while_loop(lambda state: state[0] < stop, step, (jnp.zeros_like(stop), o.x))[1]


def _cond(o: Operands) -> Array:
    return lax.cond(o.integers[0] % 2 == 0, o.run, lambda x, _: 0.5 * x, o.x, o.y)


def _cond_by_row(o: Operands) -> Array:
    flags = jnp.resize(o.flags, (o.rows.shape[0],))
    return jax.vmap(lambda flag, row: lax.cond(flag, lambda x: o.run(x, o.y), jnp.tanh, row))(
        flags, o.rows
    )


def _switch(o: Operands) -> Array:
    branches = (o.run, lambda x, _: jnp.sin(x), lambda x, y: x + 0.1 * jnp.mean(y))
    return soft(lax.switch(o.integers[1] % 3, branches, o.x, o.y))


def _custom_jvp(o: Operands) -> Array:
    """The tangent is not that of the function, so losing the rule shows."""
    function = jax.custom_jvp(o.run_alone)
    function.defjvp(lambda xs, ts: (o.run_alone(*xs), 0.5 * jnp.cos(xs[0]) * ts[0]))
    return function(o.x, o.y)


def _custom_vjp(o: Operands) -> Array:
    """The cotangent is not that of the function, so losing the rule shows."""
    function = jax.custom_vjp(o.run_alone)

    def forward(x: Array, y: Array) -> tuple[Array, tuple[Array, Array]]:
        return o.run_alone(x, y), (x, y)

    def backward(saved: tuple[Array, Array], ct: Array) -> tuple[Array, Array]:
        return 0.5 * jnp.sin(saved[0]) * ct, jnp.full_like(saved[1], 0.1)

    function.defvjp(forward, backward)
    return function(o.x, o.y)


def _grad(o: Operands) -> Array:
    gx, gy = jax.grad(lambda x, y: jnp.sum(o.run(x, y)), (0, 1))(o.x, o.y)
    return soft(gx + jnp.resize(gy, gx.shape))


def _grad_by_row(o: Operands) -> Array:
    return soft(jax.vmap(jax.grad(lambda row: jnp.sum(o.run(row, o.y))))(o.rows))


def _jvp(o: Operands) -> Array:
    value, tangent = jax.jvp(lambda x: o.run(x, o.y), (o.x,), (jnp.cos(o.x),))
    return soft(value + tangent)


def _vjp(o: Operands) -> Array:
    value, pull = jax.vjp(lambda x: o.run(x, o.y), o.x)
    return soft(value + pull(jnp.cos(value))[0])


def _hvp(o: Operands) -> Array:
    slope = jax.grad(lambda x: jnp.sum(o.run(x, o.y) ** 2))
    return soft(jax.jvp(slope, (o.x,), (jnp.ones_like(o.x),))[1])


def _checkpoint(o: Operands) -> Array:
    policy = (None, jax.checkpoint_policies.dots_saveable)[o.knob % 2]
    return jax.checkpoint(o.run, policy=policy)(o.x, o.y)


def _named(o: Operands) -> Array:
    with jax.named_scope("inner"):
        return o.run(o.x, o.y)


def _fori(o: Operands) -> Array:
    return lax.fori_loop(0, 2, lambda i, x: o.run(x, o.y) + 0.01 * i.astype(x.dtype), o.x)


def _callback(o: Operands) -> Array:
    jax.debug.callback(lambda value: o.seen.append(float(value)), jnp.sum(o.x))
    return jnp.tanh(o.x)


NESTED: dict[str, Rule] = {
    "jit": lambda o: jax.jit(o.run)(o.x, o.y),
    "inlined jit": lambda o: jax.jit(o.run, inline=True)(o.x, o.y),
    "named scope": _named,
    "checkpoint": _checkpoint,
    "vmap": lambda o: jax.vmap(o.run, (0, None))(o.rows, o.y),
    "vmap columns": lambda o: jax.vmap(lambda x: o.run(x, o.y), 1, 1)(o.rows),
    "map": lambda o: lax.map(lambda row: o.run(row, o.y), o.rows),
    "scan": _scan,
    "fori": _fori,
    "while": _while,
    "cond": _cond,
    "cond by row": _cond_by_row,
    "switch": _switch,
    "custom_jvp": _custom_jvp,
    "custom_vjp": _custom_vjp,
    "grad": _grad,
    "grad by row": _grad_by_row,
    "jvp": _jvp,
    "vjp": _vjp,
    "hvp": _hvp,
}
EFFECTS: dict[str, Rule] = {"callback": _callback}
PLAIN = ELEMENTWISE | REDUCTIONS | SHAPING | IDIOMS
RULES = PLAIN | NESTED | EFFECTS

NO_REVERSE = frozenset({"while"})
NO_FORWARD = frozenset({"custom_vjp"})
REVERSES = frozenset({"grad", "grad by row", "vjp", "hvp"})
FORWARDS = frozenset({"jvp", "hvp"})
LOW = frozenset({"bf16", "bf16 matmul"})


# -- running steps --------------------------------------------------------------------------------------


def _evaluate(steps: tuple[Step, ...], values: list[Array], rest: Operands) -> list[Array]:
    values = list(values)
    for step in steps:
        x, y = (values[i] for i in step.operands)
        run = functools.partial(_run_body, step.body, rest)
        run_alone = functools.partial(_run_alone, step.body, rest)
        inside = replace(rest, x=x, y=y, knob=step.knob, run=run, run_alone=run_alone)
        found = RULES[step.rule](inside)
        values.append(_cut(found))
    return values


def _run_body(body: tuple[Step, ...], rest: Operands, x: Array, y: Array) -> Array:
    """Returns the last value of the steps inside, in the shape of x: loops carry it."""
    return soft(jnp.resize(_evaluate(body, [x, y], rest)[-1], x.shape))


def _run_alone(body: tuple[Step, ...], rest: Operands, x: Array, y: Array) -> Array:
    """Returns what `_run_body` does, with integers and flags that are made here."""
    count = jnp.arange(12, dtype=jnp.int32)
    rest = replace(rest, integers=count[2:7], flags=(count % 2 == 0).reshape(4, 3))
    return _run_body(body, rest, x, y)


def _cut(x: Array) -> Array:
    """Returns x with at most `LARGEST` elements and three axes."""
    if x.size > LARGEST:
        return x.reshape(-1)[:LARGEST].reshape(-1, 8)
    return x if x.ndim <= 3 else x.reshape(-1, x.shape[-1])


def build(steps: tuple[Step, ...], outputs: tuple[int, ...], seed: int = 0) -> Program:
    """Returns the program of some steps; outputs are positions among the arguments and the steps' values."""
    seen: list[float] = []

    def function(floats: dict[str, Array], integers: Array, flags: Array) -> dict[str, Any]:
        values = [floats[name].astype(jnp.float32) for name in SHAPES]
        rest = Operands(values[0], values[0], 0, integers, flags, _unused, _unused, seen)
        found = _evaluate(steps, values, rest)
        return {
            "values": [found[i] for i in outputs],
            "narrow": (found[-1].astype(jnp.bfloat16),),
            "integers": (3 * integers + jnp.argmax(flags, axis=1).sum()) % 7,
            "flag": jnp.any(flags) ^ (integers[0] > 3),
        }

    rules = set(_names(steps))
    return Program(
        steps=steps,
        outputs=outputs,
        seed=seed,
        function=function,
        args=_arguments(seed),
        differentiable=not rules & NO_REVERSE,
        effects=not rules.isdisjoint(EFFECTS),
        dtype="float32" if rules.isdisjoint(LOW) else "bfloat16",
        seen=seen,
    )


def _unused(x: Array, y: Array) -> Array:
    raise AssertionError("only a step with steps inside runs them")


def _names(steps: tuple[Step, ...]) -> list[str]:
    return [name for step in steps for name in (step.rule, *_names(step.body))]


def _arguments(seed: int) -> tuple[dict[str, Array], Array, Array]:
    rng = np.random.default_rng(seed)
    floats = {
        name: jnp.asarray(
            rng.uniform(-1.5, 1.5, shape), jnp.bfloat16 if name == "low" else jnp.float32
        )
        for name, shape in SHAPES.items()
    }
    integers = jnp.asarray(rng.integers(0, 12, 5), jnp.int32)
    return floats, integers, jnp.asarray(rng.uniform(size=(4, 3)) < 0.5)


def example_of(rule: str, knob: int = 0) -> Program:
    """Returns a short program around one rule, with a body where the rule takes one."""
    body = (Step("matmul", (0, 1), 1), Step("gelu", (2, 0), 1)) if rule in NESTED else ()
    first = len(SHAPES)
    steps = (
        Step("tanh", (0, 0)),
        Step(rule, (first, 2), knob, body),
        Step(rule, (2, 0), knob, body),
    )
    return build(steps, (first + 1, first + 2))


def scalar(function: Callable[..., Any]) -> Callable[..., Array]:
    """Returns a function of the same arguments whose value weighs every float the function returns."""

    def total(*args: Any) -> Array:
        leaves = jax.tree.leaves(function(*args))
        floats = [x.astype(jnp.float32) for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
        weighed = [jnp.sum(x * jnp.cos(jnp.arange(x.size)).reshape(x.shape)) for x in floats]
        return sum(weighed, jnp.zeros(()))

    return total


def assert_same(found: Any, expected: Any, program: Program) -> None:
    """Compares two results leaf by leaf, to the tolerance of the program on the scale of each leaf."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if not jnp.issubdtype(b.dtype, jnp.floating):
            np.testing.assert_array_equal(a, b)
            continue
        narrowest = max(numerics.tolerance(d) for d in (b.dtype, program.dtype))
        first, second = _wide(a), _wide(b)
        scale = max(1.0, float(np.max(np.abs(second), initial=0.0)))
        factor = AMPLIFIED if program.dtype == "float32" and b.dtype == jnp.float32 else 10.0
        np.testing.assert_allclose(first, second, rtol=0, atol=factor * narrowest[0] * scale)


def _wide(x: Array) -> NDArray[np.float64]:
    return np.asarray(x.astype(jnp.float32), np.float64)


# -- the strategy ---------------------------------------------------------------------------------------


@st.composite
def _step(
    draw: st.DrawFn, values: int, depth: int, barred: frozenset[str], effects: bool = False
) -> Step:
    names = [*PLAIN, *(NESTED if depth else ()), *(EFFECTS if effects else ())]
    # Plain rules outnumber the others four to one; half the steps of the outer levels nest.
    nests = depth > 0 and draw(st.integers(0, 2)) == 0
    rule = draw(st.sampled_from([n for n in (NESTED if nests else names) if n not in barred]))
    operands = (draw(st.integers(0, values - 1)), draw(st.integers(0, values - 1)))
    knob = draw(st.integers(0, KNOBS - 1))
    if rule not in NESTED:
        return Step(rule, operands, knob)
    barred |= (NO_REVERSE if rule in REVERSES else frozenset()) | (
        NO_FORWARD if rule in FORWARDS else frozenset()
    )
    count = draw(st.integers(1, 2))
    body = tuple(draw(_step(2 + i, depth - 1, barred)) for i in range(count))
    return Step(rule, operands, knob, body)


@st.composite
def programs(draw: st.DrawFn, longest: int = 6, depth: int = 2, effects: bool = True) -> Program:
    """Returns a strategy of programs of up to `longest` steps that nest up to `depth` deep."""
    steps: list[Step] = []
    for _ in range(draw(st.integers(2, longest))):
        if steps and draw(st.integers(0, 6)) == 0:
            steps.append(draw(st.sampled_from(steps)))
        else:
            values = len(SHAPES) + len(steps)
            steps.append(draw(_step(values, depth, frozenset(), effects)))
    last = len(SHAPES) + len(steps) - 1
    outputs = draw(st.lists(st.integers(0, last), min_size=1, max_size=3))
    return build(tuple(steps), tuple(outputs), draw(st.integers(0, 99)))
