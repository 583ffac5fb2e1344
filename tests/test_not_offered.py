"""What `tessera.op` does not offer is refused, and the refusal names what to use instead."""

import jax.numpy as jnp
import pytest

from tessera import dist, op
from tessera.core.errors import Code, TesseraError

A, X = jnp.ones((4, 4)), jnp.ones((1, 2, 4, 4))


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("align", "XLA owns"),
        ("swizzle", "XLA owns"),
        ("inline_ptx", r"op\.tile_kernel"),
        ("atomic_add", r"tile\.reduce"),
        ("atomic_max", r"tile\.reduce"),
        ("shared", r"tile\.load"),
        ("barrier", "in order"),
        ("fence", "in order"),
        ("placeholder", "@graph.module"),
        ("dataset", "@graph.module"),
    ],
)
def test_a_name_that_is_not_offered_names_what_to_use(name, instead):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; use .*{instead}"):
        getattr(op, name)


def moe(transport):
    return op.moe(A, [lambda x: x], transport={"type": transport})


INVALID, DRIVER, CODEGEN = Code.E_GRAPH_INVALID, Code.E_DRIVER, Code.E_TARGET_CODEGEN
REFUSED = {
    "an error tolerance": (lambda: op.matmul(A, A, error_tolerance=0.1), INVALID, "return_bound"),
    "a scale per channel": (lambda: op.matmul(A, A, scale="per_channel"), INVALID, "fp8 policy"),
    "fp8 precision": (lambda: op.matmul(A, A, precision="fp8_e4m3"), INVALID, "fp8 policy"),
    "arrays in a list": (lambda: op.batched_gemm([A], [A]), INVALID, "one array"),
    "a factory of attention": (lambda: op.flash_attention(num_heads=8), INVALID, "(q, k, v)"),
    "one with arrays": (lambda: op.flash_attention(X, X, X, num_heads=2), INVALID, "(q, k, v)"),
    "another factory": (lambda: op.multi_query_attention(num_heads=8), INVALID, "(q, k, v)"),
    "blocked memory": (lambda: op.tensor((4,), layout="blocked"), INVALID, "XLA's choice"),
    "swizzled memory": (lambda: op.pack(A, "swizzle"), INVALID, "XLA's choice"),
    "interleaved memory": (lambda: op.layout_cast(A, "interleaved"), INVALID, "XLA's choice"),
    "nvshmem": (lambda: moe("nvshmem"), DRIVER, "auto, nccl"),
    "deepep": (lambda: moe("deepep"), DRIVER, "auto, nccl"),
    "multi_qp": (lambda: moe("multi_qp"), DRIVER, "auto, nccl"),
    "a generator with state": (lambda: op.rng(seed=0, generator="xorwow"), CODEGEN, "philox"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_call_that_is_not_offered_names_what_to_use(case):
    call, code, instead = REFUSED[case]
    with pytest.raises(TesseraError) as caught:
        call()
    assert caught.value.code is code
    assert instead in str(caught.value)


def test_collectives_are_those_of_dist():
    assert op.all_reduce is dist.all_reduce
