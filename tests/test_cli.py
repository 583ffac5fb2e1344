"""The `tessera` command: what it prints, what it passes on, and how it fails."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from typer.testing import CliRunner

import tessera
from tessera import cli, demo
from tessera.core.dims import parse
from tessera.core.errors import Code, CompileError
from tessera.core.op import Op, Sample, registered_ops
from tessera.runtime import allocator, choice, versions

needs_glibc = pytest.mark.skipif(
    allocator.c_library() != "glibc", reason="the allocator setting exists on glibc only"
)


def invoke(*arguments: str):
    """Returns the result of a command run in this process."""
    return CliRunner().invoke(cli.app, list(arguments))


def tessera_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Returns the result of the command, run in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tessera", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def write(directory: Path, text: str) -> str:
    """Returns the path of a program with this text."""
    script = directory / "script.py"
    script.write_text(text)
    return str(script)


def test_version_is_the_package_version():
    assert invoke("--version").output.strip() == tessera.__version__


def test_help_names_every_command():
    output = invoke("--help").output
    assert all(name in output for name in ("demo", "doctor", "inspect", "opt", "run"))


def test_an_unknown_command_is_refused():
    result = invoke("demonstrate")
    assert result.exit_code == 2
    assert "demonstrate" in result.output


def test_demo_passes_its_options_on_and_returns_the_status(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(demo, "run", lambda **options: calls.append(options) or 3)
    result = invoke("demo", "--quick", "--seed", "7", "--output", str(tmp_path))
    assert calls == [{"quick": True, "seed": 7, "output": tmp_path}]
    assert result.exit_code == 3


def test_a_negative_seed_is_refused():
    assert invoke("demo", "--seed", "-1").exit_code == 2


def test_the_module_of_the_command_is_the_command():
    done = subprocess.run([sys.executable, "-m", "tessera.cli", "demonstrate"], capture_output=True)
    assert done.returncode == 2
    assert b"demonstrate" in done.stderr


class TestFailures:
    @staticmethod
    def fail(monkeypatch, error):
        def raise_it(**options):
            raise error

        monkeypatch.setattr(demo, "run", raise_it)
        monkeypatch.setattr(sys, "argv", ["tessera", "demo"])

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (
                CompileError(Code.E_GRAPH_INVALID, "demo: no such case", hints="use another"),
                "tessera: demo: no such case (use another) [E_GRAPH_INVALID]",
            ),
            (OSError("disk\nfull"), "tessera: OSError: disk full"),
            (ImportError("install it"), "tessera: ImportError: install it"),
        ],
    )
    def test_a_failure_is_one_line_and_a_status(self, monkeypatch, capsys, error, line):
        monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)
        self.fail(monkeypatch, error)
        with pytest.raises(SystemExit) as exit_status:
            cli.main()
        assert exit_status.value.code == 1
        assert capsys.readouterr().err.strip() == line

    def test_debug_shows_the_traceback(self, monkeypatch):
        monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
        self.fail(monkeypatch, OSError("disk full"))
        with pytest.raises(OSError, match="disk full"):
            cli.main()


class TestRun:
    def test_a_missing_script_is_one_line_and_a_status(self):
        done = tessera_command("run", "nowhere.py")
        assert done.returncode == 2
        assert done.stderr == "tessera: run: there is no file nowhere.py\n"

    def test_arguments_reach_the_program_untouched(self, tmp_path):
        script = write(tmp_path, "import sys; print(sys.argv[1:])")
        given = ["--quick", "-x", "1", "--", "--help"]
        assert tessera_command("run", script, *given).stdout.strip() == str(given)

    def test_the_exit_status_is_the_programs(self, tmp_path):
        assert tessera_command("run", write(tmp_path, "raise SystemExit(7)")).returncode == 7

    def test_a_signal_reaches_the_program(self, tmp_path):
        text = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
            "print('ready', flush=True)\n"
            "time.sleep(60)\n"
        )
        command = [sys.executable, "-m", "tessera", "run", write(tmp_path, text)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 5

    @needs_glibc
    def test_the_program_has_the_setting_and_keeps_other_tunables(self, tmp_path):
        script = write(tmp_path, "import os; print(os.environ['GLIBC_TUNABLES'])")
        done = tessera_command("run", script, GLIBC_TUNABLES="glibc.malloc.perturb=0")
        tunables = set(done.stdout.strip().split(":"))
        assert tunables == {
            "glibc.malloc.perturb=0",
            "glibc.malloc.mmap_max=0",
            "glibc.malloc.trim_threshold=2147483648",
            "glibc.malloc.arena_max=1",
        }
        assert done.stderr == ""

    @needs_glibc
    def test_freed_memory_stays_with_the_program(self, tmp_path):
        # The setting's effect itself, by the kernel's own count: with it, a second buffer of 64 MB
        # reuses the pages of the first; without it, every page (4 KB) of it faults again.
        text = (
            "import ctypes, resource\n"
            "libc = ctypes.CDLL(None)\n"
            "libc.malloc.restype = ctypes.c_void_p\n"
            "size = 64 << 20\n"
            "def touch():\n"
            "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            "    buffer = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(size)))\n"
            "    ctypes.memset(buffer, 1, size)\n"
            "    libc.free(buffer)\n"
            "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
            "touch()\n"
            "print(touch())\n"
        )
        script = write(tmp_path, text)
        faults = int(tessera_command("run", script).stdout)
        assert faults < 100


class TestAllocator:
    def test_it_is_off_by_default_and_the_reason_says_what_to_do(self):
        state = allocator.describe({}, "glibc")
        assert not state.on
        assert "tessera run" in state.reason

    def test_turning_it_on_is_recognised(self):
        assert allocator.describe(allocator.turned_on({"HOME": "/"}), "glibc").on

    @pytest.mark.parametrize("library", ["musl", ""])
    def test_other_c_libraries_have_no_such_setting(self, library):
        state = allocator.describe(allocator.turned_on({}), library)
        assert not state.on
        assert "glibc" in state.reason

    def test_turning_it_on_twice_changes_nothing(self):
        once = allocator.turned_on({"A": "b"})
        assert allocator.turned_on(once) == once


class TestDoctor:
    def test_every_component_device_and_op_is_in_the_report(self):
        output = invoke("doctor").output
        assert all(version.name in output for version in versions.installed_versions())
        assert jax.__version__ in output
        assert jax.devices()[0].device_kind in output
        assert all(op.name in output for op in registered_ops())
        assert "Allocator setting: off" in output

    @needs_glibc
    def test_the_report_says_when_the_allocator_setting_is_on(self, monkeypatch):
        for name, value in allocator.turned_on({}).items():
            monkeypatch.setenv(name, value)
        assert "Allocator setting: on" in invoke("doctor").output

    def test_a_version_outside_the_matrix_is_called_outside(self):
        tested = ("0.10.2", "0.12.0")
        found = ("0.10.2", "0.12.0.1", "0.12.01", "0.11.2", None)
        inside = [versions.Version("jax", version, tested).inside for version in found]
        assert inside == [True, True, False, False, False]

    def test_every_choice_ends_in_the_reference(self):
        for op in registered_ops():
            found = choice.choose(op, "cpu")
            assert found.runs[-1] == "reference"
            assert set(found.runs[:-1]) <= set(op.algorithms)

    def test_the_reason_says_which_algorithm_for_which_inputs_on_how_many_devices(self):
        # Not by `define_op`, which would register it.
        doubled = Op(lambda x: x + x, parse("*b -> *b"), "float", "doubled")
        doubled.samples = (Sample((2, 3)),)
        doubled.def_algorithm("wide", platforms=("cpu",), when=lambda x: x.size > 99)(jnp.add)
        doubled.def_algorithm("plain", platforms=("cpu",), partitions=True)(jnp.add)
        found = choice.choose(doubled, "cpu")
        assert found.runs == ("wide", "plain", "reference")
        assert found.reason == (
            "wide for large inputs on one device; plain for any input on any number of devices; "
            "the reference otherwise"
        )

    def test_no_algorithm_is_chosen_for_an_unknown_platform(self):
        assert all(choice.choose(op, "abacus").runs == ("reference",) for op in registered_ops())
