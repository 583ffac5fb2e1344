"""The same computations in torch, on the same operands."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's users know


def make(name: str, sets: list[tuple[Any, ...]], statics: dict[str, Any]) -> Callable[..., None]:
    """Returns a call of a peer on every set of operands, as tensors of its own."""
    backward = name.endswith(" grad")
    function = PEERS[name.removesuffix(" grad")]
    tensors = [[None if x is None else _tensor(x, backward) for x in operands] for operands in sets]

    def run(repeats: int = 1) -> None:
        for _ in range(repeats):
            for operands in tensors:
                out = function(*operands, **statics)
                if backward:
                    live = [x for x in operands if x is not None and x.requires_grad]
                    first = live[0].detach()
                    ct = first if first.shape == out.shape else torch.ones_like(out)
                    torch.autograd.grad(out, live, ct)
        torch.cuda.synchronize()

    run()
    return run


def _tensor(x: jax.Array, moving: bool) -> torch.Tensor:
    if np.issubdtype(x.dtype, np.integer):
        return torch.from_numpy(np.array(x)).to("cuda")
    wide = torch.from_numpy(np.asarray(x.astype(np.float32)))
    return wide.to("cuda", getattr(torch, str(x.dtype))).requires_grad_(moving)


def matmul(a: Any, b: Any, bias: Any, residual: Any, **_: Any) -> Any:
    return F.gelu(torch.addmm(bias, a, b)) + residual


def softmax(x: Any, **_: Any) -> Any:
    return torch.softmax(x, -1)


def rmsnorm(x: Any, weight: Any, **_: Any) -> Any:
    return F.rms_norm(x, weight.shape, weight, 1e-5)


def layernorm(x: Any, weight: Any, bias: Any, **_: Any) -> Any:
    return F.layer_norm(x, weight.shape, weight, bias, 1e-5)


def attention(
    q: Any, k: Any, v: Any, *_absent: Any, causal: bool = False, scale: float = 1.0
) -> Any:
    b, g, r, i, d = q.shape
    out = F.scaled_dot_product_attention(
        q.reshape(b, g * r, i, d), k, v, is_causal=causal, scale=scale, enable_gqa=r > 1
    )
    return out.reshape(b, g, r, i, d)


def grouped(x: Any, w: Any, sizes: Any, **_: Any) -> Any:
    return F.grouped_mm(x, w, offs=torch.cumsum(sizes, 0).to(torch.int32))


def segment(x: Any, ids: Any, **_: Any) -> Any:
    return x.new_zeros(1 << 14, x.shape[1]).index_add_(0, ids, x)


PEERS: dict[str, Callable[..., Any]] = {
    "matmul": matmul,
    "softmax": softmax,
    "rmsnorm": rmsnorm,
    "layernorm": layernorm,
    "attention": attention,
    "grouped": grouped,
    "segment": segment,
}
