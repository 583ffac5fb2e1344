"""A kernel as a function of JAX arrays, on NVIDIA and AMD GPUs, also under `jit`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.ir.tile import Func
from tessera.lowering.emit_triton.installed import jax_triton_module
from tessera.lowering.emit_triton.module import function
from tessera.lowering.emit_triton.source import TritonSource, source


def call(kernel: Func | TritonSource) -> Callable[..., list[jax.Array]]:
    """Returns a function from the arrays a kernel reads to those it writes.

    It lowers for the platforms `cuda` and `rocm`, whether or not there is such a GPU here. It has no
    derivative, no batching rule and no sharding rule: the op around it has.

    Raises `ImportError` without Triton and jax-triton; `E_TILE_LOWERING` for a kernel Triton cannot hold.
    The function raises `E_SHAPE_MISMATCH` for other arrays than the kernel is for.
    """
    made = kernel if isinstance(kernel, TritonSource) else source(kernel)
    jax_triton = jax_triton_module()
    results = [jax.ShapeDtypeStruct(x.shape, jnp.dtype(x.dtype)) for x in made.results]

    def run(*arrays: jax.Array) -> list[jax.Array]:
        _check(made, arrays)
        return jax_triton.triton_call(
            *arrays,
            kernel=function(made),
            out_type=results,
            grid=(made.programs,),
            name=made.name,
            num_warps=made.warps,
            num_stages=made.stages,
        )

    return run


def _check(source: TritonSource, arrays: Sequence[Any]) -> None:
    wanted = [f"{x.dtype}{list(x.shape)}" for x in source.inputs]
    given = [f"{jnp.dtype(x.dtype)}{list(x.shape)}" for x in arrays]
    if wanted != given:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{source.name}: the kernel reads {', '.join(wanted) or 'nothing'}, but got "
            f"{', '.join(given) or 'nothing'}.",
            hints="A kernel is for one shape and dtype: plan it for these arrays.",
            where="target",
        )
