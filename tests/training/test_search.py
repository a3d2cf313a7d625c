"""The search: KerasTuner's proposals, the median rule, and resuming."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microcalc.config import SearchSettings, StudyConfig, TrainingSettings
from microcalc.data.phantom import make_phantom
from microcalc.errors import FailedError, RequestError
from microcalc.training.search import search
from microcalc.training.splits import Fold
from microcalc.training.task import FoldTask, Progress

CONFIG = StudyConfig(
    search=SearchSettings(dim=(2, 3), depth=(1, 2), dropout=(0.0,), searching_fraction=1.0, epochs=2),
    training=TrainingSettings(epochs=2),
)


@pytest.fixture(scope="module")
def parts():
    return make_phantom(patients=20)[:2]


def explore(parts, directory: Path, config: StudyConfig = CONFIG, on_progress=lambda progress: None):
    class Watched(FoldTask):
        seed = 1

        def report(self, piece: str, progress: Progress) -> None:
            on_progress(progress)

    fold = Fold(training=np.arange(80), holdout=np.arange(80, len(parts[1])), test=np.arange(0))
    return search(Watched(1, *parts, fold, config, directory))


def untimed(trials: list[dict]) -> list[dict]:
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in trials]


@pytest.mark.slow
def test_trials_that_cannot_win_stop_early_unless_pruning_is_off(parts, tmp_path: Path) -> None:
    for pruning in (True, False):
        config = replace(CONFIG, search=replace(CONFIG.search, epochs=6, pruning=pruning))
        trials = explore(parts, tmp_path / str(pruning), config).trials
        assert any(trial["stopped_early"] and trial["epochs"] < 6 for trial in trials) is pruning


@pytest.mark.slow
def test_a_search_killed_between_trials_ends_as_one_never_interrupted(parts, tmp_path: Path) -> None:
    whole = explore(parts, tmp_path / "whole")

    def kill(progress: Progress) -> None:
        if progress.trial == 2 and progress.stage == "training":
            raise FailedError("killed")

    with pytest.raises(FailedError, match="killed"):
        explore(parts, tmp_path / "killed", on_progress=kill)
    assert not (tmp_path / "killed" / "trial_2.json").exists()
    resumed = explore(parts, tmp_path / "killed")
    assert untimed(resumed.trials) == untimed(whole.trials)
    weights = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_a_damaged_record_is_refused_by_name(parts, tmp_path: Path) -> None:
    (tmp_path / "trial_0.json").write_text("{")
    with pytest.raises(RequestError, match=r"trial_0\.json"):
        explore(parts, tmp_path)


@pytest.mark.slow
def test_state_that_keras_tuner_left_is_never_read(parts, tmp_path: Path) -> None:
    state = tmp_path / "keras_tuner" / "oracle.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"crafted": "state"}))
    assert len(explore(parts, tmp_path).trials) == 4


@pytest.mark.parametrize(
    "wrong", [{"dim": ()}, {"dim": (0,)}, {"depth": (0, 1)}, {"dropout": (-0.1,)}, {"dropout": (0.9,)}]
)
def test_a_space_that_makes_no_network_is_refused(wrong) -> None:
    with pytest.raises(RequestError, match=r"^(dim|depth|dropout)"):
        SearchSettings(**wrong)
