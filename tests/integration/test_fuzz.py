"""Readers under fuzzing: any bytes give a value or one clear line; ``MICROCALC_FUZZ_SECONDS`` gives more rounds."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report.test_report import made_up_metrics

from microcalc.committee.committee import Committee
from microcalc.data.groups import read_groups
from microcalc.errors import DataError, RequestError
from microcalc.evaluation.compare import compare_predictions
from microcalc.files import read_record
from microcalc.report.html import write_report
from microcalc.runs import open_run
from microcalc.training.search import Trial

FUZZ_SECONDS = float(os.environ.get("MICROCALC_FUZZ_SECONDS", "0"))
unhurried = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=25, database=None)

FILES = ["0/a.png", "0/b.png", "1/a.png", "1/c.png"]
GROUPS = b'file,patient\r\n0/a.png,anna\r\nb.png,bea\r\n1/a.png,"carla"\r\nc.png,anna\r\n'
PREDICTIONS = b"file,patient,label,role,out_of_fold\n" + b"".join(
    b"%d.png,%d,%d,development,0.%d\n" % (number, number, number % 2, number) for number in range(1, 9)
)
IDENTITY = {"settings": {"seed": 0, "dim": [2, 3]}, "data": {"own": {"sha256": "0" * 64}}}
COMMITTEE = {
    "format": 2,
    "experts": [{"dim": 2, "depth": 1, "dropout": 0.0, "preprocessing": "raw"}],
    "weights": [1.0],
    "calibration": {"slope": 1.0, "intercept": 0.0},
    "threshold": 0.5,
    "wavelet": {"name": "none", "threshold": 1.5},
}
TRIALS = {
    "trial": 0,
    "dim": 2,
    "depth": 1,
    "dropout": 0.0,
    "epochs": 1,
    "stopped_early": False,
    "seconds": 1.0,
    **dict.fromkeys(("holdout_loss", "holdout_auc", "holdout_accuracy"), 0.5),
    "curves": {name: [0.5] for name in ("loss", "accuracy", "holdout_loss", "holdout_accuracy")},
}

METRICS = made_up_metrics()

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(),
    st.sampled_from(["{{ 7 * 7 }}", "<script>", "\x1b[31m", "__import__('os')"]),
)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with some bytes changed, cut or added."""
    content = bytearray(whole)
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)):
        content[at] = byte
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content[at:at] = draw(
            st.binary(max_size=12) | st.sampled_from([b"\0", b"\r\n", b'"', b",", b"\xff\xfe", b"1e999"])
        )
    return bytes(content)


@st.composite
def damaged_trees(draw: st.DrawFn, whole: Any) -> bytes:
    """A JSON file in which some value is another, is missing, or is joined by one more."""
    tree = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        place = tree
        while isinstance(place, dict | list) and place:
            key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
            if draw(st.booleans()) or not isinstance(place[key], dict | list):
                if isinstance(place, dict) and draw(st.booleans()):
                    del place[key]
                else:
                    place[key] = draw(values)
                break
            place = place[key]
    return json.dumps(tree).encode()


def files(whole: bytes, tree: Any = None) -> st.SearchStrategy[bytes]:
    """Bytes near a whole file, and far from it."""
    anything = st.binary() | values.map(lambda value: json.dumps(value).encode())
    return damaged_bytes(whole) | anything | (damaged_trees(tree) if tree is not None else st.nothing())


def resume(folder: Path) -> None:
    with open_run(folder, IDENTITY, resume=True):
        pass


def load_committee(folder: Path) -> None:
    Committee.load(folder)


READERS: dict[str, tuple[str, Callable[[Path], Any], st.SearchStrategy[bytes]]] = {
    "groups": ("groups.csv", lambda folder: read_groups(folder / "groups.csv", FILES), files(GROUPS)),
    "config": ("config.json", resume, files(json.dumps(IDENTITY).encode(), IDENTITY)),
    "metrics": ("metrics.json", write_report, files(json.dumps(METRICS).encode(), METRICS)),
    "predictions of a report": ("predictions.csv", write_report, files(PREDICTIONS)),
    "predictions compared": (
        "predictions.csv",
        lambda folder: compare_predictions(folder / "predictions.csv", folder / "other.csv"),
        files(PREDICTIONS),
    ),
    "committee": ("committee.json", load_committee, files(json.dumps(COMMITTEE).encode(), COMMITTEE)),
    "trial": (
        "trial_0.json",
        lambda folder: read_record(folder / "trial_0.json", Trial, "make it anew"),
        files(json.dumps(TRIALS).encode(), TRIALS),
    ),
}


def test_the_committee_before_any_damage_lacks_nothing_but_its_weights(tmp_path: Path) -> None:
    (tmp_path / "committee.json").write_text(json.dumps(COMMITTEE))
    with pytest.raises(RequestError, match=r"expert_0\.safetensors"):
        load_committee(tmp_path)


@pytest.mark.parametrize("reader", READERS)
def test_any_content_gives_either_a_value_or_one_clear_line(
    reader: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, read, contents = READERS[reader]
    (tmp_path / "other.csv").write_bytes(PREDICTIONS)
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    tries = refusals = 0

    @unhurried
    @given(content=contents)
    def read_or_refuse(content: bytes) -> None:
        nonlocal tries, refusals
        tries += 1
        (tmp_path / name).write_bytes(content)
        try:
            read(tmp_path)
        except (RequestError, DataError) as error:
            refusals += 1
            assert str(tmp_path) in str(error)

    end = time.monotonic() + FUZZ_SECONDS / len(READERS)
    read_or_refuse()
    while time.monotonic() < end:
        read_or_refuse()
    assert capfd.readouterr() == ("", "")
    assert refusals
    with capfd.disabled():
        print(f"\n{reader}: {tries} tries, {refusals} refused", end="")
