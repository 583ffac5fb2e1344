"""Runs Triton kernels in NumPy, in a process of its own: `with Interpreter() as run: run(source, *arrays)`.

Triton's interpreter is chosen before Triton is imported, so it has a process to itself, which reads kernels
and arrays from its input and writes results to its output. Where it has no NumPy function or a coarse one it
gets one here: conversions to and from bf16 (round to nearest, ties to even), products of bf16, libdevice, and
reductions that keep a NaN.
"""

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import scipy.special

LIBDEVICE = {
    "atan2": np.arctan2, "erf": scipy.special.erf, "expm1": np.expm1, "fmod": np.fmod, "log1p": np.log1p,
    "pow": np.power, "tan": np.tan, "tanh": np.tanh,
}  # fmt: skip


class Interpreter:
    """A process that interprets kernels, as a context manager."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TRITON_INTERPRET": "1"},
        )
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def __call__(self, source, path, *arrays):
        """Returns what a kernel, whose text stands in a file, writes for the arrays it reads."""
        results = [np.zeros(x.shape, x.dtype) for x in source.results]
        given = [np.array(x, order="C") for x in (*arrays, *results)]
        request = (str(path), source.name, source.programs, given, len(results))
        pickle.dump(request, self.process.stdin)
        self.process.stdin.flush()
        found = pickle.load(self.process.stdout)
        if isinstance(found, str):
            raise AssertionError(f"{found}\n{source.text}")
        return found


class _Argument:
    """An array as the interpreter takes it: the address of its first element and its dtype's name."""

    def __init__(self, array: np.ndarray):
        self.array = array
        self.dtype = array.dtype.name

    def data_ptr(self) -> int:
        return self.array.ctypes.data


def _serve() -> None:
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Triton prints is no answer
    interpreter = _patched_interpreter()
    while True:
        try:
            path, name, programs, arrays, outputs = pickle.load(requests)
        except EOFError:
            return
        try:
            _run(interpreter, path, name, programs, arrays)
            answer: Any = arrays[len(arrays) - outputs :]
        except interpreter.InterpreterError as error:
            answer = str(error)
        pickle.dump(answer, answers)
        answers.flush()


def _run(interpreter: Any, path: str, name: str, programs: int, arrays: list[np.ndarray]) -> None:
    module = ModuleType("kernel")
    text = Path(path).read_text()
    exec(compile(text, path, "exec"), vars(module))
    if "libdevice" in vars(module):
        vars(module)["libdevice"] = _libdevice(interpreter)
    kernel = vars(module)[name]
    with np.errstate(all="ignore"):
        kernel[(programs,)](*map(_Argument, arrays))


def _patched_interpreter() -> Any:
    tl = importlib.import_module("triton.language")
    interpreter = importlib.import_module("triton.runtime.interpreter")
    builder, executor = interpreter.InterpreterBuilder, interpreter.GridExecutor
    handle = interpreter.TensorHandle

    def wide(x):
        if x.dtype.scalar == tl.bfloat16:
            return x.data.view(ml_dtypes.bfloat16).astype(np.float32)
        return x.data

    def cast(self, x, kind, *_):
        if kind.scalar == tl.bfloat16:
            data = wide(x).astype(np.float32).astype(ml_dtypes.bfloat16).view(np.uint16)
        else:
            data = wide(x).astype(interpreter._get_np_dtype(kind))
        return handle(data, kind.scalar)

    def dot(self, a, b, c, *_):
        product = wide(a).astype(c.data.dtype) @ wide(b).astype(c.data.dtype)
        return handle(product + c.data, c.dtype.scalar)

    reduce, scan = interpreter.ReduceOps.apply_impl, interpreter.ScanOps.apply_impl

    def reduced(self, xs):
        name = getattr(self.combine_fn, "__name__", "")
        function = {"larger": np.max, "smaller": np.min}.get(name)
        return reduce(self, xs) if function is None else self.min_max(xs[0], function)

    def scanned(self, xs):
        name = getattr(self.combine_fn, "__name__", "")
        function = {"larger": np.maximum, "smaller": np.minimum}.get(name)
        if function is None:
            return scan(self, xs)
        data = xs[0].handle.data
        data = np.flip(data, self.axis) if self.reverse else data
        found = function.accumulate(data, axis=self.axis)
        return self.to_tensor(np.flip(found, self.axis) if self.reverse else found, xs[0].dtype)

    patch = interpreter._patch_lang_tensor

    def patched(tensor, scope):
        patch(tensor, scope)
        # NumPy no longer makes a number of an array with one axis, which is what a bound of a loop is here.
        scope.set_attr(tensor, "__index__", lambda x: x.handle.data.item())

    interpreter._patch_lang_tensor = patched

    def bf16(self, number):
        return handle(np.array([number], ml_dtypes.bfloat16).view(np.uint16), tl.bfloat16)

    builder.get_bf16 = bf16
    builder.cast_impl = builder.create_fp_to_fp = cast
    builder.create_dot = dot
    interpreter.ReduceOps.apply_impl = reduced
    interpreter.ScanOps.apply_impl = scanned
    executor._init_args_hst = lambda self, args, kwargs: (args, kwargs)
    executor._restore_args_dev = lambda self, *_: None
    return interpreter


def _libdevice(interpreter: Any) -> Any:
    tl = importlib.import_module("triton.language")

    def of(function):
        def run(*xs):
            kept = [x for x in xs if isinstance(x, tl.tensor)]
            data = function(*(x.handle.data if isinstance(x, tl.tensor) else x for x in xs))
            kind = kept[0].dtype
            found = interpreter.TensorHandle(data.astype(interpreter._get_np_dtype(kind)), kind)
            shape = list(np.broadcast_shapes(*(x.shape for x in kept)))
            return tl.tensor(found, tl.block_type(kind, shape) if shape else kind)

        return staticmethod(run)

    return type("libdevice", (), {name: of(function) for name, function in LIBDEVICE.items()})


if __name__ == "__main__":
    _serve()
