"""`op.transformer_block` and `op.transformer`: attention and feed-forward layers, each after a norm."""

from typing import Any

import jax

from tessera import modules
from tessera.core.operands import as_integer
from tessera.modules.config import Config, invalid, read_config


def transformer_block(x: Any, *, config: Config, params: Any, depth: int = 1) -> jax.Array:
    """Returns x after a block of attention and a feed-forward layer, applied `depth` times.

        y = x + out(attention(norm(x)))
        z = y + down(activation(up(norm(y))))

    `x` is (..., length, hidden); the result has its shape and dtype. `params` is a
    `tessera.nn.TransformerBlock(hidden, config=config, key=...)`, whose arrays are the parameters. `config`,
    a mapping or a `tessera.nn.TransformerConfig`, has `heads` and `ffn_width`. Its other fields and their
    defaults: kv_heads (heads), head_dim (hidden / heads), activation (gelu), gated (False), norm (rmsnorm; or
    layernorm), eps (1e-5), causal (True), rope_theta (10000; or None), bias (False). With `gated` the second
    line is y + down(activation(gate(h)) * up(h)), where h = norm(y).

    Raises `E_GRAPH_INVALID` for fields that are missing, all of them, or unknown, and for params made with
    other sizes; `E_SHAPE_MISMATCH` for an x of another width.

    >>> import jax.numpy as jnp
    >>> from tessera import nn
    >>> config = {"heads": 2, "ffn_width": 16}
    >>> block = nn.TransformerBlock(8, config=config, key=0)
    >>> transformer_block(jnp.ones((3, 5, 8)), config=config, params=block).shape
    (3, 5, 8)
    """
    given = read_config("transformer_block", config)
    if not isinstance(params, modules.TransformerBlock):
        raise invalid(
            "transformer_block",
            f"params is a {type(params).__name__}, not a TransformerBlock",
            "params=nn.TransformerBlock(hidden, config=config, key=0)",
        )
    times = as_integer("transformer_block", "depth", depth)
    if times < 0:
        raise invalid("transformer_block", f"depth is {times}, negative")
    return params.apply(given, x, times)


def transformer(
    hidden: int, layers: int, *, config: Config, key: Any = None
) -> "modules.Transformer":
    """Returns a model, an Equinox module, that maps tokens (..., length) to logits (..., length, vocabulary).

    It is an embedding, `layers` blocks of `op.transformer_block`, a norm, and a product with a matrix: its
    own, or with `tied` the embedding's. `config` has `heads`, `ffn_width` and `vocabulary`, and may have the
    other fields of a block; `dtype` ("fp32") is that of the parameters, drawn Glorot uniform by `key`, a JAX
    key or an int seed. The blocks are one loop, so that compiling takes the time of one, and their parameters
    have an axis of layers in front. Tokens are looked up by the rules of `op.gather`.

    Raises `E_GRAPH_INVALID` for fields that are missing, all of them, or unknown, for values that do not go
    together, and for a missing key.

    >>> import jax.numpy as jnp
    >>> model = transformer(8, 2, config={"heads": 2, "ffn_width": 16, "vocabulary": 11}, key=0)
    >>> model(jnp.array([[1, 5, 10]])).shape
    (1, 3, 11)
    """
    return modules.Transformer(hidden, layers, config=config, key=key)
