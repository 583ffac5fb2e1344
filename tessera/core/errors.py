"""Every error Tessera raises: one class per kind, a stable code, where it happened and how to fix it."""

import builtins
import enum
from collections.abc import Sequence


class Code(enum.Enum):
    """Stable error codes. Several names for one code are aliases of the same member."""

    E_GRAPH_INVALID = "E_GRAPH_INVALID"
    E_SHAPE_MISMATCH = "E_SHAPE_MISMATCH"
    E_SCHEDULE_FUSE_FAIL = "E_SCHEDULE_FUSE_FAIL"
    E_TILE_LOWERING = "E_TILE_LOWERING"
    E_TARGET_CODEGEN = "E_TARGET_CODEGEN"
    E_LAUNCH_INVALID_SHAPE = "E_LAUNCH_INVALID_SHAPE"
    E_LAUNCH_BAD_LAYOUT = "E_LAUNCH_BAD_LAYOUT"
    E_LAUNCH_STREAM_BUSY = "E_LAUNCH_STREAM_BUSY"
    E_LAUNCH_DEVICE_MISMATCH = "E_LAUNCH_DEVICE_MISMATCH"
    E_OOM = "E_OOM"
    E_ILLEGAL_ADDRESS = "E_ILLEGAL_ADDRESS"
    E_MISALIGNED_ACCESS = "E_MISALIGNED_ACCESS"
    E_DRIVER = "E_DRIVER"
    E_UNKNOWN = "E_UNKNOWN"
    E_TIMEOUT = "E_TIMEOUT"
    E_COMM_INIT = "E_COMM_INIT"
    E_TOPOLOGY = "E_TOPOLOGY"
    E_DESYNC = "E_DESYNC"
    E_TIMEOUT_COMM = "E_TIMEOUT_COMM"
    E_NAN_INF = "E_NAN_INF"
    E_LOSS_SCALING = "E_LOSS_SCALING"
    E_NONDETERMINISTIC = "E_NONDETERMINISTIC"
    E_TUNE_SPACE_EMPTY = "E_TUNE_SPACE_EMPTY"
    E_TUNE_MEASURE_FAIL = "E_TUNE_MEASURE_FAIL"
    E_CACHE_IO = "E_CACHE_IO"

    TS_ERR_INVALID_ARG = E_GRAPH_INVALID
    TS_ERR_SHAPE_MISMATCH = E_SHAPE_MISMATCH
    TS_ERR_UNSUPPORTED_DTYPE = E_TARGET_CODEGEN
    TS_ERR_BACKEND_FAILURE = E_DRIVER
    TS_ERR_OOM = E_OOM
    TS_ERR_NONDETERMINISM = E_NONDETERMINISTIC


class Severity(enum.Enum):
    """How bad an error is."""

    FATAL = "FATAL"
    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"


class TesseraError(Exception):
    """Base of every Tessera error.

    `code` is stable across versions, `message` names the op, the rule and the values, `hints` say the
    fix, `where` names the IR level, op or device. `str(error)` shows all of them.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        hints: Sequence[str] | str = (),
        where: str = "",
        severity: Severity = Severity.ERROR,
    ):
        self.code = code
        self.message = message
        self.hints = (hints,) if isinstance(hints, str) else tuple(hints)
        self.where = where
        self.severity = severity
        super().__init__(message)

    def __str__(self) -> str:
        place = f" (in {self.where})" if self.where else ""
        hints = "".join(f"\n  hint: {hint}" for hint in self.hints)
        return f"{self.message}{place} [{self.code.value}]{hints}"


class CompileError(TesseraError, ValueError):
    """A call or trace cannot be compiled: bad argument, shape, schedule, tile, or no lowering."""


class LaunchError(TesseraError, builtins.RuntimeError):
    """A loaded artifact or a distributed value met the wrong shape, layout, stream or device."""


class RuntimeError(TesseraError, builtins.RuntimeError):  # noqa: A001 - the specification's name
    """Execution failed on the device."""


class TimeoutError(TesseraError, builtins.TimeoutError):  # noqa: A001 - the specification's name
    """A host-side deadline passed."""


class DistributedError(TesseraError, builtins.RuntimeError):
    """A mesh or a collective cannot be formed or has failed."""


class NumericsError(TesseraError, ArithmeticError):
    """A numerical check failed: NaN or infinity, loss scale, determinism."""


class AutotuneError(TesseraError, builtins.RuntimeError):
    """The tuner or its store failed."""


class TesseraWarning(UserWarning):
    """Base of every warning Tessera gives."""
