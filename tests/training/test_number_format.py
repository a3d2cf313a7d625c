"""The number format is measured once a processor, and kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from microcalc.config import TrainingSettings
from microcalc.networks.hypermodel import build_network
from microcalc.training import number_format
from microcalc.training.loop import train
from microcalc.training.number_format import fastest_format, measured_seconds, processor


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """The seconds that a measurement gives, and a cache of its own."""
    seconds = {"float32": 0.2, "bfloat16": 0.1}
    monkeypatch.setattr(number_format, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(number_format, "measured_seconds", lambda: seconds)
    number_format._fastest_on.cache_clear()
    yield seconds
    number_format._fastest_on.cache_clear()


def test_the_faster_format_is_taken_and_kept_for_later_processes(measured, tmp_path):
    assert fastest_format(torch.device("cpu")) == "bfloat16"
    measured["float32"] = 0.05
    number_format._fastest_on.cache_clear()
    assert fastest_format(torch.device("cpu")) == "bfloat16"
    (name,) = json.loads((tmp_path / "number_formats.json").read_text())
    assert torch.__version__ in name


@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"])
def test_other_instructions_are_measured_by_themselves(measured, monkeypatch, variable):
    before = fastest_format(torch.device("cpu"))
    measured["float32"] = 0.05
    monkeypatch.setenv(variable, "AVX2")
    assert (before, fastest_format(torch.device("cpu"))) == ("bfloat16", "float32")


def test_processors_of_one_name_differ_by_their_instructions(monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: "model name\t: X Y\nflags\t\t: fpu avx2 amx_bf16\n")
    assert processor() == f"X Y avx2 amx_bf16 torch {torch.__version__}"


@pytest.mark.parametrize("damaged", ["{", "[]", '{"x": 1}'])
def test_a_damaged_cache_is_measured_again(measured, tmp_path, damaged):
    (tmp_path / "number_formats.json").write_text(damaged)
    assert fastest_format(torch.device("cpu")) == "bfloat16"


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(measured, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(number_format, "cache_folder", lambda: tmp_path / "file")
    assert fastest_format(torch.device("cpu")) == "bfloat16"


def test_a_training_measures_where_nothing_is_kept_yet(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(number_format, "measured_seconds", measured_seconds)
    images, labels = np.zeros((4, 60, 60), np.float32), np.array([0, 1, 0, 1])
    train(build_network(2, 1, 0.0), images, labels, settings=TrainingSettings(), augmentation=None, epochs=1, seed=0)
    assert (tmp_path / "number_formats.json").exists()


def test_a_measurement_leaves_the_generator_alone_and_gives_seconds():
    before = torch.random.get_rng_state()
    assert all(seconds > 0 for seconds in measured_seconds().values())
    assert torch.equal(before, torch.random.get_rng_state())
