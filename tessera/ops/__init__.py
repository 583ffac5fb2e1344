"""The operators: one file each. `tessera.op` is this module."""

import types as _types

from tessera.autodiff import adjoint as adjoint
from tessera.autodiff import jvp as jvp
from tessera.autodiff import value_and_grad as autodiff  # noqa: F401 - its name here
from tessera.autodiff import vjp as vjp
from tessera.core import levels as _levels
from tessera.core import op as _op
from tessera.core.precision import numeric as numeric
from tessera.dist import all_reduce as all_reduce
from tessera.ops import at_level as _at_level  # noqa: F401 - sets how sums and products keep a level
from tessera.ops import grad as _grad
from tessera.ops.asin import acos as acos
from tessera.ops.asin import asin as asin
from tessera.ops.assert_shape import assert_shape as assert_shape
from tessera.ops.atan2 import atan2 as atan2
from tessera.ops.attention import multi_query_attention as multi_query_attention
from tessera.ops.attention import performer_attention as performer_attention
from tessera.ops.attention import qkv_projection as qkv_projection
from tessera.ops.attention import scaled_dot_product_attention as scaled_dot_product_attention
from tessera.ops.attention import split_heads as split_heads
from tessera.ops.batch_norm import batch_norm as batch_norm
from tessera.ops.bsmm import BSR as BSR
from tessera.ops.bsmm import bsmm as bsmm
from tessera.ops.cast import cast as cast
from tessera.ops.cbrt import cbrt as cbrt
from tessera.ops.check_numerics import check_numerics as check_numerics
from tessera.ops.control_flow import if_then_else as if_then_else
from tessera.ops.control_flow import map as map  # noqa: A004 - its name
from tessera.ops.control_flow import scan as scan
from tessera.ops.conv import conv1d as conv1d
from tessera.ops.conv import conv2d as conv2d
from tessera.ops.conv import conv3d as conv3d
from tessera.ops.conv import depthwise_conv as depthwise_conv
from tessera.ops.conv import separable_conv as separable_conv
from tessera.ops.conv_fft import conv_fft as conv_fft
from tessera.ops.copy import copy as copy
from tessera.ops.cross_entropy import cross_entropy as cross_entropy
from tessera.ops.dct import dct as dct
from tessera.ops.dct import idct as idct
from tessera.ops.decompositions import cholesky as cholesky
from tessera.ops.decompositions import qr as qr
from tessera.ops.decompositions import svd as svd
from tessera.ops.decompositions import tri_solve as tri_solve
from tessera.ops.div import div as _quotient
from tessera.ops.dot import dot as dot
from tessera.ops.dropout import dropout as dropout
from tessera.ops.einsum import einsum as einsum
from tessera.ops.elementwise import add as add
from tessera.ops.elementwise import eq as eq
from tessera.ops.elementwise import exp as exp
from tessera.ops.elementwise import ge as ge
from tessera.ops.elementwise import gt as gt
from tessera.ops.elementwise import le as le
from tessera.ops.elementwise import log as log
from tessera.ops.elementwise import lt as lt
from tessera.ops.elementwise import maximum as maximum
from tessera.ops.elementwise import minimum as minimum
from tessera.ops.elementwise import mul as mul
from tessera.ops.elementwise import ne as ne
from tessera.ops.elementwise import pointwise_mul as pointwise_mul
from tessera.ops.elementwise import pow as pow  # noqa: A004 - its name
from tessera.ops.elementwise import sqrt as sqrt
from tessera.ops.elementwise import square as square
from tessera.ops.elementwise import sub as sub
from tessera.ops.embedding import embedding as embedding
from tessera.ops.factorized_matmul import factorized_matmul as factorized_matmul
from tessera.ops.feed_forward import ffn as ffn
from tessera.ops.feed_forward import fused_mlp as fused_mlp
from tessera.ops.feed_forward import gated_ffn as gated_ffn
from tessera.ops.feed_forward import gmlp_block as gmlp_block
from tessera.ops.fft import fft as fft
from tessera.ops.fft import ifft as ifft
from tessera.ops.fft import irfft as irfft
from tessera.ops.fft import rfft as rfft
from tessera.ops.flash_attention import flash_attention as flash_attention
from tessera.ops.flash_attention_fp8 import flash_attention_fp8 as flash_attention_fp8
from tessera.ops.gather import gather as gather
from tessera.ops.gelu import gelu as gelu
from tessera.ops.gemm import batched_gemm as batched_gemm
from tessera.ops.gemm import gemm as gemm
from tessera.ops.grad import curl as curl
from tessera.ops.grad import div as div
from tessera.ops.grad import grad as grad
from tessera.ops.grad import laplacian as laplacian
from tessera.ops.grouped_matmul import grouped_matmul as grouped_matmul
from tessera.ops.kl_divergence import kl_divergence as kl_divergence
from tessera.ops.kvcache import kvcache_init as kvcache_init
from tessera.ops.kvcache import kvcache_read as kvcache_read
from tessera.ops.kvcache import kvcache_update as kvcache_update
from tessera.ops.layernorm import layernorm as layernorm
from tessera.ops.linear import linear as linear
from tessera.ops.logic import logic_and as logic_and
from tessera.ops.logic import logic_not as logic_not
from tessera.ops.logic import logic_or as logic_or
from tessera.ops.logic import logic_xor as logic_xor
from tessera.ops.matmul import matmul as matmul
from tessera.ops.mlp import mlp as mlp
from tessera.ops.moe import Route as Route
from tessera.ops.moe import aux_loss as aux_loss
from tessera.ops.moe import moe as moe
from tessera.ops.moe import moe_apply as moe_apply
from tessera.ops.moe import moe_combine as moe_combine
from tessera.ops.moe import moe_dispatch as moe_dispatch
from tessera.ops.moe import router as router
from tessera.ops.movement import concat as concat
from tessera.ops.movement import pad as pad
from tessera.ops.movement import reshape as reshape
from tessera.ops.movement import slice as slice  # noqa: A004 - its name
from tessera.ops.movement import split as split
from tessera.ops.movement import transpose as transpose
from tessera.ops.mse import mse as mse
from tessera.ops.norm import norm as norm
from tessera.ops.pack import pack as pack
from tessera.ops.pack import tile_view as tile_view
from tessera.ops.pack import unpack as unpack
from tessera.ops.pipeline import pipeline as pipeline
from tessera.ops.poisson import helmholtz as helmholtz
from tessera.ops.poisson import poisson as poisson
from tessera.ops.quantize import dequantize as dequantize
from tessera.ops.quantize import quantize as quantize
from tessera.ops.rearrange import layout_cast as layout_cast
from tessera.ops.rearrange import rearrange as rearrange
from tessera.ops.recursive import recursive as recursive
from tessera.ops.recursive_mixture import recursive_mixture as recursive_mixture
from tessera.ops.reduce import reduce as reduce
from tessera.ops.reduce import reduce_max as reduce_max
from tessera.ops.reduce import reduce_mean as reduce_mean
from tessera.ops.reduce import reduce_min as reduce_min
from tessera.ops.reduce import reduce_prod as reduce_prod
from tessera.ops.reduce_sum import reduce_sum as reduce_sum
from tessera.ops.relu import relu as relu
from tessera.ops.rmsnorm import rmsnorm as rmsnorm
from tessera.ops.rng import random_normal as random_normal
from tessera.ops.rng import random_uniform as random_uniform
from tessera.ops.rng import rng as rng
from tessera.ops.rng import rng_normal as rng_normal
from tessera.ops.rng import rng_uniform as rng_uniform
from tessera.ops.rope import rope as rope
from tessera.ops.rope import rotary as rotary
from tessera.ops.segment_reduce import segment_reduce as segment_reduce
from tessera.ops.sigmoid import sigmoid as sigmoid
from tessera.ops.silu import silu as silu
from tessera.ops.sin import cos as cos
from tessera.ops.sin import sin as sin
from tessera.ops.sin import tan as tan
from tessera.ops.softmax import softmax as softmax
from tessera.ops.solve import fixed_point as fixed_point
from tessera.ops.solve import solve as solve
from tessera.ops.sparse import sddmm as sddmm
from tessera.ops.sparse import spmm as spmm
from tessera.ops.sparse import spmm_coo as spmm_coo
from tessera.ops.sparse import spmm_csr as spmm_csr
from tessera.ops.sparse import spmv as spmv
from tessera.ops.spectral_conv import spectral_conv as spectral_conv
from tessera.ops.spectral_filter import spectral_filter as spectral_filter
from tessera.ops.speculative_step import speculative_step as speculative_step
from tessera.ops.stft import istft as istft
from tessera.ops.stft import stft as stft
from tessera.ops.tanh import tanh as tanh
from tessera.ops.tensor import tensor as tensor
from tessera.ops.threshold import threshold as threshold
from tessera.ops.tile_kernel import tile_kernel as tile_kernel
from tessera.ops.topk import topk as topk
from tessera.ops.transformer import transformer as transformer
from tessera.ops.transformer import transformer_block as transformer_block
from tessera.ops.wavelet import iwavelet as iwavelet
from tessera.ops.wavelet import wavelet as wavelet
from tessera.pde.coordinates import coordinates as coordinates
from tessera.pde.coordinates import coords as coords
from tessera.runtime import kernels as _kernels

