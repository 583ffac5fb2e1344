"""Ops beside PyTorch in float64: values, gradients and, where it says so, gradients of gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

from tessera import op
from tessera.core import numerics

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.torch

# Two libraries add in different orders, which a few products in a row make larger.
RTOL, ATOL = (100 * bound for bound in numerics.tolerance(jnp.float64))


@pytest.fixture(autouse=True)
def one_thread_and_the_formula_of_attention():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # The fused kernel of the CPU has no gradient of its gradient.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), jax.enable_x64(True):
        yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Case:
    """One call in both libraries, of operands with these shapes (or these values)."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    operands: tuple[Any, ...]
    twice: bool = False

    def values(self) -> list[np.ndarray]:
        generator = np.random.default_rng(0)
        return [x if isinstance(x, np.ndarray) else generator.normal(size=x) for x in self.operands]


def flat(result: Any, is_complex: Callable[[Any], bool]) -> tuple[Any, ...]:
    """Returns the results of a call as real arrays: a complex one is two of them."""
    found = []
    for x in result if isinstance(result, tuple | list) else (result,):
        found += [x.real, x.imag] if is_complex(x) else [x]
    return tuple(found)


def in_torch(case: Case, values: list[np.ndarray]) -> list[list[Any]]:
    """Returns results, gradients and their gradients, each for weights drawn at random."""
    xs = [torch.tensor(x, requires_grad=True) for x in values]
    ys = flat(case.theirs(*xs), torch.is_complex)
    weights = [torch.tensor(w) for w in drawn(ys, 1)]
    words = {"materialize_grads": True, "create_graph": case.twice}
    dxs = torch.autograd.grad(ys, xs, weights, **words)
    again: tuple[Any, ...] = ()
    if case.twice:
        # The gradient of what an op only adds is constant, and has no graph there.
        pairs = [pair for pair in zip(dxs, drawn(xs, 2), strict=True) if pair[0].requires_grad]
        tops, weights = zip(*((dx, torch.tensor(w)) for dx, w in pairs), strict=True)
        again = torch.autograd.grad(tops, xs, weights, materialize_grads=True)
    return [[x.detach().numpy() for x in some] for some in (ys, dxs, again)]


def in_tessera(case: Case, values: list[np.ndarray], weights: list[Any]) -> Any:
    def result(*xs):
        return flat(case.ours(*xs), jnp.iscomplexobj)

    def gradient(*xs):
        ys, pull = jax.vjp(result, *xs)
        return pull(tuple(weights)), ys

    def everything(*xs):
        if case.twice:
            dxs, pull, ys = jax.vjp(gradient, *xs, has_aux=True)
            return ys, dxs, pull(tuple(drawn(xs, 2)))
        dxs, ys = gradient(*xs)
        return ys, dxs, ()

    return jax.jit(everything)(*values)


def drawn(like: Any, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.normal(size=tuple(x.shape)) for x in like]


def compare(case: Case) -> None:
    values = case.values()
    theirs = in_torch(case, values)
    ours = in_tessera(case, values, drawn(theirs[0], 1))
    for name, found, expected in zip(("value", "gradient", "second"), ours, theirs, strict=True):
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert a.dtype == b.dtype == np.float64
            np.testing.assert_allclose(a, b, RTOL, ATOL, err_msg=f"{name} {i}")


# -- convolutions -----------------------------------------------------------------------------------------

CONV = {1: (op.conv1d, F.conv1d), 2: (op.conv2d, F.conv2d), 3: (op.conv3d, F.conv3d)}


def first(x):
    """Returns an operand with its channels behind the batch."""
    return torch.movedim(x, -1, 1)


def last(x):
    return torch.movedim(x, 1, -1)


def kernel_first(w):
    return torch.movedim(w, (-1, -2), (0, 1))


