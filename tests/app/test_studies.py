"""Run directories on the page."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from starlette.testclient import TestClient

from microcalc.app.scan_folders import open_places, sort_paths
from microcalc.app.session import Session
from microcalc.committee.committee import Committee
from microcalc.data import Data
from microcalc.errors import RequestError

HEADER = "file,patient,label,role,fold,expert_0,committee,out_of_fold"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a part of the phantom as a study leaves it, with figures that are made up."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    data = Data.load("phantom").select([4, 5, 7])
    Committee.pretrained().save(folder / "committee")
    files = data.files
    rows = [
        f"{files[0]},p,0,development,1,0.1,0.7,0.9",  # wrong
        f"{files[1]},p,0,development,0,0.1,0.7,0.2",
        f"{files[2]},p,1,committee,,0.1,0.7,",  # what the committee was fitted to says nothing of it
        "1/elsewhere.png,q,1,external,,0.1,0.35,0.35",  # wrong against the committee's threshold
        "1/other.png,q,1,test,,0.1,0.45,0.45",
    ]
    (folder / "predictions.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (folder / "metrics.json").write_text(json.dumps({"schema": 1, "committee": {"threshold": 0.4}}))
    own = {"own": {"name": "phantom", "sha256": data.fingerprint}}
    (folder / "config.json").write_text(json.dumps({"settings": {"seed": 0}, "data": own}))
    (folder / "report.html").write_text("<title>report</title>")
    description = json.loads((folder / "committee" / "committee.json").read_text())
    description.pop("unknown_scale", None)
    (folder / "committee" / "committee.json").write_text(json.dumps(description))
    return folder


@pytest.fixture
def page(client: TestClient, session: Session, run: Path) -> TestClient:
    open_places(session, sort_paths([run])).join()
    return client


def patches(page: TestClient, query: str = "") -> list[dict[str, Any]]:
    answer = page.get(f"/api/studies/run-1/patches{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_run_is_listed_with_its_figures(page: TestClient) -> None:
    (study,) = page.get("/api/session").json()["studies"]
    assert (study["id"], study["name"], study["metrics"]["committee"]["threshold"]) == ("run-1", "first", 0.4)
    assert page.get("/api/studies").json() == [study] and page.get("/api/studies/run-1").json() == study
    assert page.get("/api/studies/run-2").status_code == 404


def test_the_report_may_run_and_load_nothing_and_be_framed_by_the_page(page: TestClient) -> None:
    report = page.get("/api/studies/run-1/report")
    assert report.text == "<title>report</title>" and report.headers["content-type"].startswith("text/html")
    policy = report.headers["content-security-policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "img-src data:", "frame-ancestors 'self'"} <= set(policy)
    assert not any(part.startswith("script-src") for part in policy)


def test_wrong_patches_are_listed_the_worst_first_and_by_set(page: TestClient) -> None:
    assert [patch["row"] for patch in patches(page, "?wrong=1")] == [0, 3]
    assert [patch["row"] for patch in patches(page)] == [0, 3, 4, 1]
    assert [patch["row"] for patch in patches(page, "?wrong=1&set=external")] == [3]
    assert page.get("/api/studies/run-1/patches?set=committee").status_code == 422
    worst = patches(page)[0]
    assert (worst["label"], worst["decision"], worst["probability"], worst["fold"]) == (0, 1, 0.9, 1)


def test_only_patches_that_are_here_have_a_picture(page: TestClient) -> None:
    pictures = {patch["row"]: patch["picture"] for patch in patches(page)}
    assert pictures[3] is None and page.get("/api/studies/run-1/patches/3.png").status_code == 404
    picture = np.asarray(PIL.Image.open(io.BytesIO(page.get(pictures[0]).content)))
    patch, over = picture[:, :240], picture[:, 240:]
    assert (
        picture.shape == (240, 480, 3)
        and (patch[..., 0] == patch[..., 2]).all()
        and (over[..., 0] > over[..., 2]).any()
    )


def test_a_run_that_is_none_is_refused(session: Session, tmp_path: Path) -> None:
    for content in ("{", '{"cross_validation": {"auc": NaN}}', "[]"):
        (tmp_path / "metrics.json").write_text(content)
        with pytest.raises(RequestError, match=r"metrics\.json"):
            open_places(session, sort_paths([tmp_path]))
    (tmp_path / "metrics.json").write_text("{}")
    open_places(session, sort_paths([tmp_path])).join()
    assert session.entry()["studies"][0]["config"] == {}


@pytest.mark.parametrize("table", [None, "file,role\nx,development\n", HEADER + "\na,p,0,development,1,0.1,0.7,much\n"])
def test_a_damaged_table_is_refused_in_one_line(
    client: TestClient, session: Session, tmp_path: Path, table: str | None
) -> None:
    (tmp_path / "metrics.json").write_text('{"committee": {"threshold": 0.5}}')
    if table:
        (tmp_path / "predictions.csv").write_text(table)
    open_places(session, sort_paths([tmp_path])).join()
    answer = client.get("/api/studies/run-1/patches")
    assert answer.status_code == 422 and "predictions.csv" in answer.json()["error"]


def test_patches_of_other_data_of_that_name_are_not_shown(
    client: TestClient, session: Session, run: Path, tmp_path: Path
) -> None:
    for name in ("metrics.json", "predictions.csv"):
        (tmp_path / name).write_text((run / name).read_text())
    own = {"own": {"name": "phantom", "sha256": "0" * 64}}
    (tmp_path / "config.json").write_text(json.dumps({"settings": {"seed": 0}, "data": own}))
    open_places(session, sort_paths([tmp_path])).join()
    assert {patch["picture"] for patch in patches(client)} == {None}
