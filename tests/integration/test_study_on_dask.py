"""A study on a Dask cluster: the figures of one process, also where a worker is killed."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from reader.dask_processes import DaskProcesses, once

from microcalc.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

SETTINGS = [
    *("run", "--data", "patches", "--external", "none", "--folds", "2", "--gradcam", "1", "-q"),
    *("--dim", "2", "3", "--depth", "1", "--dropout", "0.0", "--searching-fraction", "1"),
    *("--search-epochs", "2", "--epochs", "2"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, undrawn: None) -> Path:
    """Patches, and a study of them in one process."""
    folder = tmp_path_factory.mktemp("studies")
    main(["phantom", "--out", str(folder / "patches"), "--patients", "24", "-q"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main([*SETTINGS, "--out", "alone", "--jobs", "1"])
    return folder


def results(run: Path) -> tuple[dict[str, Any], bytes, bytes]:
    metrics = json.loads((run / "metrics.json").read_text())
    return {**metrics, "timing": None}, (run / "predictions.csv").read_bytes(), (run / "folds.csv").read_bytes()


def test_more_workers_than_folds_and_one_of_them_killed_give_the_figures_of_one_process(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    dask = DaskProcesses(tmp_path, deaths=4)
    try:
        workers = [dask.start_worker("--no-nanny") for _ in range(3)]
        dask.await_workers(3)
        with once(lambda: any(folder.glob("cluster/search/fold_*/trial_*.json")), lambda: dask.kill(workers[0])):
            main([*SETTINGS, "--out", "cluster", "--scheduler", dask.address])
    finally:
        dask.end()
    assert workers[0].poll() is not None
    assert results(folder / "cluster") == results(folder / "alone")
    left = {path.name for path in (folder / "cluster").rglob("*")} - {
        path.name for path in (folder / "alone").rglob("*")
    }
    assert left == set()


def test_local_workers_give_the_figures_of_one_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    main([*SETTINGS, "--out", "local", "--workers", "1"])
    assert results(folder / "local") == results(folder / "alone")


def test_jobs_and_workers_cannot_both_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["run", "--jobs", "2", "--workers", "2"])
    assert leaving.value.code == 2
    assert "--jobs does not go with --scheduler or --workers" in capsys.readouterr().err
