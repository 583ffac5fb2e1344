"""Every notebook runs from top to bottom, and is committed with the outputs of a run.

`python tests/test_notebooks.py NOTEBOOK [OUTPUT]` runs one and writes it, in place or elsewhere.
"""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

pytestmark = pytest.mark.newest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS_PER_CELL = (
    300  # far above what any needs: a stuck kernel ends the test, a slow machine does not
)


def cells_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def run(path, output):
    """Runs a notebook in a kernel of this interpreter, and writes it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    manager = AsyncKernelManager()
    manager.kernel_spec.argv = [
        sys.executable,
        *("-m", "ipykernel_launcher", "-f", "{connection_file}"),
    ]
    NotebookClient(
        notebook,
        km=manager,
        timeout=SECONDS_PER_CELL,
        resources={"metadata": {"path": str(Path(path).parent)}},
        record_timing=False,
        coalesce_streams=True,
    ).execute()
    # The version of Python is the machine's; without it a run changes only what it computed.
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, output)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path):
    written = tmp_path / path.name
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    # In a process of its own: sockets that the client leaves open would fail a strict test session.
    done = subprocess.run(
        [sys.executable, __file__, str(path), str(written)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    outputs = outputs_of(nbformat.read(written, as_version=4))
    assert outputs
    assert not [out for out in outputs if out.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = cells_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = outputs_of(notebook)
    assert not [out for out in outputs if out.output_type == "error"]
    assert any({"image/svg+xml", "image/png"} & set(out.get("data", {})) for out in outputs)


def outputs_of(notebook):
    return list(itertools.chain.from_iterable(cell.outputs for cell in cells_of(notebook)))


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[-1])
