"""`TransformerBlock` and `Transformer`: attention and a feed-forward layer, each after a norm (pre-norm).

    y = x + out(attention(norm(x)))
    z = y + down(ffn(norm(y)))

Source: Vaswani et al. 2017, with the norms where Xiong et al. 2020 have them.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from tessera.core.errors import Code, CompileError
from tessera.core.op import registered_op
from tessera.core.operands import to_array
from tessera.modules.config import (
    NEEDS,
    SHAPES,
    Config,
    TransformerConfig,
    invalid,
    read_config,
    resolve,
)
from tessera.modules.embedding import Embedding
from tessera.modules.initial import as_size, draw_keys
from tessera.modules.linear import Linear, affine

BLOCK = "transformer_block"


class Norm(eqx.Module):
    """The weight of a norm, and its bias where it has one."""

    weight: jax.Array
    bias: jax.Array | None

    def __init__(self, size: int, config: TransformerConfig):
        self.weight = jnp.ones(size, config.dtype)
        self.bias = jnp.zeros(size, config.dtype) if config.norm == "layernorm" else None

    def __call__(self, x: jax.Array, config: TransformerConfig) -> jax.Array:
        """Returns x normalised along its last axis."""
        shift = {} if self.bias is None else {"bias": self.bias}
        return registered_op(config.norm)(x, config.eps, weight=self.weight, **shift)


class TransformerBlock(eqx.Module):
    """One block: its arrays are the `params` of `op.transformer_block`.

    `qkv` gives the query heads, then the key heads, then the value heads.
    """

    attention_norm: Norm
    qkv: Linear
    out: Linear
    ffn_norm: Norm
    up: Linear
    gate: Linear | None
    down: Linear
    config: TransformerConfig = eqx.field(static=True)

    def __init__(self, hidden: int, *, config: Config, key: Any = None):
        given = read_config(BLOCK, config)
        size = as_size(BLOCK, "hidden", hidden)
        made = resolve(BLOCK, given, size)
        depth = as_size(BLOCK, "head_dim", made.head_dim)
        words = {"bias": made.bias, "dtype": made.dtype}
        keys = draw_keys(BLOCK, key, 5)
        self.attention_norm = Norm(size, made)
        self.qkv = Linear(size, depth * sum(_head_counts(made)), key=keys[0], **words)
        self.out = Linear(depth * made.heads, size, key=keys[1], **words)
        self.ffn_norm = Norm(size, made)
        self.up = Linear(size, made.ffn_width, key=keys[2], **words)
        self.gate = Linear(size, made.ffn_width, key=keys[3], **words) if made.gated else None
        self.down = Linear(made.ffn_width, size, key=keys[4], **words)
        self.config = made

    def __call__(self, x: Any) -> jax.Array:
        """Returns an array like x, (..., length, hidden)."""
        return self.apply(self.config, x, 1)

    def apply(self, config: TransformerConfig, x: Any, depth: int) -> jax.Array:
        """Returns x after `depth` times the block, run as a config that fits its arrays says."""
        hidden = self.qkv.weight.shape[0]
        chosen = resolve(BLOCK, config, hidden)
        for name in SHAPES:
            ours, theirs = getattr(chosen, name), getattr(self.config, name)
            if ours != theirs:
                raise invalid(BLOCK, f"{name} is {ours!r} in config, but {theirs!r} in params")
        array = to_array(BLOCK, "x", x)
        if array.ndim < 2 or array.shape[-1] != hidden:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"{BLOCK}: x has shape {array.shape}, but the block takes (..., length, {hidden}).",
            )
        rows = array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:])
        for _ in range(depth):
            rows = _block(self, chosen, rows)
        return rows.reshape(array.shape)


class Transformer(eqx.Module):
    """A model of tokens; the leaves of `blocks` have an axis of layers in front."""

    embedding: Embedding
    blocks: TransformerBlock
    norm: Norm
    head: Linear | None
    config: TransformerConfig = eqx.field(static=True)

    def __init__(self, hidden: int, layers: int, *, config: Config, key: Any = None):
        name = "transformer"
        given = read_config(name, config, (*NEEDS, "vocabulary"))
        size, count = as_size(name, "hidden", hidden), as_size(name, "layers", layers)
        made = resolve(name, given, size)
        vocabulary = as_size(name, "vocabulary", made.vocabulary)
        table, head, *each = draw_keys(name, key, 2 + count)
        words: dict[str, Any] = {"dtype": made.dtype}
        self.embedding = Embedding(vocabulary, size, key=table, **words)
        self.blocks = jax.vmap(lambda draw: TransformerBlock(size, config=made, key=draw))(
            jnp.stack(each)
        )
        self.norm = Norm(size, made)
        self.head = None if made.tied else Linear(size, vocabulary, bias=False, key=head, **words)
        self.config = made

    def __call__(self, tokens: Any) -> jax.Array:
        """Returns logits (..., length, vocabulary) for tokens (..., length)."""
        x = self.embedding(tokens)
        if x.ndim < 2:
            raise CompileError(
                Code.E_SHAPE_MISMATCH, "transformer: tokens are one integer, not (..., length)."
            )
        rows = x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])
        rows, _ = lax.scan(_step, rows, self.blocks)
        rows = self.norm(rows, self.config)
        if self.head is None:
            logits = registered_op("matmul")(rows, self.embedding.weight.T)
        else:
            logits = affine("transformer", self.head, rows)
        return logits.reshape(*x.shape[:-1], logits.shape[-1])


# A function of the file, so that `scan` finds its program again at the next call.
def _step(x: jax.Array, block: TransformerBlock) -> tuple[jax.Array, None]:
    return _block(block, block.config, x), None


def _block(block: TransformerBlock, config: TransformerConfig, x: jax.Array) -> jax.Array:
    x = _attended(block, config, x)
    h = block.ffn_norm(x, config)
    inner = affine(BLOCK, block.up if block.gate is None else block.gate, h, config.activation)
    if block.gate is not None:
        inner = inner * affine(BLOCK, block.up, h)
    return _added(block.down, inner, x)


def _attended(block: TransformerBlock, config: TransformerConfig, x: jax.Array) -> jax.Array:
    batch, length, _ = x.shape
    qkv = affine(BLOCK, block.qkv, block.attention_norm(x, config))
    q, k, v = _heads(qkv, config)
    if config.rope_theta is not None:
        q, k = registered_op("rope")((q, k), config.rope_theta)
    seen = jnp.swapaxes(registered_op("flash_attention")(q, k, v, causal=config.causal), 1, 2)
    return _added(block.out, seen.reshape(batch, length, math.prod(seen.shape[2:])), x)


def _heads(qkv: jax.Array, config: TransformerConfig) -> list[jax.Array]:
    """Returns q, k and v (batch, heads, length, head_dim)."""
    counts = _head_counts(config)
    edges = [sum(counts[:1]), sum(counts[:2])]
    rows = qkv.reshape(*qkv.shape[:2], sum(counts), qkv.shape[-1] // sum(counts))
    return [jnp.swapaxes(part, 1, 2) for part in jnp.split(rows, edges, axis=2)]


def _head_counts(config: TransformerConfig) -> tuple[int, int, int]:
    groups = config.kv_heads or config.heads
    return config.heads, groups, groups


def _added(layer: Linear, inner: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x + layer(inner) in the dtype of x."""
    return affine(BLOCK, layer, inner, residual=x).astype(x.dtype)