# Second names.
batchnorm, layer_norm, rms_norm = batch_norm, layernorm, rmsnorm
max, mean, min, prod = reduce_max, reduce_mean, reduce_min, reduce_prod  # noqa: A001
mixture_of_experts = moe_layer = moe
sum, sine = reduce_sum, sin  # noqa: A001

# What takes or gives back functions, modules or Fields: the ops called in them keep the level of the scope.
_OF_FUNCTIONS = frozenset(
    """adjoint all_reduce assert_shape autodiff coordinates coords embedding fixed_point if_then_else jvp
    kvcache_init linear map mlp numeric pipeline recursive recursive_mixture rng scan tensor tile_kernel
    transformer transformer_block vjp""".split()
)
# Every other operator that is a plain function is computed at the level of the scope as a whole.
for _name, _function in list(globals().items()):
    if (
        isinstance(_function, _types.FunctionType)
        and _name not in _OF_FUNCTIONS
        and _name[0] != "_"
    ):
        globals()[_name] = _levels.scoped(_function)

_op.set_tile_programs(_kernels.tile_program)
_grad.set_quotient(_quotient)

_ATOMICS = "tile.reduce in a program of op.tile_kernel, or op.segment_reduce"
_BLOCK_LANGUAGE = "op.tile_kernel: a program over blocks, which Triton compiles to PTX"
_LAYOUT = "nothing: XLA owns how an array lies in memory; op.pack makes tiles"
_PARAMETERS = "the parameters of a function decorated with @graph.module"

