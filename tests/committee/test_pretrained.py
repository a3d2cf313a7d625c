"""The committee that comes with the package."""

import json
from pathlib import Path

import numpy as np
import pytest

import microcalc
from microcalc import Committee, Data

PLACE = Path(microcalc.__file__).parent / "pretrained"


@pytest.fixture(scope="module")
def committee() -> Committee:
    return Committee.pretrained()


def test_it_is_small_and_holds_nothing_that_could_run():
    assert sum(path.stat().st_size for path in PLACE.iterdir()) <= 10_000_000
    assert {path.suffix for path in PLACE.iterdir()} == {".json", ".md", ".safetensors"}


def test_it_is_the_committee_of_its_card(committee: Committee, shared_data: Path):
    external = Data.load(shared_data / "external_patches.zip")
    answers = json.loads((PLACE / "card.json").read_text())["answers"]
    chosen = external.select([external.files.index(file) for file in answers])
    np.testing.assert_allclose(committee.predict_proba(chosen.images), list(answers.values()), atol=1e-3)


def test_its_card_says_what_it_is_for_and_what_not():
    card = (PLACE / "CARD.md").read_text()
    assert "not a medical device" in card and "Limits" in card and "make pretrained" in card


def test_a_committee_is_named_by_its_version_or_by_the_folder_it_was_read_from(committee: Committee, tmp_path: Path):
    assert committee.name == f"pretrained {microcalc.__version__}"
    committee.save(tmp_path / "mine")
    assert Committee.load(tmp_path / "mine").name == str(tmp_path / "mine")


def test_one_expert_alone_is_a_committee_of_one(committee: Committee, phantom: Data):
    images = phantom.images[:3]
    alone, votes = committee.expert(2), committee.expert_probabilities(images)
    np.testing.assert_array_equal(alone.expert_probabilities(images)[:, 0], votes[:, 2])
    np.testing.assert_allclose(alone.predict_proba(images), votes[:, 2])
    assert alone.highest_weight == 0 and alone.shapes == (committee.shapes[2],)
