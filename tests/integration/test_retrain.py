"""``adapt --retrain`` on phantom mammograms, with a tiny study."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from microcalc.cli import adapt as command
from microcalc.cli import main
from microcalc.config import SearchSettings, TrainingSettings
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.mammograms import adaptation
from microcalc.mammograms.scanner import load_for_scan, packaged_opinion
from microcalc.mammograms.truth import phantom_truth

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]


def test_a_retrained_reader_learns_from_one_half_of_the_patients_and_is_measured_on_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = replace(
        command.RETRAINING,
        search=SearchSettings(dim=(4,), depth=(1,), dropout=(0.0,), epochs=1),
        training=TrainingSettings(epochs=1),
        folds=2,
    )
    monkeypatch.setattr(command, "RETRAINING", tiny)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # one process, or each imports PyTorch
    monkeypatch.setattr(adaptation, "FEWEST_NORMALS", 2)
    images, truth, reader = tmp_path / "images", tmp_path / "truth.csv", tmp_path / "reader"
    images.mkdir()
    rows = [("file", "left", "top", "right", "bottom")]
    phantoms = list(iter_phantom_mammograms(10, field_mm=(70, 60), pixel_size_mm=0.08))
    phantoms.sort(key=lambda made: len(made.clusters))
    for number, made in enumerate(phantoms[:4] + phantoms[-2:]):  # four without a cluster
        PIL.Image.fromarray(made.pixels).save(images / f"P{number}.png")
        rows += [(f"P{number}.png", *map(str, cluster.box_px)) for cluster in phantom_truth(made).clusters]
    with truth.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    request = ["adapt", str(images), "--truth", str(truth), "--others", "normal", "--pixel-size", "0.08"]
    request += ["--retrain", "--data", "phantom", "--false-marks", "2", "--out", str(reader)]
    main(request)
    printed = " ".join(capsys.readouterr().out.split())
    learned = re.search(r"data: phantom and mammograms, (\d+) patches [^:]*? of (\d+) patients", printed)
    assert learned and int(learned[1]) > 430
    card = (reader / "card.md").read_text()
    assert f"trained anew on {learned[0].removeprefix('data: ')}" in " ".join(card.split())
    for place in (reader, reader / "committee"):
        committee, opinion = load_for_scan(place)
        assert {shape.dim for shape in committee.shapes} == {4}
        assert opinion.threshold != packaged_opinion().threshold
    assert (reader / "report.html").is_file()
    main([*request, "--resume"])
    assert (reader / "card.md").read_text() == card
    with pytest.raises(SystemExit, match="2"):
        main(request)
    assert "is not empty" in capsys.readouterr().err
