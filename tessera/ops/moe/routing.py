"""Which experts a token goes to: routes, routers and the load-balance loss."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.operands import as_integer, as_number, to_array
from tessera.core.random import as_key

# The number of experts each strategy chooses; None where k= says it.
STRATEGIES: dict[str, int | None] = {"topk": None, "top2": 2, "switch": 1, "hash": 1}
ODD = 0x9E3779B1  # 2^32 / golden ratio, Knuth's multiplicative hash


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Route:
    """The experts of every token: `index` (..., k), int32, and `gate` (..., k).

    `probabilities` (..., experts) is the softmax over all experts, which the balance loss needs; a route made
    by hand may lack it. `experts` is their number, where known.

    >>> Route(jnp.array([[1], [0]]), jnp.ones((2, 1)), experts=2).index.tolist()
    [[1], [0]]
    """

    index: jax.Array
    gate: jax.Array
    probabilities: jax.Array | None = None
    experts: int | None = field(default=None, metadata={"static": True})


@dataclass(frozen=True)
class Router:
    """A rule that routes tokens, made by `op.router`; its parameters are explicit."""

    experts: int | None
    strategy: str
    k: int
    temperature: float
    jitter: float
    logit_bias_fn: Callable[[jax.Array], jax.Array] | None

    def init(self, key: Any, d: int) -> dict[str, jax.Array]:
        """Returns the parameters for tokens of width d: `w` (d, experts), Glorot uniform, fp32."""
        if self.strategy == "hash":
            return {}
        shape = (as_integer("router", "d", d), self._count())
        return {
            "w": jax.nn.initializers.glorot_uniform()(as_key("router", key), shape, jnp.float32)
        }

    def apply(self, params: Any, x: Any, key: Any = None) -> Route:
        """Returns the route of tokens x (..., d); `key` is needed where jitter > 0."""
        tokens = to_array("router", "x", x)
        if self.strategy == "hash":
            return self._hashed(tokens)
        if self.jitter > 0:
            if key is None:
                raise _invalid("jitter > 0 needs a key", "apply(params, x, key=0)")
            noise = jax.random.uniform(
                as_key("router", key), tokens.shape, jnp.float32, 1 - self.jitter, 1 + self.jitter
            )
            tokens = tokens * noise.astype(tokens.dtype)
        return self.choose(registered_op("matmul")(tokens, params["w"]))

    def choose(self, scores: Any) -> Route:
        """Returns the route that scores (..., experts) give."""
        logits = to_array("router", "scores", scores)
        floats = jnp.issubdtype(logits.dtype, jnp.floating)
        wide = numerics.accumulator(logits.dtype) if floats else jnp.float32
        logits = logits.astype(wide) / self.temperature
        if self.logit_bias_fn is not None:
            logits = logits + self.logit_bias_fn(logits)
        everything = jax.nn.softmax(logits, axis=-1)
        index, gate = registered_op("topk")(logits, self.k)
        if self.strategy == "switch":
            gate = jnp.take_along_axis(everything, index, axis=-1)
        return Route(index, gate, everything, logits.shape[-1])

    def _hashed(self, tokens: jax.Array) -> Route:
        """Returns a route that depends on the bits of a token alone: equal tokens, the same expert."""
        wide = jax.lax.stop_gradient(tokens).astype(jnp.float32)
        bits = jax.lax.bitcast_convert_type(wide + 0.0, jnp.uint32)  # -0.0 is 0.0
        place = jnp.arange(1, tokens.shape[-1] + 1, dtype=jnp.uint32) * jnp.uint32(ODD)
        place = (place | jnp.uint32(1)).reshape((1,) * (tokens.ndim - 1) + (-1,))
        mixed = jnp.sum((bits ^ (bits >> 15)) * place, axis=-1, keepdims=True, dtype=jnp.uint32)
        mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(ODD)
        index = ((mixed ^ (mixed >> 15)) % jnp.uint32(self._count())).astype(jnp.int32)
        return Route(index, jnp.ones(index.shape, tokens.dtype), None, self._count())

    def _count(self) -> int:
        if self.experts is None:
            raise _invalid("the number of experts is not known", "op.router(8)")
        return self.experts


def router(
    experts: Any = None,
    *,
    strategy: str = "topk",
    k: int | None = None,
    temperature: float = 1.0,
    jitter: float = 0.0,
    logit_bias_fn: Callable[[jax.Array], jax.Array] | None = None,
) -> Router:
    """Returns a router: `init(key, d)` makes its parameters, `apply(params, x, key=None)` a route.

    `experts` is their number or the list of them. Tokens x (..., d) get the scores x w / temperature, in at
    least fp32; `logit_bias_fn(scores)` is added to them. `strategy` is one of

        topk     the k best, 2 unless said otherwise (1 of one); gates are softmax over the chosen
        top2     the same with k = 2
        switch   the best; its gate is its softmax over all experts (Fedus et al. 2021)
        hash     one, by the bits of the token, with gate 1 and no parameters (after Roller et al. 2021)

    Ties go to the lowest index. `jitter` multiplies the input of the scores by noise in [1 - jitter,
    1 + jitter] and needs a key. Raises `E_GRAPH_INVALID` for an unknown strategy, a k that contradicts it, a
    temperature that is not positive, or a jitter outside [0, 1].

    >>> import jax, jax.numpy as jnp
    >>> rule = router(4, k=2)
    >>> rule.apply(rule.init(0, 3), jnp.ones((5, 3))).index.shape
    (5, 2)
    """
    if strategy not in STRATEGIES:
        raise _invalid(f"unknown strategy {strategy!r}; one of {', '.join(STRATEGIES)}")
    fixed = STRATEGIES[strategy]
    if isinstance(experts, list | tuple):
        experts = len(experts)
    count = None if experts is None else as_integer("router", "experts", experts)
    usual = fixed or min(2, 2 if count is None else count)
    chosen = as_integer("router", "k", usual if k is None else k)
    if fixed is not None and chosen != fixed:
        raise _invalid(f"strategy {strategy!r} chooses {fixed}, but k is {chosen}")
    if chosen < 1 or (count is not None and chosen > count):
        raise _invalid(f"k is {chosen}, not between 1 and the number of experts, {count}")
    temperature = as_number("router", "temperature", temperature)
    jitter = as_number("router", "jitter", jitter)
    if not temperature > 0:
        raise _invalid(f"temperature is {temperature}, not positive")
    if not 0 <= jitter <= 1:
        raise _invalid(f"jitter is {jitter}, not in [0, 1]")
    return Router(count, strategy, chosen, temperature, jitter, logit_bias_fn)


def aux_loss(route: Route) -> jax.Array:
    """Returns the load-balance loss of a route, a scalar: 1 where every expert gets the same share.

        experts * sum_e f_e p_e,   f_e = share of the assignments,   p_e = mean probability

    Only p has a derivative. Source: Fedus et al. 2021, equation 4. Raises `E_GRAPH_INVALID` for a route
    without probabilities, made by hand or by hash.

    >>> import jax.numpy as jnp
    >>> float(aux_loss(router(2, k=1).choose(jnp.array([[9.0, 9.0], [9.0, 9.0]]))))
    1.0
    """
    if route.probabilities is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            "aux_loss: the route has no probabilities.",
            hints="a route of op.router(...).apply(params, x) with strategy topk, top2 or switch",
        )
    count = route.probabilities.shape[-1]
    chosen = jax.nn.one_hot(route.index.ravel(), count, dtype=route.probabilities.dtype)
    share = jnp.mean(chosen, axis=0)
    mean = jnp.mean(route.probabilities.reshape(-1, count), axis=0)
    return count * jnp.sum(share * mean)


def _invalid(problem: str, fix: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"router: {problem}.", hints=fix or ())