def conv(sizes, kernel, channels, stride=1, padding=0, groups=1, layout="nhwc", twice=False):
    ours, theirs = CONV[len(sizes)]
    inner, outer = channels
    words = {"stride": stride, "padding": padding, "groups": groups}
    if layout == "nchw":
        shapes = (2, inner, *sizes), (outer, inner // groups, *kernel)
        return Case(partial(ours, layout=layout, **words), partial(theirs, **words), shapes, twice)
    shapes = (2, *sizes, inner), (*kernel, inner // groups, outer)
    return Case(
        partial(ours, **words),
        lambda x, w: last(theirs(first(x), kernel_first(w), **words)),
        shapes,
        twice,
    )


CONVOLUTIONS = {
    "of a line": conv((9,), (3,), (3, 4), twice=True),
    "of a line in strides with padding": conv((9,), (4,), (2, 4), 2, 1, layout="nchw"),
    "of a line in groups": conv((8,), (3,), (4, 6), 1, 2, groups=2),
    "of a plane": conv((6, 5), (3, 2), (3, 4), layout="nchw"),
    "of a plane in unequal strides": conv((7, 6), (3, 3), (2, 3), (2, 1), (1, 2)),
    "of a plane that keeps its size": conv((5, 6), (3, 1), (2, 3), padding="same"),
    "of a plane without padding": conv((5, 6), (2, 2), (2, 3), padding="valid", layout="nchw"),
    "of a plane in groups": conv((6, 6), (3, 3), (4, 8), 2, 1, groups=4, layout="nchw"),
    "of a space": conv((4, 5, 3), (2, 3, 2), (2, 3), (1, 2, 1), 1),
    "of a space in groups": conv((3, 4, 3), (2, 2, 2), (4, 4), 1, 0, groups=2, layout="nchw"),
    "of each channel": Case(
        lambda x, w: op.depthwise_conv(x, w, stride=2, padding=1),
        lambda x, w: last(F.conv2d(first(x), kernel_first(w), stride=2, padding=1, groups=3)),
        ((2, 6, 5, 3), (3, 3, 1, 6)),
    ),
    "of each channel of a line": Case(
        partial(op.depthwise_conv, padding="same", layout="nchw"),
        partial(F.conv1d, padding="same", groups=4),
        ((2, 4, 7), (4, 1, 3)),
    ),
    "of each channel and then across": Case(
        lambda x, w, m: op.separable_conv(x, w, m, padding=1, layout="nchw"),
        lambda x, w, m: F.conv2d(F.conv2d(x, w, padding=1, groups=3), m),
        ((2, 3, 5, 4), (6, 1, 3, 3), (4, 6, 1, 1)),
    ),
    "with an epilogue": Case(
        lambda x, w, b, r: op.conv2d(
            x, w, padding=1, layout="nchw", epilogue="bias_gelu_residual", bias=b, residual=r
        ),
        lambda x, w, b, r: F.gelu(F.conv2d(x, w, b, padding=1)) + r,
        ((2, 3, 4, 4), (5, 3, 3, 3), (5,), (2, 5, 4, 4)),
        twice=True,
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    compare(CONVOLUTIONS[name])


# -- norms ------------------------------------------------------------------------------------------------

POSITIVE = np.random.default_rng(3).uniform(0.5, 2.0, size=5)
MEAN = np.random.default_rng(4).normal(size=5)


def evaluated(library):
    """Returns batch_norm by statistics that are operands too."""
    if library is op:
        return lambda x, w, b, mean, var: op.batch_norm(x, w, b, (mean, var), layout="nchw")
    return lambda x, w, b, mean, var: (
        (x - mean[:, None]) / torch.sqrt(var[:, None] + 1e-5) * w[:, None] + b[:, None]
    )


NORMS = {
    "batch_norm in training": Case(
        lambda x, w, b: op.batch_norm(x, w, b, training=True, layout="nchw")[0],
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        ((3, 5, 2, 4), (5,), (5,)),
        twice=True,
    ),
    "batch_norm with channels last": Case(
        lambda x, w, b: op.batch_norm(x, w, b, eps=1e-3),
        lambda x, w, b: last(F.batch_norm(first(x), None, None, w, b, training=True, eps=1e-3)),
        ((3, 2, 4, 5), (5,), (5,)),
    ),
    "batch_norm of rows without weights": Case(
        lambda x: op.batch_norm(x, None, None),
        lambda x: F.batch_norm(x, None, None, training=True),
        ((6, 5),),
    ),
    "batch_norm by given statistics": Case(
        lambda x, w, b: op.batch_norm(x, w, b, (MEAN, POSITIVE)),
        lambda x, w, b: F.batch_norm(x, torch.tensor(MEAN), torch.tensor(POSITIVE), w, b),
        ((6, 5), (5,), (5,)),
    ),
    "batch_norm differentiated by its statistics": Case(
        evaluated(op), evaluated(torch), ((6, 5, 2), (5,), (5,), MEAN, POSITIVE)
    ),
    "layernorm": Case(
        lambda x, w, b: op.layernorm(x, weight=w, bias=b),
        lambda x, w, b: F.layer_norm(x, (6,), w, b),
        ((2, 3, 6), (6,), (6,)),
        twice=True,
    ),
    "layernorm without weights": Case(
        partial(op.layernorm, eps=1e-2),
        partial(F.layer_norm, normalized_shape=(6,), eps=1e-2),
        ((4, 6),),
    ),
    "layernorm of another axis": Case(
        lambda x, w: op.layernorm(x, weight=w, axis=1),
        lambda x, w: first(F.layer_norm(last(x), (6,), w)),
        ((2, 6, 3), (6,)),
    ),
    "rmsnorm": Case(
        lambda x, w: op.rmsnorm(x, weight=w),
        lambda x, w: F.rms_norm(x, (6,), w, eps=1e-5),
        ((2, 3, 6), (6,)),
        twice=True,
    ),
    "rmsnorm without a weight": Case(
        lambda x: op.rmsnorm(x, 1e-2), lambda x: F.rms_norm(x, (6,), eps=1e-2), ((4, 6),)
    ),
    "softmax": Case(op.softmax, partial(torch.softmax, dim=-1), ((3, 5),), twice=True),
    "softmax of another axis": Case(
        partial(op.softmax, axis=0), partial(torch.softmax, dim=0), ((4, 3, 2),)
    ),
    "norm": Case(partial(op.norm, axis=-1), partial(torch.linalg.vector_norm, dim=-1), ((3, 5),)),
    "norm of zeros": Case(op.norm, torch.linalg.vector_norm, (np.zeros(3),)),
    **{
        f"norm with p={p} of a row with zeros": Case(
            partial(op.norm, p=p, axis=1),
            partial(torch.linalg.vector_norm, ord=p, dim=1),
            (np.array([[0.0, 2.0, -2.0], [1.0, 0.0, 3.0]]),),
        )
        for p in (1, 2, 3, float("inf"))
    },
    "softmax with hidden entries": Case(
        op.softmax,
        partial(torch.softmax, dim=-1),
        (np.array([[1.0, -np.inf, 0.5, -np.inf]]),),
        True,
    ),
    "norm of matrices": Case(
        partial(op.norm, p="nuc", axis=(1, 2)),
        lambda x: torch.linalg.matrix_norm(x, "nuc", dim=(1, 2)),
        ((2, 4, 3),),
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms(name):
    compare(NORMS[name])


@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_running_statistics_of_batch_norm(momentum):
    x = Case(op.relu, torch.relu, ((4, 5, 3),)).values()[0]
    mean, var = torch.tensor(MEAN), torch.tensor(POSITIVE)
    F.batch_norm(torch.tensor(x), mean, var, training=True, momentum=momentum)  # in place
    _, new = op.batch_norm(
        x, None, None, (MEAN, POSITIVE), training=True, momentum=momentum, layout="nchw"
    )
    np.testing.assert_allclose(new.mean, mean, RTOL, ATOL)
    np.testing.assert_allclose(new.var, var, RTOL, ATOL)


# -- elementwise ------------------------------------------------------------------------------------------

WITH_ZERO = np.array([-8.0, -1.0, -1e-9, 0.0, 1e-9, 0.3, 2.0, 9.0])
ACTIVATIONS = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "exp": torch.exp,
    "square": torch.square,
}
FAR = np.array([-800.0, -40.0, 40.0, 800.0])
ELEMENTWISE = {
    **{
        f"{name} far from zero": Case(getattr(op, name), ACTIVATIONS[name], (FAR,), twice=True)
        for name in ("gelu", "silu", "sigmoid", "tanh")
    },
    **{
        name: Case(getattr(op, name), theirs, (WITH_ZERO,), twice=name != "relu")
        for name, theirs in ACTIVATIONS.items()
    },
    "gelu by tanh": Case(
        partial(op.gelu, approximate=True), partial(F.gelu, approximate="tanh"), (WITH_ZERO,), True
    ),
    "log and sqrt": Case(
        lambda x: op.log(x) * op.sqrt(x), lambda x: torch.log(x) * torch.sqrt(x), (POSITIVE,), True
    ),
    "asin and acos": Case(
        lambda x: (op.asin(x), op.acos(x)),
        lambda x: (torch.asin(x), torch.acos(x)),
        (np.array([-0.99, -0.5, 0.0, 1e-9, 0.7]),),
        twice=True,
    ),
    "atan2": Case(op.atan2, torch.atan2, ((3, 5), (3, 5)), twice=True),
    "pow": Case(op.pow, torch.pow, (POSITIVE, MEAN), True),
    "pow of zero": Case(op.pow, torch.pow, (np.array([0.0, 0.0, -2.0]), np.array([2.0, 1.0, 3.0]))),
    "div": Case(op.div, torch.div, ((3, 5), POSITIVE[None]), True),
    "maximum": Case(op.maximum, torch.maximum, ((3, 5), (3, 5))),
    "maximum of equals": Case(op.maximum, torch.maximum, (WITH_ZERO, np.abs(WITH_ZERO))),
    "minimum": Case(op.minimum, torch.minimum, ((3, 5), (1, 5))),
    "a hard threshold": Case(
        partial(op.threshold, t=0.4), partial(F.hardshrink, lambd=0.4), ((20,),)
    ),
    "a soft threshold": Case(
        partial(op.threshold, t=0.4, mode="soft"), partial(F.softshrink, lambd=0.4), ((20,),)
    ),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_functions(name):
    compare(ELEMENTWISE[name])


@pytest.mark.parametrize("p", [0.0, 0.25, 0.9, 1.0])
def test_dropout_keeps_the_same_values_scaled_alike(p):
    x = np.full(400, 3.0)
    y, pull = jax.vjp(lambda x: op.dropout(x, p, key=0), x)
    there = torch.tensor(x, requires_grad=True)
    out = F.dropout(there, p)
    (slope,) = torch.autograd.grad(out.sum(), there)
    for ours, theirs in ((y, out), (pull(np.ones(400))[0], slope)):
        np.testing.assert_array_equal(np.unique(ours), torch.unique(theirs).detach())
    np.testing.assert_array_equal(pull(np.ones(400))[0] * 3, y)


# -- attention --------------------------------------------------------------------------------------------

SDPA = F.scaled_dot_product_attention
MASK = np.random.default_rng(5).random((2, 1, 5, 7)) < 0.6
MASK[..., 0] = True  # a query that sees nothing is NaN there and zero here


def attention(theirs, shapes, twice=False, ours=op.flash_attention, **words):
    return Case(partial(ours, **words), theirs, shapes, twice)


def within(window, rows, columns):
    """Returns what a causal window lets be seen, the last query beside the last key."""
    back = torch.arange(rows)[:, None] + columns - rows - torch.arange(columns)
    return (back >= 0) & (back < window)


HEADS = ((2, 4, 5, 6), (2, 4, 7, 6), (2, 4, 7, 3))
SQUARE = ((2, 4, 6, 4),) * 3
GROUPS = ((1, 4, 5, 6), (1, 2, 5, 6), (1, 2, 5, 6))
LONG = ((1, 1, 400, 8),) * 3
ATTENTION = {
    "whole": attention(SDPA, HEADS, twice=True),
    "causal": attention(partial(SDPA, is_causal=True), SQUARE, twice=True, causal=True),
    "masked": attention(partial(SDPA, attn_mask=torch.tensor(MASK)), HEADS, mask=MASK),
    "scaled": attention(partial(SDPA, scale=0.3), HEADS, scale=0.3),
    "of shared heads": attention(
        partial(SDPA, enable_gqa=True, is_causal=True), GROUPS, causal=True
    ),
    "with fewer queries than keys": attention(
        partial(SDPA, attn_mask=within(99, 5, 7)), HEADS, causal=True
    ),
    "in a window": attention(
        partial(SDPA, attn_mask=within(3, 5, 7)), HEADS, causal=True, window=3
    ),
    "of rank three": attention(SDPA, ((2, 5, 6), (2, 7, 6), (2, 7, 3))),
    "in blocks": attention(
        partial(SDPA, is_causal=True), LONG, causal=True, block_q=128, block_k=96
    ),
    "by its formula": attention(
        partial(SDPA, is_causal=True, scale=0.7, enable_gqa=True),
        GROUPS,
        twice=True,
        ours=op.scaled_dot_product_attention,
        causal=True,
        scale=0.7,
    ),
    "by its formula and masked": attention(
        partial(SDPA, attn_mask=torch.tensor(MASK)),
        HEADS,
        ours=op.scaled_dot_product_attention,
        mask=MASK,
    ),
    "with one key head": attention(
        lambda q, k, v: SDPA(q, k[:, None], v[:, None], is_causal=True, enable_gqa=True),
        ((2, 4, 5, 6), (2, 5, 6), (2, 5, 6)),
        ours=op.multi_query_attention,
        causal=True,
    ),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name):
    compare(ATTENTION[name])


def turned(x, base=10000.0, positions=None):
    """Returns rotary positions as models in PyTorch write them: two halves, one of them turned over."""
    half = x.shape[-1] // 2
    places = torch.arange(x.shape[-2]) if positions is None else torch.tensor(positions)
    inverse = 1.0 / base ** (torch.arange(half, dtype=x.dtype) / half)
    angles = torch.cat([torch.outer(places.to(x.dtype), inverse)] * 2, -1)
    rotated = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * angles.cos() + rotated * angles.sin()


def by_features(q, k, v):
    a, b = F.elu(q) + 1, F.elu(k) + 1
    return (a @ (b.mT @ v)) / (a * b.sum(-2, keepdim=True)).sum(-1, keepdim=True)


def gated_by_place(x, up, spatial, down):
    u, v = F.gelu(F.layer_norm(x, x.shape[-1:]) @ up).chunk(2, -1)
    return x + (u * (spatial @ F.layer_norm(v, v.shape[-1:]) + 1)) @ down


PLACES = np.array([7, 0, 300, 2, 1])
FEED_FORWARD = {
    "rope": Case(op.rope, turned, ((2, 3, 5, 6),)),
    "rope of another base": Case(
        partial(op.rope, theta=500.0), partial(turned, base=500.0), ((5, 4),)
    ),
    "rope at given places": Case(
        partial(op.rope, positions=PLACES), partial(turned, positions=PLACES), ((2, 5, 6),)
    ),
    "fused_mlp": Case(
        op.fused_mlp,
        lambda x, up, gate, down: (F.silu(x @ gate) * (x @ up)) @ down,
        ((2, 3, 4), (4, 6), (4, 6), (6, 5)),
        twice=True,
    ),
    "fused_mlp by gelu": Case(
        partial(op.fused_mlp, activation="gelu"),
        lambda x, up, gate, down: (F.gelu(x @ gate) * (x @ up)) @ down,
        ((3, 4), (4, 6), (4, 6), (6, 5)),
    ),
    "ffn": Case(
        lambda x, up, down, a, b: op.ffn(x, up, down, up_bias=a, down_bias=b),
        lambda x, up, down, a, b: F.linear(F.gelu(F.linear(x, up.T, a)), down.T, b),
        ((2, 3, 4), (4, 6), (6, 5), (6,), (5,)),
        twice=True,
    ),
    "matmul with an epilogue": Case(
        lambda x, w, b, r: op.matmul(x, w, epilogue="bias_silu_residual", bias=b, residual=r),
        lambda x, w, b, r: F.silu(F.linear(x, w.T, b)) + r,
        ((2, 3, 4), (4, 5), (5,), (2, 3, 5)),
        twice=True,
    ),
    "matmul of vectors and matrices": Case(
        lambda a, b, c: op.matmul(op.matmul(a, b), c),
        lambda a, b, c: a @ b @ c,
        ((4,), (2, 4, 5), (5, 3)),
    ),
    "matmul with axes that broadcast": Case(op.matmul, torch.matmul, ((2, 1, 3, 4), (5, 4, 6))),
    "performer_attention": Case(
        partial(op.performer_attention, kernel="elu"),
        by_features,
        ((2, 5, 4), (2, 7, 4), (2, 7, 3)),
        twice=True,
    ),
    "gmlp_block": Case(op.gmlp_block, gated_by_place, ((2, 5, 4), (4, 6), (5, 5), (3, 4))),
    "gemm": Case(
        lambda a, b, c: op.gemm(a, b, c, alpha=0.5, beta=-2, transB=True),
        lambda a, b, c: torch.addmm(c, a, b.T, alpha=0.5, beta=-2),
        ((3, 4), (5, 4), (3, 5)),
    ),
    "batched_gemm": Case(op.batched_gemm, torch.bmm, ((2, 3, 4), (2, 4, 5))),
    "grouped_matmul": Case(
        lambda x, w: op.grouped_matmul(x, w, jnp.array([2, 0, 3])),
        lambda x, w: torch.cat([x[:2] @ w[0], x[2:5] @ w[2], 0 * x[5:] @ w[1]]),
        ((6, 4), (3, 4, 5)),
    ),
}


@pytest.mark.parametrize("name", FEED_FORWARD)
def test_feed_forward_parts(name):
    compare(FEED_FORWARD[name])


EINSUMS = {
    "ij,jk->ik": ((3, 4), (4, 5)),
    "bij,jk": ((2, 3, 4), (4, 5)),
    "...hid,...hjd->...hij": ((2, 3, 4, 5), (2, 3, 6, 5)),
    "ii->i": ((4, 4),),
    "ij->": ((3, 4),),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 5)),
    "i,j->ij": ((3,), (4,)),
}


@pytest.mark.parametrize("spec", EINSUMS)
def test_contractions(spec):
    compare(Case(partial(op.einsum, spec), partial(torch.einsum, spec), EINSUMS[spec]))


# -- losses -----------------------------------------------------------------------------------------------

LABELS = np.array([0, 3, 2, 3, 1, 0])
GRID = np.array([[1, 0, 4], [2, 1, 3]])
CHANCES = np.random.default_rng(6).dirichlet(np.ones(5), size=6)
OTHERS = np.random.default_rng(7).dirichlet(np.ones(5), size=6)


def entropy(reduction, ignore_index=None):
    ignored = {} if ignore_index is None else {"ignore_index": ignore_index}
    return Case(
        lambda x: op.cross_entropy(x, LABELS, reduction=reduction, **ignored),
        lambda x: F.cross_entropy(x, torch.tensor(LABELS), reduction=reduction, **ignored),
        ((6, 5),),
        twice=True,
    )


def by_log(x, y, **words):
    return F.kl_div(torch.log(y), x, **words)


LOSSES = {
    **{f"cross_entropy, {word}": entropy(word) for word in ("mean", "sum", "none")},
    "cross_entropy that ignores a class, mean": entropy("mean", 3),
    "cross_entropy that ignores a class, none": entropy("none", 3),
    "cross_entropy of several axes": Case(
        lambda x: op.cross_entropy(x, GRID),
        lambda x: F.cross_entropy(first(x), torch.tensor(GRID)),
        ((2, 3, 5),),
    ),
    "cross_entropy of soft labels": Case(
        op.cross_entropy, F.cross_entropy, ((6, 5), CHANCES), twice=True
    ),
    "cross_entropy of soft labels, none": Case(
        partial(op.cross_entropy, reduction="none"),
        partial(F.cross_entropy, reduction="none"),
        ((6, 5), CHANCES),
    ),
    "cross_entropy of soft labels and several axes": Case(
        op.cross_entropy,
        lambda x, y: F.cross_entropy(first(x), first(y)),
        ((2, 3, 5), CHANCES.reshape(2, 3, 5)),
    ),
    "cross_entropy with a class that cannot be": Case(
        lambda x: op.cross_entropy(x, np.array([0, 2])),
        lambda x: F.cross_entropy(x, torch.tensor([0, 2])),
        (np.array([[1.0, -np.inf, 0.5], [2.0, -np.inf, -1.0]]),),
        twice=True,
    ),
    "mse": Case(op.mse, F.mse_loss, ((3, 4), (3, 4)), twice=True),
    "mse of a target for every row": Case(
        op.mse, lambda x, y: F.mse_loss(x, y.expand(3, 4)), ((3, 4), (4,))
    ),
    "mse of a number": Case(
        lambda x: op.mse(x, 0.5), lambda x: F.mse_loss(x, torch.full_like(x, 0.5)), ((3, 4),)
    ),
    "kl_divergence": Case(
        op.kl_divergence, partial(by_log, reduction="batchmean"), (CHANCES, OTHERS), twice=True
    ),
    "kl_divergence, none": Case(
        partial(op.kl_divergence, reduction="none"),
        lambda p, q: by_log(p, q, reduction="none").sum(-1),
        (CHANCES, OTHERS),
    ),
    "kl_divergence of logarithms": Case(
        partial(op.kl_divergence, log_p=True, log_q=True, reduction="sum"),
        lambda p, q: F.kl_div(q, p, reduction="sum", log_target=True),
        (np.log(CHANCES), np.log(OTHERS)),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    compare(LOSSES[name])


# -- rows taken, sorted and added ---------------------------------------------------------------------------

TAKEN = np.array([[1, 4, 1], [0, -1, 4]])
SEGMENTS = np.array([2, 0, 2, 5, 2, 0, 9, -1])  # two of them are outside
INSIDE = torch.tensor(SEGMENTS[:6])


def scattered(how):
    empty = {"sum": 0.0, "mean": 0.0, "amax": np.finfo(np.float64).min}[how]

    def run(x):
        rows = INSIDE[:, None].expand(-1, x.shape[-1])
        blank = torch.full((6, x.shape[-1]), empty, dtype=x.dtype)
        return blank.scatter_reduce(0, rows, x[:6], how, include_self=False)

    return run


def segments(word):
    return lambda x: op.segment_reduce(x, SEGMENTS, word, num_segments=6)


def recurrent(step, h, xs):
    found = []
    for x in xs:
        h = step(h, x)
        found.append(h)
    return h, torch.stack(found)


ROWS = {
    "gather as an embedding": Case(
        lambda x: op.gather(x, TAKEN),
        lambda x: F.embedding(torch.tensor(TAKEN) % 5, x),
        ((5, 3),),
    ),
    "gather along another axis": Case(
        lambda x: op.gather(x, TAKEN[0], axis=1),
        lambda x: torch.index_select(x, 1, torch.tensor(TAKEN[0])),
        ((3, 5, 2),),
    ),
    "topk": Case(
        lambda x: op.topk(x, 3)[1], lambda x: torch.topk(x, 3).values.softmax(-1), ((4, 7),), True
    ),
    "topk without softmax": Case(
        lambda x: op.topk(x, 2, softmax=False)[1], lambda x: torch.topk(x, 2).values, ((4, 7),)
    ),
    "a running sum": Case(op.scan, partial(torch.cumsum, dim=0), ((5, 3),)),
    "a running sum along another axis": Case(
        partial(op.scan, axis=-1), partial(torch.cumsum, dim=-1), ((2, 5),)
    ),
    "a running sum of what came before": Case(
        lambda x: op.scan(x, "exclusive_sum", 1), lambda x: torch.cumsum(x, 1) - x, ((2, 5),)
    ),
    "a recurrent network": Case(
        lambda w, h, xs: op.scan(lambda h, x: (h := jnp.tanh(w @ h + x), h), h, xs),
        lambda w, h, xs: recurrent(lambda h, x: torch.tanh(w @ h + x), h, xs),
        ((3, 3), (3,), (4, 3)),
        twice=True,
    ),
    "segment_reduce by sum": Case(segments("sum"), scattered("sum"), ((8, 3),)),
    "segment_reduce by sum, as index_add": Case(
        segments("sum"),
        lambda x: torch.zeros(6, 3, dtype=x.dtype).index_add(0, INSIDE, x[:6]),
        ((8, 3),),
    ),
    "segment_reduce by mean": Case(segments("mean"), scattered("mean"), ((8, 3),)),
    "segment_reduce by max": Case(segments("max"), scattered("amax"), ((8, 3),)),
    "reduce_prod": Case(
        partial(op.reduce_prod, axis=1), partial(torch.prod, dim=1), ((3, 4),), twice=True
    ),
    "reduce_prod with a zero": Case(op.reduce_prod, torch.prod, (np.array([2.0, 0.0, 3.0]),)),
    "reduce_max": Case(partial(op.reduce_max, axis=0), partial(torch.amax, dim=0), ((3, 4),)),
    "reduce_max of equals": Case(op.reduce_max, torch.amax, (np.array([1.0, 3.0, 3.0]),)),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_taken_sorted_and_added(name):
    compare(ROWS[name])


def test_topk_finds_the_same_places():
    x = Case(op.relu, torch.relu, ((4, 9),)).values()[0]
    np.testing.assert_array_equal(op.topk(x, 4)[0], torch.topk(torch.tensor(x), 4).indices)


# -- decompositions -----------------------------------------------------------------------------------------


def definite(cholesky, swap):
    """Returns the factor of a positive definite matrix made of any."""
    return lambda x: cholesky(x @ swap(x, -1, -2))


def signed(qr, diagonal, sign):
    """Returns Q and R with the sign that makes the diagonal of R positive."""

    def run(x):
        q, r = qr(x)
        s = sign(diagonal(r, 0, -2, -1))
        return q * s[..., None, :], r * s[..., :, None]

    return run


def aligned(svd, swap):
    """Returns U, S and V with the sign that each pair of vectors has in common left out."""

    def run(x):
        u, s, vh = svd(x)
        return s, u * vh[..., :, :1].swapaxes(-1, -2), swap(vh, -1, -2) * u[..., :1, :]

    return run


def truncated(a, b):
    u, s, vh = torch.linalg.svd(b, full_matrices=False)
    return a @ (u[:, :2] * s[:2]) @ vh[:2]


def iterated(w, b):
    x = torch.zeros_like(b)
    for _ in range(100):
        x = torch.tanh(w @ x + b)
    return x


def settled(w, b):
    return op.fixed_point(lambda x: jnp.tanh(w @ x + b), jnp.zeros_like(b), tol=1e-15)


DOMINANT = np.random.default_rng(9).normal(size=(4, 4)) + 4 * np.eye(4)
ENTRIES = np.array([[2, 0, 2, 2, 1, 0], [1, 3, 1, 0, 2, 3]])  # two places twice


def sparse(values, b):
    return op.spmm(BCOO((values, jnp.asarray(ENTRIES.T)), shape=(3, 4)), b)


def sparse_there(values, b):
    places = torch.tensor(ENTRIES)
    return torch.sparse.mm(
        torch.sparse_coo_tensor(places, values, (3, 4), check_invariants=True), b
    )


MATRICES = {
    "factorized_matmul": Case(
        partial(op.factorized_matmul, rank=2), truncated, ((3, 5), (5, 4)), twice=True
    ),
    "a fixed point against its steps": Case(settled, iterated, (DOMINANT / 20, (4,)), twice=True),
    "products with sparse matrices": Case(sparse, sparse_there, ((6,), (4, 2))),
    **{
        f"solve by {method}": Case(
            lambda a, b, method=method: op.solve(a @ a.T, b, method=method, tol=1e-14),
            lambda a, b: torch.linalg.solve(a @ a.T, b),
            (DOMINANT, (4,)),
        )
        for method in ("cholesky", "cg", "gmres")
    },
    "cholesky": Case(
        definite(op.cholesky, jnp.swapaxes),
        definite(torch.linalg.cholesky, torch.swapaxes),
        ((2, 3, 3),),
        twice=True,
    ),
    **{
        f"qr of {shape}": Case(
            signed(op.qr, jnp.diagonal, jnp.sign),
            signed(torch.linalg.qr, torch.diagonal, torch.sign),
            (shape,),
        )
        for shape in ((3, 3), (2, 5, 3))
    },
    **{
        f"svd of {shape}": Case(
            aligned(op.svd, jnp.swapaxes),
            aligned(partial(torch.linalg.svd, full_matrices=False), torch.swapaxes),
            (shape,),
        )
        for shape in ((3, 3), (4, 2), (2, 2, 3))
    },
    **{
        f"tri_solve, lower={lower}": Case(
            lambda a, b, lower=lower: op.tri_solve(a, b, lower),
            lambda a, b, lower=lower: torch.linalg.solve_triangular(a, b, upper=not lower),
            (np.random.default_rng(8).normal(size=(2, 3, 3)) + 3 * np.eye(3), (2, 3, 2)),
            twice=True,
        )
        for lower in (True, False)
    },
    "solve": Case(
        op.solve,
        torch.linalg.solve,
        (DOMINANT, (4, 2)),
        twice=True,
    ),
}


@pytest.mark.parametrize("name", MATRICES)
def test_decompositions(name):
    compare(MATRICES[name])


# -- transforms ---------------------------------------------------------------------------------------------


def transform(name, norm, shape, dim=(-1,), n=None):
    """Returns a transform of a complex operand, or for rfft a real one, in both libraries."""
    theirs = getattr(torch.fft, f"{name}n")
    ours = partial(getattr(op, name), axes=dim, normalize=norm, n=n)
    by = {"s": None if n is None else (n,), "dim": dim, "norm": norm}
    if name == "rfft":
        return Case(ours, lambda x: theirs(x, **by), (shape,))
    return Case(
        lambda a, b: ours(jax.lax.complex(a, b)),
        lambda a, b: theirs(torch.complex(a, b), **by),
        (shape, shape),
    )


TRANSFORMS = {
    f"{name}, {norm}, {words}": transform(name, norm, **words)
    for name in ("fft", "ifft", "rfft", "irfft")
    for norm, words in (
        ("backward", {"shape": (2, 5), "n": 5}),
        ("ortho", {"shape": (3, 4, 2), "dim": (2, 0, 1)}),
        ("forward", {"shape": (6, 2), "dim": (0,), "n": 7}),
    )
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_fourier_transforms(name):
    compare(TRANSFORMS[name])


def circular(axes):
    def run(x, kernel):
        sizes = [x.shape[axis] for axis in axes]
        spectrum = torch.fft.rfftn(x, sizes, axes) * torch.fft.rfftn(kernel, sizes, axes)
        return torch.fft.irfftn(spectrum, sizes, axes)

    return run


@pytest.mark.parametrize(
    ("axes", "shapes"), [((-1,), ((2, 7), (3,))), ((-2, -1), ((2, 4, 5), (2, 3)))]
)
def test_circular_convolutions(axes, shapes):
    compare(Case(partial(op.conv_fft, axes=axes), circular(axes), shapes))


def spectra(win, hop):
    """PyTorch does not divide by the sum of the window."""
    window = torch.hann_window(win, periodic=True, dtype=torch.float64)
    words = {"n_fft": win, "hop_length": hop, "window": window}
    there = partial(torch.stft, return_complex=True, pad_mode="constant", **words)
    return lambda x: there(x) / window.sum(), lambda X, n: torch.istft(
        X * window.sum(), length=n, **words
    )


@pytest.mark.parametrize(("win", "hop"), [(8, 2), (8, 4), (9, 3)])
def test_spectra_of_windows_and_signals_of_spectra(win, hop):
    n = 12 * hop + win % 2  # a whole number of hops, at whose end neither pads
    there, back = spectra(win, hop)
    compare(Case(lambda x: op.stft(x, win, hop), there, ((2, n),)))
    bins = win // 2 + 1
    shape = (2, bins, op.stft(np.zeros(n), win, hop).shape[-1])
    compare(
        Case(
            lambda a, b: op.istft(jax.lax.complex(a, b), win, hop, length=n),
            lambda a, b: back(torch.complex(a, b), n),
            (shape, shape),
        )
    )


def fourier_layer(x, real, imag):
    """The two-dimensional layer as neural operators in PyTorch write it."""
    w, m = torch.complex(real, imag), real.shape[2] // 2
    k = real.shape[3]
    modes = torch.fft.rfft2(x)
    out = torch.zeros(x.shape[0], w.shape[1], *modes.shape[2:], dtype=modes.dtype)
    for rows, part in ((slice(0, m), w[:, :, :m]), (slice(-m, None), w[:, :, m:])):
        out[:, :, rows, :k] = torch.einsum("bixy,ioxy->boxy", modes[:, :, rows, :k], part)
    return torch.fft.irfft2(out, s=x.shape[-2:])


@pytest.mark.parametrize(("grid", "modes"), [((8, 6), (2, 3)), ((6, 8), (3, 5)), ((5, 7), (1, 4))])
def test_the_fourier_layer(grid, modes):
    weights = (3, 2, 2 * modes[0], modes[1])
    compare(
        Case(
            lambda x, a, b: op.spectral_conv(x, jax.lax.complex(a, b), modes=modes),
            fourier_layer,
            ((2, 3, *grid), weights, weights),
        )
    )
