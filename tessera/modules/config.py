"""`TransformerConfig`: the sizes and choices of a transformer."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tessera.core.activations import ACTIVATIONS
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_number
from tessera.modules.initial import as_float_dtype, as_size

NORMS = ("rmsnorm", "layernorm")
NEEDS = ("heads", "ffn_width")  # of a block
# What the arrays of a block depend on.
SHAPES = ("heads", "kv_heads", "head_dim", "ffn_width", "gated", "norm", "bias")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The sizes and choices of a transformer; those without a default must be given.

    `vocabulary` is of a whole model. `kv_heads` (default `heads`) divides `heads`; `head_dim` is the hidden
    size over `heads` where absent. `gated` multiplies the activated half of the feed-forward layer by a
    linear one. `rope_theta` None leaves positions out. `bias` adds one to every product of a block, `tied`
    takes the logits from the embedding's table. `dtype` is that of the parameters.
    """

    heads: int
    ffn_width: int
    vocabulary: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    activation: str = "gelu"
    gated: bool = False
    norm: str = "rmsnorm"
    eps: float = 1e-5
    causal: bool = True
    rope_theta: float | None = 10000.0
    bias: bool = False
    tied: bool = False
    dtype: Any = "fp32"


Config = TransformerConfig | Mapping[str, Any]


def read_config(op: str, config: Any, needs: tuple[str, ...] = NEEDS) -> TransformerConfig:
    """Returns a config, given as one or as a mapping of its fields.

    Raises `E_GRAPH_INVALID`, with all the fields of `needs` that are missing, or all that are unknown.
    """
    names = [field.name for field in fields(TransformerConfig)]
    if isinstance(config, TransformerConfig):
        given: Mapping[Any, Any] = {name: getattr(config, name) for name in names}
    elif config is None or isinstance(config, Mapping):
        given = config or {}
    else:
        raise invalid(op, f"config is a {type(config).__name__}, not a mapping")
    missing = [name for name in needs if given.get(name) is None]
    if missing:
        raise invalid(
            op,
            f"config lacks {', '.join(missing)}",
            f"config=dict({', '.join(f'{name}=...' for name in needs)})",
        )
    unknown = [str(name) for name in given if name not in names]
    if unknown:
        raise invalid(op, f"config has unknown {', '.join(unknown)}; fields: {', '.join(names)}")
    return TransformerConfig(**given)


def resolve(op: str, config: TransformerConfig, hidden: int) -> TransformerConfig:
    """Returns a checked config with every size in place, for a hidden size."""
    if config.norm not in NORMS:
        raise invalid(op, f"unknown norm {config.norm!r}; one of {', '.join(NORMS)}")
    if config.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise invalid(op, f"unknown activation {config.activation!r}; one of {known}")
    heads = as_size(op, "heads", config.heads)
    groups = heads if config.kv_heads is None else as_size(op, "kv_heads", config.kv_heads)
    if heads % groups:
        raise invalid(op, f"kv_heads is {groups}, which does not divide heads, {heads}")
    if config.head_dim is None and hidden % heads:
        raise invalid(op, f"heads is {heads}, which does not divide the hidden size {hidden}")
    depth = hidden // heads if config.head_dim is None else as_size(op, "head_dim", config.head_dim)
    theta = config.rope_theta
    if theta is not None and depth % 2:
        raise invalid(op, f"head_dim is {depth}, but rope needs an even one", "rope_theta=None")
    return replace(
        config,
        heads=heads,
        kv_heads=groups,
        head_dim=depth,
        ffn_width=as_size(op, "ffn_width", config.ffn_width),
        eps=as_number(op, "eps", config.eps),
        rope_theta=None if theta is None else as_number(op, "rope_theta", theta),
        dtype=as_float_dtype(op, config.dtype),
    )


def invalid(op: str, problem: str, hint: str = "") -> CompileError:
    """Returns the error for a config that makes no sense."""
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hint or ())