# What is written with threads elsewhere, and the call on blocks that does it here; and other names for what
# has no meaning here.
_NOT_OFFERED = {
    "align": _LAYOUT,
    "atomic_add": _ATOMICS,
    "atomic_cas": _ATOMICS,
    "atomic_max": _ATOMICS,
    "atomic_min": _ATOMICS,
    "barrier": "nothing: the blocks of a tile program are in order",
    "cp_async": "tile.load, with stages= of tile.fori_loop",
    "dataset": _PARAMETERS,
    "fence": "nothing: the blocks of a tile program are in order",
    "inline_ptx": _BLOCK_LANGUAGE,
    "mma_sync": "tile.dot in a program of op.tile_kernel",
    "placeholder": _PARAMETERS,
    "prefetch": "tile.fori_loop(..., stages=3)",
    "shared": "tile.load: blocks stand where their use wants them",
    "swizzle": _LAYOUT,
    "thread_id": "tile.grid in a program of op.tile_kernel",
    "tile_range": "tile.block(i, size), or tile.range_n(start, size)",
}


def __getattr__(name: str) -> object:
    """Raises `AttributeError`, naming the call on blocks for what is written with threads elsewhere.

    >>> __getattr__("prefetch")
    Traceback (most recent call last):
    AttributeError: module 'tessera.ops' has no attribute 'prefetch'; use tile.fori_loop(..., stages=3)
    """
    hint = f"; use {_NOT_OFFERED[name]}" if name in _NOT_OFFERED else ""
    raise AttributeError(f"module 'tessera.ops' has no attribute {name!r}{hint}")
