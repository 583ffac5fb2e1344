"""Networks from points of a domain to fields: Equinox modules, on arrays `(..., d)` and on Fields.

    MLP              affine maps with an activation between them
    ModifiedMLP      the same between two encodings of the input (Wang, Teng and Perdikaris 2021)
    FourierFeatures  cosines and sines of random frequencies, to embed the input

Every layer is a matrix product and an activation of plain `jax.numpy`, so that forward mode, Taylor mode and
the forward Laplacian go through them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.activations import ACTIVATIONS
from tessera.core.errors import Code, CompileError
from tessera.pde.field import Field
from tessera.pinn.parameters import Frozen

# Spread of the first layer, over Glorot's: fields that oscillate need features steeper than the domain, and
# biases that place them over all of it.
FIRST_LAYER_GAIN = 2.0
BIAS_SPREAD = 0.5

# Corners of a box, lower and upper, each one number per coordinate.
Bounds = tuple[tuple[float, ...], tuple[float, ...]]

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {**ACTIVATIONS, "sin": jnp.sin}


@dataclass(frozen=True)
class Factorization:
    """Random weight factorisation (Wang, Wang, Seidman and Perdikaris 2022, arXiv 2210.01274).

    Weights are stored as `exp(s) * v`, one s per output, s drawn with this mean and spread and v such that
    the product begins as it would without. Gradients with respect to s and v scale the steps of each neuron.
    """

    mean: float = 1.0
    spread: float = 0.1


class Affine(eqx.Module):
    """`x @ weights + biases` for x `(..., inputs)`, weights `(inputs, outputs)`.

    With `scales` `(outputs,)` the weights are `exp(scales) * weights`, by column.
    """

    weights: jax.Array
    biases: jax.Array
    scales: jax.Array | None = None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (..., outputs) for x (..., inputs)."""
        weights = self.weights
        if self.scales is not None:
            weights = weights * jnp.exp(self.scales)[None]
        return jnp.dot(x, weights) + _as_row(self.biases, x.ndim)


class MLP(eqx.Module):
    """Affine maps with an activation between them: `inputs` numbers to `outputs`, through `widths`.

    `bounds` is the box of the inputs, as (lower, upper), which is brought to [-1, 1] first; inputs with lower
    = upper only lose their value. `embed` is a module between that and the first layer. `activation` is tanh,
    sin, gelu, silu, sigmoid or relu. `factorization` stores the weights in two factors.

    Weights begin normally distributed with Glorot's spread, that of the first layer `FIRST_LAYER_GAIN` times
    as wide, and biases with spread `BIAS_SPREAD`: a wide first layer where features are not embedded.

    Raises `E_GRAPH_INVALID` for sizes that are none, an unknown activation and bounds that are no box.

    >>> network = MLP(2, (16, 16), 1, bounds=((0, 0), (2, 1)), key=jax.random.key(0))
    >>> network(jnp.ones((5, 2))).shape
    (5, 1)
    """

    layers: tuple[Affine, ...]
    embed: Any
    bounds: Bounds | None = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        outputs: int,
        activation: str = "tanh",
        *,
        key: Any,
        bounds: Any = None,
        embed: Any = None,
        factorization: Factorization | None = None,
    ):
        sizes = _sizes("MLP", inputs, widths, outputs, embed)
        self.layers = _layers(key, sizes, factorization, embedded=embed is not None)
        self.embed = embed
        self.bounds = _box("MLP", bounds, inputs)
        self.activation = _known("MLP", activation)

    def __call__(self, x: Any) -> Any:
        """Returns (..., outputs) for x (..., inputs), and a Field for a Field."""
        if isinstance(x, Field):
            return x.apply(self)
        x = _prepared(x, self.bounds, self.embed)
        for layer in self.layers[:-1]:
            x = _ACTIVATIONS[self.activation](layer(x))
        return self.layers[-1](x)


class ModifiedMLP(eqx.Module):
    """Affine maps between two encodings U and V of the input, which every hidden layer mixes.

        h = activation(affine(h));  h = h U + (1 - h) V

    (Wang, Teng and Perdikaris, SIAM J. Sci. Comput. 43 (2021) A3055). Arguments as for `MLP`, but that all
    hidden layers have one `width`, and there are `depth` of them.

    >>> network = ModifiedMLP(2, 16, 3, 1, key=jax.random.key(0))
    >>> network(jnp.ones((5, 2))).shape
    (5, 1)
    """

    encoders: tuple[Affine, Affine]
    layers: tuple[Affine, ...]
    embed: Any
    bounds: Bounds | None = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        outputs: int,
        activation: str = "tanh",
        *,
        key: Any,
        bounds: Any = None,
        embed: Any = None,
        factorization: Factorization | None = None,
    ):
        if not isinstance(depth, int) or depth < 1:
            raise _invalid("ModifiedMLP", f"depth is {depth!r}; it needs at least one hidden layer")
        sizes = _sizes("ModifiedMLP", inputs, (width,) * depth, outputs, embed)
        of_layers, *of_encoders = jax.random.split(key, 3)
        embedded = embed is not None
        self.layers = _layers(of_layers, sizes, factorization, embedded)
        first, second = (_layers(k, sizes[:2], factorization, embedded)[0] for k in of_encoders)
        self.encoders = first, second
        self.embed = embed
        self.bounds = _box("ModifiedMLP", bounds, inputs)
        self.activation = _known("ModifiedMLP", activation)

    def __call__(self, x: Any) -> Any:
        """Returns (..., outputs) for x (..., inputs), and a Field for a Field."""
        if isinstance(x, Field):
            return x.apply(self)
        x = _prepared(x, self.bounds, self.embed)
        act = _ACTIVATIONS[self.activation]
        one, other = (act(encoder(x)) for encoder in self.encoders)
        for layer in self.layers[:-1]:
            x = act(layer(x))
            x = other + x * (one - other)
        return self.layers[-1](x)


