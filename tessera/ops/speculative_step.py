"""`op.speculative_step`: accepts or repairs tokens that a draft model proposed.

A draft token x_i, drawn from q_i, is kept with probability min(1, p_i(x_i) / q_i(x_i)). The first one refused
is drawn again from max(p_i - q_i, 0), normalised; where none is, one more token is drawn from p_n. Every
token returned then has the distribution p of the target. Source: Leviathan et al. 2023, algorithm 1.
"""

from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_number, to_array
from tessera.core.random import as_key


def speculative_step(
    target_logits: Any,
    draft_tokens: Any,
    draft_probs: Any,
    key: Any = None,
    *,
    temperature: float = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """Returns (tokens, count): the tokens that stand, and how many there are, at least 1.

    `target_logits` is (..., n + 1, v), those of the target model after each of 0 to n draft tokens;
    `draft_tokens` (..., n), whole numbers, and `draft_probs` (..., n, v), the distributions they were drawn
    from. `tokens` is (..., n + 1), int32, of which the first `count` (...) are valid and the rest -1.

    `temperature` divides the target's logits; 0 is greedy: a draft token stands if it is the target's best,
    no key is needed, and the output is that of the target alone. Raises `E_SHAPE_MISMATCH` if shapes do not
    fit, `E_GRAPH_INVALID` for a missing key or a negative temperature.

    >>> import jax.numpy as jnp
    >>> logits = jnp.log(jnp.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]]))
    >>> tokens, count = speculative_step(logits, jnp.array([1, 1]), jnp.full((2, 2), 0.5), temperature=0)
    >>> tokens.tolist(), int(count)
    ([1, 0, -1], 2)
    """
    logits = to_array("speculative_step", "target_logits", target_logits)
    draft = to_array("speculative_step", "draft_tokens", draft_tokens).astype(jnp.int32)
    q = to_array("speculative_step", "draft_probs", draft_probs)
    heat = as_number("speculative_step", "temperature", temperature)
    if heat < 0:
        raise CompileError(
            Code.E_GRAPH_INVALID, f"speculative_step: temperature is {heat}, not at least 0."
        )
    _require_fit(logits, draft, q)
    wide = numerics.accumulator(logits.dtype)
    if heat == 0:
        best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return _joined(draft, best, draft == best[..., :-1])
    if key is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"speculative_step: temperature is {heat} but there is no key.",
            hints="key=jax.random.key(0) or key=0; temperature=0 is greedy and needs none",
        )
    uniform_key, repair_key = jax.random.split(as_key("speculative_step", key))
    p = jax.nn.softmax(logits.astype(wide) / heat, axis=-1)
    q = q.astype(wide)
    chosen = [
        jnp.take_along_axis(x, draft[..., None], axis=-1)[..., 0] for x in (p[..., :-1, :], q)
    ]
    # u q < p rather than u < p / q: a token of draft probability 0 needs no division.
    accepted = jax.random.uniform(uniform_key, draft.shape, wide) * chosen[1] < chosen[0]
    left = jnp.maximum(p[..., :-1, :] - q, 0)
    # Where nothing is left p and q are alike, up to rounding, and p is as good.
    left = jnp.where(jnp.sum(left, axis=-1, keepdims=True) > 0, left, p[..., :-1, :])
    source = jnp.concatenate([left, p[..., -1:, :]], axis=-2)
    repair = jax.random.categorical(repair_key, jnp.log(source), axis=-1).astype(jnp.int32)
    return _joined(draft, repair, accepted)


def _joined(
    draft: jax.Array, repair: jax.Array, accepted: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the draft up to the first refusal, the repaired token there, and -1 after it."""
    count = jnp.sum(jnp.cumprod(accepted.astype(jnp.int32), axis=-1), axis=-1, dtype=jnp.int32)
    place = jnp.broadcast_to(jnp.arange(repair.shape[-1], dtype=jnp.int32), repair.shape)
    padded = jnp.concatenate([draft, jnp.full_like(repair[..., :1], -1)], axis=-1)
    here = count[..., None]
    tokens = jnp.where(place < here, padded, jnp.where(place == here, repair, -1))
    return tokens, count + 1


def _require_fit(logits: jax.Array, draft: jax.Array, q: jax.Array) -> None:
    good = logits.ndim >= 2 and q.shape == (*draft.shape, logits.shape[-1])
    if not good or logits.shape[:-1] != (*draft.shape[:-1], draft.shape[-1] + 1):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"speculative_step: target_logits {logits.shape}, draft_tokens {draft.shape} and draft_probs "
            f"{q.shape} are not (..., n + 1, v), (..., n) and (..., n, v).",
        )
