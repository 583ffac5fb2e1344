"""The operator reference is what the code says: every public name and op, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tessera import ops
from tessera.core.op import registered_ops

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
PUBLIC = sorted(
    name
    for name, value in vars(ops).items()
    if not name.startswith("_") and not isinstance(value, ModuleType)
)


def without_code(page: str) -> str:
    return re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)


def anchors() -> list[str]:
    """Returns what links can lead to: headings as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", without_code(PAGE), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.newest
def test_the_page_is_what_the_code_says():
    script = ROOT / "scripts" / "write_operators.py"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "error", script, "--check"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_on_the_page(name):
    assert f"[`{name}`](#" in PAGE
    assert f"\nop.{name}(" in PAGE or re.search(rf"^Also .*`op\.{name}`", PAGE, re.MULTILINE)


def test_every_op_of_the_registry_is_on_the_page():
    for op in registered_ops():
        if op.__module__.startswith("tessera.ops.") and op in list(vars(ops).values()):
            assert f"- **Dims**: `{op.dims}`" in PAGE, op
        elif op in vars(sys.modules.get(op.__module__, ops)).values():
            assert f"| `{op.name}` |" in PAGE, op


def test_the_page_names_no_operator_that_does_not_exist():
    listed = re.findall(r"\[`(\w+)`\]\(#", PAGE)
    called = re.findall(r"^op\.(\w+)[.(]", PAGE, re.MULTILINE)
    mentioned = re.findall(r"`op\.(\w+)", PAGE)
    assert set(listed) == set(PUBLIC)
    assert set(called + mentioned) <= set(PUBLIC)
    hidden = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(hidden) <= {op.name for op in registered_ops()} - set(PUBLIC)


def test_every_link_of_the_page_leads_somewhere():
    found = anchors()
    names = [target for target in found if found.count(target) > 1]
    assert not names, f"two headings for {names}"
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= set(found)
    for path in re.findall(r"\]\((\.\./[^)]*)\)", PAGE):
        assert (ROOT / "docs" / path).exists(), path


def test_the_page_says_nothing_of_the_machine_that_wrote_it():
    assert not re.search(r"0x[0-9a-f]{6,}|/home/|/work/|/tmp/|<function|<object", PAGE)
    assert "—" not in PAGE