class FourierFeatures(eqx.Module):
    """Cosines and sines of `x @ frequencies` for random frequencies (Tancik et al. 2020, arXiv 2006.10739).

    `frequencies` `(inputs, dim / 2)` are normally distributed with spread `scale`, in radians per unit of the
    input, and not trained. The result `(..., dim)` has the cosines first.

    Raises `E_GRAPH_INVALID` for a `dim` that is not even, and sizes that are none.

    >>> features = FourierFeatures(2, 64, scale=3.0, key=jax.random.key(0))
    >>> MLP(2, (16,), 1, embed=features, key=jax.random.key(1))(jnp.ones(2)).shape
    (1,)
    """

    frequencies: Frozen
    outputs: int = eqx.field(static=True)

    def __init__(self, inputs: int, dim: int, *, scale: float = 1.0, key: Any):
        _require_sizes("FourierFeatures", (inputs, dim))
        if dim % 2:
            raise _invalid(
                "FourierFeatures", f"dim is {dim}; half of it are cosines and half sines"
            )
        if not scale > 0:
            raise _invalid("FourierFeatures", f"scale is {scale!r}; it must be above zero")
        self.frequencies = Frozen(scale * jax.random.normal(key, (inputs, dim // 2)))
        self.outputs = dim

    def __call__(self, x: Any) -> Any:
        """Returns (..., dim) for x (..., inputs), and a Field for a Field."""
        if isinstance(x, Field):
            return x.apply(self)
        phase = jnp.dot(x, jnp.asarray(self.frequencies.value, x.dtype))
        return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)


def _layers(
    key: Any, sizes: Sequence[int], factorization: Factorization | None, embedded: bool
) -> tuple[Affine, ...]:
    found = []
    for layer, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        of_weights, of_biases, of_scales = jax.random.split(jax.random.fold_in(key, layer), 3)
        # Embedded inputs oscillate already.
        gain = FIRST_LAYER_GAIN if layer == 0 and not embedded else 1.0
        spread = gain * (2 / (inputs + outputs)) ** 0.5
        weights = spread * jax.random.normal(of_weights, (inputs, outputs))
        biases = BIAS_SPREAD * jax.random.normal(of_biases, (outputs,))
        if factorization is None:
            found.append(Affine(weights, biases))
            continue
        normal = jax.random.normal(of_scales, (outputs,))
        scales = factorization.mean + factorization.spread * normal
        found.append(Affine(weights / jnp.exp(scales)[None], biases, scales))
    return tuple(found)


def _prepared(x: Any, bounds: Bounds | None, embed: Any) -> jax.Array:
    """The input in [-1, 1], then embedded."""
    x = jnp.asarray(x)
    if bounds is not None:
        lower, upper = bounds
        middle = [(a + b) / 2 for a, b in zip(lower, upper, strict=True)]
        rate = [2 / (b - a) if b > a else 1.0 for a, b in zip(lower, upper, strict=True)]
        x = (x - _numbers(middle, x)) * _numbers(rate, x)
    return x if embed is None else embed(x)


def _numbers(values: Sequence[float], like: jax.Array) -> jax.Array:
    return _as_row(jnp.asarray(values, like.dtype), like.ndim)


def _as_row(x: jax.Array, ndim: int) -> jax.Array:
    return x.reshape((1,) * (ndim - 1) + x.shape)


def _sizes(
    op: str, inputs: int, widths: Sequence[int], outputs: int, embed: Any
) -> tuple[int, ...]:
    if isinstance(widths, int):
        raise _invalid(op, f"widths is {widths}; it must be a sequence, one for each hidden layer")
    _require_sizes(op, (inputs, *widths, outputs))
    if embed is None:
        return (inputs, *widths, outputs)
    probe = jax.ShapeDtypeStruct((1, inputs), jnp.result_type(float))
    found = cast(Any, jax.eval_shape(embed, probe))
    return (found.shape[-1], *widths, outputs)


def _require_sizes(op: str, sizes: Sequence[Any]) -> None:
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise _invalid(op, f"sizes are {tuple(sizes)}; they must be positive integers")


def _box(op: str, bounds: Any, inputs: int) -> Bounds | None:
    if bounds is None:
        return None
    try:
        corners = np.asarray(bounds, np.float64)
    except (TypeError, ValueError):
        corners = np.zeros(0)
    if corners.shape != (2, inputs) or not np.all(corners[0] <= corners[1]):
        raise _invalid(
            op,
            f"bounds are {bounds!r}; they must be the lower and upper corners of a box of {inputs}",
        )
    lower, upper = (tuple(float(x) for x in corner) for corner in bounds)
    return lower, upper


def _known(op: str, activation: str) -> str:
    if activation not in _ACTIVATIONS:
        raise _invalid(
            op, f"unknown activation {activation!r}; there are: {', '.join(_ACTIVATIONS)}"
        )
    return activation


def _invalid(op: str, problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.")
