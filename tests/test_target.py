"""The levels below the tile program: text for GPUs that are not there."""

import importlib.util
import re
import shutil

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

import tessera as ts
from tessera.core.errors import Code, CompileError
from tessera.runtime import peaks

INSTALLED = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not INSTALLED, reason="Triton is not installed")
X = jax.ShapeDtypeStruct((4096, 512), jnp.bfloat16)
W = jax.ShapeDtypeStruct((512, 1024), jnp.bfloat16)
B = jax.ShapeDtypeStruct((1024,), jnp.bfloat16)


def layer(x, w, b):
    return ts.op.softmax(ts.op.matmul(x, w, bias=b, epilogue="bias_relu"))


def test_triton_is_printed_as_source_for_every_kernel():
    text = ts.inspect(layer, "triton", X, W, B, target="cuda")
    assert text.count("@triton.jit\ndef matmul(") == 1
    assert "tl.dot(" in text
    assert "def softmax(" in text
    compile(text, "kernels.py", "exec")


@needs_triton
@pytest.mark.parametrize(
    ("level", "target", "word"),
    [
        ("ptx", None, ".target sm_90a"),
        ("ptx", "sm_80", "mma.sync"),
        ("ptx", "sm_100", ".target sm_100a"),
        ("ttir", None, "tt.dot"),
        ("ttgir", "sm_90", "ttng.warp_group_dot"),
        ("llvm", "sm_90", "define ptx_kernel"),
        ("amdgcn", None, "v_mfma"),
    ],
)
def test_a_level_of_a_machine_that_is_not_here(level, target, word):
    text = ts.inspect(layer, level, X, W, B, target=target)
    assert word in text
    assert "0 bytes spilled" in text


@pytest.mark.skipif(INSTALLED, reason="Triton is installed")
@pytest.mark.parametrize("level", ["ptx", "amdgcn"])
def test_without_triton_the_extra_is_named(level):
    with pytest.raises(ImportError, match=r"tessera\[gpu\]"):
        ts.inspect(layer, level, X, W, B)


@pytest.mark.parametrize(("level", "target"), [("ptx", "gfx942"), ("amdgcn", "sm_90")])
def test_an_architecture_without_the_level_is_refused(level, target):
    with pytest.raises(CompileError, match=f"{target} has no level '{level}'") as caught:
        ts.inspect(layer, level, X, W, B, target=target)
    assert caught.value.code is Code.E_TARGET_CODEGEN


def test_a_target_of_another_name_lists_those_there_are():
    with pytest.raises(CompileError, match="sm_20") as caught:
        ts.inspect(layer, "ptx", X, W, B, target="sm_20")
    assert "sm_80" in str(caught.value)


def test_a_program_without_tile_programs_says_so():
    assert "no group has a tile program" in ts.inspect(jnp.sort, "triton", X, target="cuda")


@pytest.mark.parametrize(
    ("target", "platform", "kind"),
    [("sm_90", "cuda", "H100"), ("sm_80", "cuda", "A100"), ("gfx942", "rocm", "MI300X")],
)
def test_an_architecture_is_a_device(target, platform, kind):
    found = peaks.device(target)
    assert (found.platform, found.kind, found.architecture) == (platform, kind, target)


@needs_triton
def test_the_lowering_of_a_whole_model_for_cuda_holds_the_kernels():
    """Forward and gradient of a block of plain JAX: attention and both of its backward kernels among them."""

    def block(x, w, m):
        q, k, v = ((x @ w).reshape(512, 3, 4, 64)[None, :, i] for i in range(3))
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(512, 256)
        return jnp.sum((x + y @ m).astype(jnp.float32) ** 2)

    types = [jax.ShapeDtypeStruct(s, jnp.bfloat16) for s in ((512, 256), (256, 768), (256, 256))]
    step = ts.compile(jax.value_and_grad(block, (0, 1, 2)), target="cuda")
    device = AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    mesh = AbstractMesh((1,), ("x",), abstract_device=device)
    with jax.numpy_dtype_promotion("standard"), use_abstract_mesh(mesh):  # JAX's attention mixes
        text = jax.jit(step).trace(*types).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("triton_kernel_call") >= 4
    assert "512x512" not in text  # no score matrix is left


@needs_triton
def test_stablehlo_for_another_platform_needs_no_such_machine():
    assert "triton_kernel_call" in ts.inspect(layer, "stablehlo", X, W, B, target="cuda")


# -- this machine's own ------------------------------------------------------------------------------------


def turned(x):
    return jnp.arctan2(x, jnp.sort(x, 0)[::-1])


def test_the_llvm_of_a_cpu_is_what_xla_makes():
    text = ts.inspect(turned, "llvm", jnp.ones((8, 8)), target="cpu")
    assert "define" in text
    assert "target triple" in text


@pytest.mark.skipif(shutil.which("objdump") is None, reason="binutils is not installed")
def test_the_assembly_of_a_cpu_is_what_xla_makes():
    text = ts.inspect(turned, "asm", jnp.ones((8, 8)))
    assert re.search(r"^\s+[0-9a-f]+:\t\w+", text, re.MULTILINE)


def test_assembly_without_a_disassembler_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="binutils"):
        ts.inspect(turned, "asm", jnp.ones((8, 8)))


def test_a_gpu_has_its_own_word_for_assembly():
    with pytest.raises(CompileError, match="ptx") as caught:
        ts.inspect(turned, "asm", jnp.ones((8, 8)), target="cuda")
    assert caught.value.code is Code.E_TARGET_CODEGEN
