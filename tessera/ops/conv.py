"""`op.conv1d conv2d conv3d depthwise_conv separable_conv`: convolutions with an epilogue.

    z[n, i.., o] = sum over k.., c of x[n, i * stride + k - pad.., c] w[k.., c, o]
    y = activation(z + bias) + residual

No kernel is flipped (a cross-correlation, as in every deep-learning library).
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import numerics, precision
from tessera.core.activations import ACTIVATIONS
from tessera.core.epilogue import Epilogue, parse_epilogue
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer, to_array

LAYOUTS = ("nhwc", "nchw")
SPACE = "DHW"

Padding = int | str | Sequence[Any]


def conv2d(
    x: Any,
    w: Any,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    *,
    layout: str = "nhwc",
    epilogue: Epilogue = None,
    bias: Any = None,
    residual: Any = None,
    groups: int = 1,
) -> jax.Array:
    """Returns activation(conv(x, w) + bias) + residual over two axes of space.

    `layout="nhwc"`: x (batch, height, width, in), w (height, width, in / groups, out); `"nchw"`: x (batch,
    in, height, width), w (out, in / groups, height, width). `stride` is a whole number or one per axis;
    `padding` a number, one per axis, a pair (before, after) per axis, "valid", or "same" (ceil(size / stride)
    outputs). `epilogue`, `bias` (out,) and `residual` (the shape of the result) are those of `op.matmul`.
    Sums are in at least fp32, and the result has the common dtype of x and w.

    Raises `E_SHAPE_MISMATCH` for shapes that do not fit, `E_GRAPH_INVALID` for unknown words, a misplaced
    epilogue or a missing operand of it, `E_TARGET_CODEGEN` for dtypes that are not floats.

    >>> import jax.numpy as jnp
    >>> conv2d(jnp.ones((1, 3, 3, 1)), jnp.ones((2, 2, 1, 1)), padding="same").ravel().tolist()
    [4.0, 4.0, 2.0, 4.0, 4.0, 2.0, 2.0, 2.0, 1.0]
    """
    return _conv("conv2d", 2, x, w, stride, padding, layout, epilogue, bias, residual, groups)


def conv1d(
    x: Any,
    w: Any,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    *,
    layout: str = "nhwc",
    epilogue: Epilogue = None,
    bias: Any = None,
    residual: Any = None,
    groups: int = 1,
) -> jax.Array:
    """Returns `op.conv2d` over one axis of space: x (batch, width, in), or (batch, in, width) for "nchw".

    >>> import jax.numpy as jnp
    >>> conv1d(jnp.arange(4.0).reshape(1, 4, 1), jnp.ones((2, 1, 1)), stride=2).ravel().tolist()
    [1.0, 5.0]
    """
    return _conv("conv1d", 1, x, w, stride, padding, layout, epilogue, bias, residual, groups)


def conv3d(
    x: Any,
    w: Any,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    *,
    layout: str = "nhwc",
    epilogue: Epilogue = None,
    bias: Any = None,
    residual: Any = None,
    groups: int = 1,
) -> jax.Array:
    """Returns `op.conv2d` over three axes of space: x (batch, depth, height, width, in) for "nhwc".

    >>> import jax.numpy as jnp
    >>> conv3d(jnp.ones((1, 2, 2, 2, 1)), jnp.ones((2, 2, 2, 1, 1))).item()
    8.0
    """
    return _conv("conv3d", 3, x, w, stride, padding, layout, epilogue, bias, residual, groups)


def depthwise_conv(
    x: Any,
    w: Any,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    *,
    layout: str = "nhwc",
    epilogue: Epilogue = None,
    bias: Any = None,
    residual: Any = None,
) -> jax.Array:
    """Returns a convolution of every channel with kernels of its own, over one to three axes of space.

    It is `op.conv2d` with as many groups as channels: w is (height, width, 1, m * channels), and the m
    results of a channel are neighbours.

    >>> import jax.numpy as jnp
    >>> depthwise_conv(jnp.array([[[1.0, 2.0]]]), jnp.array([[[3.0, 5.0]]])).ravel().tolist()
    [3.0, 10.0]
    """
    array = _ranked("depthwise_conv", x, layout)
    groups = array.shape[_channel(layout)]
    space = array.ndim - 2
    words = (stride, padding, layout, epilogue, bias, residual, groups)
    return _conv("depthwise_conv", space, array, w, *words)


def separable_conv(
    x: Any,
    depthwise: Any,
    pointwise: Any,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    *,
    layout: str = "nhwc",
    epilogue: Epilogue = None,
    bias: Any = None,
    residual: Any = None,
) -> jax.Array:
    """Returns `op.depthwise_conv` followed by a convolution with kernels of one entry and the epilogue.

    `depthwise` is (height, width, 1, m * in) and `pointwise` (1, 1, m * in, out); OIHW for "nchw".

    >>> import jax.numpy as jnp
    >>> x, each, mix = jnp.ones((1, 2, 2, 1)), jnp.ones((2, 2, 1, 1)), jnp.full((1, 1, 1, 2), 0.5)
    >>> separable_conv(x, each, mix).ravel().tolist()
    [2.0, 2.0]
    """
    array = _ranked("separable_conv", x, layout)
    groups, space = array.shape[_channel(layout)], array.ndim - 2
    name = "separable_conv"
    each = _conv(name, space, array, depthwise, stride, padding, layout, None, None, None, groups)
    return _conv(name, space, each, pointwise, 1, 0, layout, epilogue, bias, residual, 1)


def _conv(
    name: str,
    space: int,
    x: Any,
    w: Any,
    stride: Any,
    padding: Any,
    layout: str,
    epilogue: Any,
    bias: Any,
    residual: Any,
    groups: int,
) -> jax.Array:
    array, kernel = _ranked(name, x, layout, space), to_array(name, "w", w)
    invalid = functools.partial(_invalid, name)
    activation, bias, residual = parse_epilogue(epilogue, bias, residual, invalid)
    groups = as_integer(name, "groups", groups)
    _require_fit(name, array, kernel, layout, groups)
    precision.require_one_dtype(name, [array, kernel])
    common = numerics.wider(array.dtype, kernel.dtype)
    if not jnp.issubdtype(common, jnp.floating):
        raise CompileError(
            Code.E_TARGET_CODEGEN, f"{name}: x and w are {common} but must be of kind 'float'."
        )
    strides = _per_axis(name, "stride", stride, space)
    if min(strides) < 1:
        raise _invalid(name, f"stride is {stride}, not at least 1")
    axes = SPACE[-space:]
    words = ("N" + axes + "C", axes + "IO") if layout == "nhwc" else ("NC" + axes, "OI" + axes)
    (left, right), how, _ = precision.for_product(
        "conv", [array.astype(common), kernel.astype(common)], {"precision": None}
    )
    assert left is not None
    assert right is not None
    z = lax.conv_general_dilated(
        left,
        right,
        strides,
        _padded(name, padding, space),
        dimension_numbers=(*words, words[0]),
        feature_group_count=groups,
        preferred_element_type=numerics.accumulator(numerics.wider(common, left.dtype)),
        **how,
    )
    if bias is not None:
        z = z + _channels(name, bias, z, layout)
    y = z if activation is None else ACTIVATIONS[activation](z)
    if residual is not None:
        rest = to_array(name, "residual", residual)
        if rest.shape != y.shape:
            raise _mismatch(name, f"residual has shape {rest.shape}, the result {y.shape}")
        y = y + rest.astype(y.dtype)
    return y.astype(common)


def _ranked(name: str, x: Any, layout: str, space: int | None = None) -> jax.Array:
    array = to_array(name, "x", x)
    if layout not in LAYOUTS:
        raise _invalid(name, f"unknown layout {layout!r}; one of {', '.join(LAYOUTS)}")
    allowed = (1, 2, 3) if space is None else (space,)
    if array.ndim - 2 not in allowed:
        wanted = " or ".join(str(n + 2) for n in allowed)
        raise _mismatch(name, f"x has shape {array.shape}, of rank {array.ndim}, not {wanted}")
    return array


def _channel(layout: str) -> int:
    return -1 if layout == "nhwc" else 1


def _require_fit(name: str, x: jax.Array, w: jax.Array, layout: str, groups: int) -> None:
    if w.ndim != x.ndim:
        raise _mismatch(name, f"w has rank {w.ndim} but x rank {x.ndim}")
    inner, outer = (w.shape[-2:]) if layout == "nhwc" else (w.shape[1], w.shape[0])
    channels = x.shape[_channel(layout)]
    order = "HWIO" if layout == "nhwc" else "OIHW"
    if groups < 1 or outer % groups:
        raise _mismatch(name, f"groups is {groups}, which does not divide {outer} outputs")
    if inner * groups != channels:
        raise _mismatch(
            name,
            f"x has {channels} channels but w takes {inner} in each of {groups} groups; w is {order} "
            f"with shape {w.shape}",
        )


def _per_axis(name: str, word: str, value: Any, space: int) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        return (as_integer(name, word, value),) * space
    if len(value) != space:
        raise _invalid(name, f"{word} is {value!r}, not one number for each of {space} axes")
    return tuple(as_integer(name, word, entry) for entry in value)


def _padded(name: str, padding: Any, space: int) -> Any:
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise _invalid(name, f"unknown padding {padding!r}; same, valid or numbers")
        return padding.upper()
    if not isinstance(padding, list | tuple):
        padding = (padding,) * space
    if len(padding) != space:
        raise _invalid(name, f"padding is {padding!r}, not one entry for each of {space} axes")
    pairs = [p if isinstance(p, list | tuple) else (p, p) for p in padding]
    if any(len(p) != 2 for p in pairs):
        raise _invalid(name, f"padding is {padding!r}; an entry is a number or (before, after)")
    found = [tuple(as_integer(name, "padding", n) for n in p) for p in pairs]
    if any(n < 0 for pair in found for n in pair):
        raise _invalid(name, f"padding is {padding!r}; slice x to drop its ends")
    return found


def _channels(name: str, bias: Any, like: jax.Array, layout: str) -> jax.Array:
    vector, axis = to_array(name, "bias", bias), _channel(layout) % like.ndim
    if vector.shape != (like.shape[axis],):
        raise _mismatch(name, f"bias has shape {vector.shape} for {like.shape[axis]} outputs")
    shape = tuple(n if i == axis else 1 for i, n in enumerate(like.shape))
    return vector.astype(like.dtype).reshape(shape)


def _invalid(name: str, problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{name}: {problem}.")


def _mismatch(name: str, problem: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"{name}: {problem}.")
