"""The same problems as published codes formulate them, in plain JAX and optax, for a given wall time.

    DeepXDE style   a tanh network 4x50, Glorot normal; fixed points; Adam 1e-3 for half of the time, then
                    L-BFGS; terms weighed alike (Lu et al., SIAM Review 63, 2021)
    jaxpi style     a modified MLP 3x64 with random Fourier features and random weight factorisation; new
                    points every step; Adam 1e-3, x0.9 every 2000 steps; weights from gradient norms every
                    1000 steps (Wang et al., arXiv:2308.08468)

Written from the equations in those papers. Float32, as both train by default; derivatives by `jax.hessian`
and nested `jax.grad` of one point, mapped by `vmap`. Errors are taken by the problem's own judge.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

# One point to the fields there.
Network = Callable[[Any, jax.Array], jax.Array]
# (fields at one point, point) -> residuals; (point and data) -> residuals.
Residual = Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array]

DEEPXDE, JAXPI = "DeepXDE style", "jaxpi style"
INTERIOR, EDGE = 2601, 400
BATCH = 1024
FOURIER_SCALE, FOURIER_WAVES = 1.0, 32


@dataclass(frozen=True)
class Equation:
    """A problem for the peers: residuals inside, and points with values of the first fields at its edges.

    `edges(generator, n)` gives points and values `(n, k)`; NaN where a field is not given there.
    """

    inside: Residual
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    fields: tuple[str, ...]
    edges: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    keeps: Callable[[np.ndarray], np.ndarray] = lambda points: np.ones(len(points), bool)


@dataclass(frozen=True)
class Outcome:
    """What a peer reached: fields at points, by name, and the steps it took."""

    fields: Mapping[str, np.ndarray]
    steps: int
    seconds: float


def solve(equation: Equation, style: str, seed: int, seconds: float, points: np.ndarray) -> Outcome:
    """Returns the fields at points after so many seconds of training."""
    run = {DEEPXDE: _fixed_points, JAXPI: _fresh_points}[style]
    start = time.perf_counter()
    network, params, steps = run(equation, seed, seconds, start)
    found = np.asarray(jax.vmap(partial(network, params))(jnp.asarray(points, jnp.float32)))
    named = {name: found[:, i].astype(np.float64) for i, name in enumerate(equation.fields)}
    return Outcome(named, steps, time.perf_counter() - start)


def _terms(equation: Equation, network: Network) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """The mean squares of the residuals inside, and of the misfit at the edges."""

    def terms(params: Any, inside: jax.Array, edge: jax.Array, values: jax.Array) -> Any:
        u = partial(network, params)
        residuals = jax.vmap(lambda x: equation.inside(u, x))(inside)
        known = jnp.isfinite(values)
        miss = jax.vmap(u)(edge)[:, : values.shape[1]] - jnp.where(known, values, 0)
        return jnp.sum(jnp.mean(residuals**2, 0)), jnp.sum(jnp.where(known, miss, 0) ** 2) / len(
            edge
        )

    return terms


def _draw(equation: Equation, generator: np.random.Generator, n: int) -> jax.Array:
    found = np.zeros((0, len(equation.lower)))
    while len(found) < n:
        more = generator.uniform(equation.lower, equation.upper, (2 * n, len(equation.lower)))
        found = np.concatenate([found, more[equation.keeps(more)]])
    return jnp.asarray(found[:n], jnp.float32)


def _edge(equation: Equation, generator: np.random.Generator, n: int) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(x, jnp.float32) for x in equation.edges(generator, n))


# -- DeepXDE style ------------------------------------------------------------------------------------------


def _fixed_points(equation: Equation, seed: int, seconds: float, start: float) -> Any:
    generator = np.random.default_rng(seed)
    params = _glorot(generator, (len(equation.lower), 50, 50, 50, 50, len(equation.fields)))
    terms = _terms(equation, _mlp)
    data = _draw(equation, generator, INTERIOR), *_edge(equation, generator, EDGE)

    def loss(params: Any) -> jax.Array:
        return jnp.sum(jnp.stack(terms(params, *data)))

    adam, lbfgs = optax.adam(1e-3), optax.lbfgs()

    @jax.jit
    def by_adam(params: Any, state: Any) -> tuple[Any, Any]:
        updates, state = adam.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    @jax.jit
    def by_lbfgs(params: Any, state: Any) -> tuple[Any, Any]:
        value, slope = optax.value_and_grad_from_state(loss)(params, state=state)
        updates, state = lbfgs.update(slope, state, params, value=value, grad=slope, value_fn=loss)
        return optax.apply_updates(params, updates), state

    steps, state = 0, adam.init(params)
    for step, begin, end in ((by_adam, adam, 0.5), (by_lbfgs, lbfgs, 1.0)):
        state = begin.init(params)
        while time.perf_counter() - start < end * seconds:
            params, state = step(params, state)
            jax.block_until_ready(params)
            steps += 1
    return _mlp, params, steps


def _glorot(generator: np.random.Generator, sizes: tuple[int, ...]) -> Any:
    return [
        (
            jnp.asarray(generator.normal(size=(a, b)) * np.sqrt(2 / (a + b)), jnp.float32),
            jnp.zeros(b, jnp.float32),
        )
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]


def _mlp(params: Any, x: jax.Array) -> jax.Array:
    for weight, bias in params[:-1]:
        x = jnp.tanh(x @ weight + bias)
    weight, bias = params[-1]
    return x @ weight + bias


# -- jaxpi style --------------------------------------------------------------------------------------------


def _fresh_points(equation: Equation, seed: int, seconds: float, start: float) -> Any:
    generator = np.random.default_rng(seed)
    network, params = _modified_mlp(equation, generator)
    terms = _terms(equation, network)
    adam = optax.adam(optax.exponential_decay(1e-3, 2000, 0.9))

    @jax.jit
    def step(params: Any, state: Any, weights: jax.Array, *data: jax.Array) -> tuple[Any, Any]:
        def loss(params: Any) -> jax.Array:
            return jnp.vdot(weights, jnp.stack(terms(params, *data)))

        updates, state = adam.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    @jax.jit
    def weigh(params: Any, weights: jax.Array, *data: jax.Array) -> jax.Array:
        slopes = [jax.grad(lambda p, i=i: terms(p, *data)[i])(params) for i in range(2)]
        norms = jnp.stack([optax.global_norm(slope) for slope in slopes])
        return 0.9 * weights + 0.1 * jnp.mean(norms) / (norms + 1e-12)

    state, weights, steps = adam.init(params), jnp.ones(2), 0
    while time.perf_counter() - start < seconds:
        data = _draw(equation, generator, BATCH), *_edge(equation, generator, BATCH // 4)
        if steps % 1000 == 0:
            weights = weigh(params, weights, *data)
        params, state = step(params, state, weights, *data)
        jax.block_until_ready(params)
        steps += 1
    return network, params, steps


def _modified_mlp(equation: Equation, generator: np.random.Generator) -> tuple[Network, Any]:
    lower, upper = (jnp.asarray(x, jnp.float32) for x in (equation.lower, equation.upper))
    waves = FOURIER_SCALE * generator.normal(size=(len(equation.lower), FOURIER_WAVES))
    waves = jnp.asarray(waves, jnp.float32)
    width = 64

    def factored(a: int, b: int) -> Any:
        ((weight, bias),) = _glorot(generator, (a, b))
        scale = jnp.exp(jnp.asarray(1 + 0.1 * generator.normal(size=b), jnp.float32))
        return scale, weight / scale, bias

    sizes = [(2 * FOURIER_WAVES, width)] + 2 * [(width, width)]
    params = {
        "gates": [factored(2 * FOURIER_WAVES, width) for _ in range(2)],
        "layers": [factored(a, b) for a, b in sizes],
        "last": factored(width, len(equation.fields)),
    }

    def affine(layer: Any, x: jax.Array) -> jax.Array:
        scale, weight, bias = layer
        return x @ (scale * weight) + bias

    def network(params: Any, x: jax.Array) -> jax.Array:
        phase = ((x - lower) / (upper - lower) * 2 - 1) @ waves
        x = jnp.concatenate([jnp.cos(phase), jnp.sin(phase)])
        first, second = (jnp.tanh(affine(gate, x)) for gate in params["gates"])
        for layer in params["layers"]:
            hidden = jnp.tanh(affine(layer, x))
            x = hidden * first + (1 - hidden) * second
        return affine(params["last"], x)

    return network, params
