"""Checkpoints: a run that was cut goes on bit for bit, and files that do not fit are named."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pinn_cases import decay, small_network

from tessera.core.errors import Code, CompileError
from tessera.pinn import checkpoint as files
from tessera.pinn.checkpoint import Checkpoint, described
from tessera.pinn.optimizers import LBFGS, SOAP, Adam, FirstOrder, GaussNewton, LevenbergMarquardt
from tessera.pinn.resampling import Resample
from tessera.pinn.training import Record, Result, train
from tessera.pinn.weighting import Causal, GradientNorm, SelfAdaptive

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("compiled_quickly")]


class CutError(Exception):
    """The end of a process, as far as training can tell."""


def cut_at(iteration: int) -> Any:
    def show(record: Record) -> None:
        if record.iteration == iteration:
            raise CutError

    return show


def same(a: Result, b: Result) -> bool:
    pairs = zip(jax.tree.leaves(a.model), jax.tree.leaves(b.model), strict=True)
    told = [[(r.iteration, r.loss, r.residuals, r.errors) for r in x.history] for x in (a, b)]
    return all((np.asarray(x) == np.asarray(y)).all() for x, y in pairs) and told[0] == told[1]


def whole_and_cut(path: Path, **options: Any) -> tuple[Result, Result]:
    """Returns a run in one piece, and one that was cut after its fifth iteration and went on."""
    whole = train(decay(), progress=False, **options)
    kept = Checkpoint(path / "run", every=5)
    with pytest.raises(CutError):
        train(decay(), checkpoint=kept, progress=cut_at(5), **options)
    return whole, train(decay(), checkpoint=kept, progress=False, **options)


CASES: dict[str, Any] = {
    "levenberg-marquardt, resampled": {"optimizer": LevenbergMarquardt(10), "resample": 3},
}
SLOW: dict[str, Any] = {
    "adam in minibatches, weighted": {
        "optimizer": Adam(10, optax.cosine_decay_schedule(1e-2, 10), minibatch=7, every=5),
        "weighting": GradientNorm(every=2),
        "resample": 4,
    },
    "l-bfgs, weighted by point": {
        "optimizer": LBFGS(10, every=5),
        "weighting": SelfAdaptive(0.01, every=3),
    },
    "two stages, cut in the second": {
        "optimizer": [Adam(3), LevenbergMarquardt(7)],
        "weighting": Causal(chunks=4, every=2),
    },
    "gauss-newton": {"optimizer": GaussNewton(10)},
    "soap": {"optimizer": SOAP(10, every=5)},
    "cut in the first of two stages": {"optimizer": [LBFGS(7, every=5), LevenbergMarquardt(3)]},
    "at the seam of two stages": {"optimizer": [Adam(5), LBFGS(5)]},
}


@pytest.mark.parametrize(
    "options",
    [*CASES.values(), *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW.values())],
    ids=[*CASES, *SLOW],
)
def test_a_run_that_was_cut_goes_on_bit_for_bit(tmp_path, options):
    assert same(*whole_and_cut(tmp_path, **options))


def test_a_run_that_ended_goes_on_if_there_is_more_to_do(tmp_path):
    path = tmp_path / "deep" / "run"
    short = train(decay(), optimizer=LevenbergMarquardt(2), checkpoint=path, progress=False)
    seen: list[Record] = []
    again = train(decay(), optimizer=LevenbergMarquardt(2), checkpoint=path, progress=seen.append)
    assert same(short, again)
    assert len(seen) == 1, "nothing was left to do"
    longer = train(decay(), optimizer=LevenbergMarquardt(4), checkpoint=path, progress=False)
    assert same(longer, train(decay(), optimizer=LevenbergMarquardt(4), progress=False))
    assert longer.seconds > short.seconds


def test_time_that_ran_out_is_no_end(tmp_path):
    options: Any = {
        "optimizer": LevenbergMarquardt(3),
        "checkpoint": tmp_path / "run",
        "progress": False,
    }
    for expected in (1, 2, 3, 3):
        result = train(decay(), max_seconds=1e-9, **options)
        assert result.history[-1].iteration == expected


def test_resume_false_begins_anew_and_replaces_the_file(tmp_path):
    path = tmp_path / "run"
    train(decay(), optimizer=LevenbergMarquardt(2), checkpoint=path, progress=False)
    before = path.read_bytes()
    anew = train(
        decay(),
        seed=1,
        optimizer=LevenbergMarquardt(1),
        checkpoint=path,
        resume=False,
        progress=False,
    )
    assert [record.iteration for record in anew.history] == [0, 1]
    assert path.read_bytes() != before


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kept") / "run"
    train(decay(), optimizer=LevenbergMarquardt(1), checkpoint=path, progress=False)
    return path


OTHERS: Any = [
    ({"seed": 1}, {}, "another seed: 0; this is 1"),
    ({"dtype": "float32"}, {}, "another dtype: float64; this is float32"),
    (
        {"optimizer": LevenbergMarquardt(1, damping=1.0)},
        {},
        "another optimizer: .*damping=0.01.*damping=1.0",
    ),
    ({"optimizer": LBFGS(1)}, {}, "another optimizer: .*LevenbergMarquardt.*LBFGS"),
    ({"weighting": GradientNorm()}, {}, "another weighting: None; this is GradientNorm"),
    ({"resample": Resample(3)}, {}, "another resampling: None; this is Resample"),
    (
        {},
        {"network": lambda key: small_network(key, 5)},
        r"another network: .*\[4\].*\[5\]",
    ),
    ({}, {"terms": decay().terms[:1]}, "another terms: .*start.*this is .*decay"),
]


@pytest.mark.parametrize(("options", "change", "match"), OTHERS)
def test_a_checkpoint_of_another_run_is_an_error_with_both_values(kept, options, change, match):
    options = {"optimizer": LevenbergMarquardt(1)} | options
    with pytest.raises(CompileError, match=match) as caught:
        train(decay(**change), checkpoint=kept, progress=False, **options)
    assert caught.value.code is Code.E_GRAPH_INVALID


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json\n",
        b"[1, 2]\n",
        b'{"format": 1}\n',
        b'{"format": 99, "identity": {}, "place": {}}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path, content):
    path = tmp_path / "run"
    path.write_bytes(content)
    with pytest.raises(CompileError, match="cannot be read as a checkpoint") as caught:
        train(decay(), optimizer=LevenbergMarquardt(1), checkpoint=path, progress=False)
    assert caught.value.code is Code.E_CACHE_IO


def test_a_file_that_ends_early_is_an_error(kept, tmp_path):
    path = tmp_path / "run"
    path.write_bytes(kept.read_bytes()[:-20])
    with pytest.raises(CompileError, match="cannot be read as a checkpoint"):
        train(decay(), optimizer=LevenbergMarquardt(1), checkpoint=path, progress=False)


def test_a_write_that_fails_leaves_the_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "run"
    files.save(path, {"a": "b"}, {"n": 1}, jnp.ones(2))

    def fail(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files.eqx, "tree_serialise_leaves", fail)
    with pytest.raises(OSError, match="no space left"):
        files.save(path, {"a": "b"}, {"n": 2}, jnp.zeros(2))
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    with files.opened(path, {"a": "b"}) as run:
        assert run.place == {"n": 1}
        assert run.arrays(jnp.zeros(2)).tolist() == [1.0, 1.0]


def test_the_header_is_one_line_of_json(kept):
    header = json.loads(kept.read_bytes().partition(b"\n")[0])
    assert header["place"]["iteration"] == 1
    assert header["identity"]["problem"] == "case"


def test_settings_are_described_without_addresses_and_without_what_may_change():
    rule = FirstOrder(9, partial(optax.adam, learning_rate=1.0))
    assert described(rule) == described(FirstOrder(20, partial(optax.adam, learning_rate=1.0)))
    for value in (rule, small_network, Adam(3, optax.cosine_decay_schedule(1e-2, 10)), lambda: 0):
        assert "0x" not in described(value)


def test_a_checkpoint_every_no_iterations_is_an_error():
    with pytest.raises(CompileError, match="every is 0"):
        Checkpoint("run", every=0)
