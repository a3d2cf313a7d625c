"""The second opinion: candidates judged against the others of their image."""

import json
from pathlib import Path

import numpy as np
import pytest

from microcalc.errors import RequestError
from microcalc.mammograms.second_opinion import FEATURES, USUAL, SecondOpinion, features


def test_an_image_of_usual_candidates_keeps_the_log_odds_of_the_committee() -> None:
    scores = SecondOpinion.packaged().scores(features(np.array([2.5, -3.0, USUAL - 1])))
    assert scores == pytest.approx([2.5, -3.0, USUAL - 1])


def test_an_image_whose_candidates_all_look_suspicious_is_judged_against_them() -> None:
    scores = SecondOpinion.packaged().scores(features(np.array([2.5, 0.5, -3.0])))
    assert scores == pytest.approx([2.5 - (0.5 - USUAL), USUAL, -3.0 - (0.5 - USUAL)])


def test_no_cluster_has_no_features() -> None:
    assert features(np.empty(0)).shape == (0, len(FEATURES))


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    opinion = SecondOpinion(FEATURES, (0.8, -0.3), 0.25, 0.625)
    opinion.save(tmp_path / "opinion.json")
    assert SecondOpinion.load(tmp_path / "opinion.json") == opinion


@pytest.mark.parametrize("wrong", [{"features": ["other"]}, {"bias": None}, {"weights": [1.0]}])
def test_a_file_of_another_version_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "opinion.json"
    SecondOpinion.packaged().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    with pytest.raises(RequestError, match=r"opinion\.json: .* make it anew with"):
        SecondOpinion.load(path)
