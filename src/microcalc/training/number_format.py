"""The number format in which a device trains fastest, measured once."""

import functools
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

import torch
from torch.nn import functional

from microcalc.data.sources import cache_folder
from microcalc.errors import MicrocalcError
from microcalc.files import read_json, write_json
from microcalc.networks.hypermodel import build_network, computing_in, logit_model

Format = Literal["float32", "bfloat16"]

FORMATS: tuple[Format, ...] = get_args(Format)
ROUNDS, PATCHES = 3, 12
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")


def fastest_format(device: torch.device) -> Format:
    """Return "bfloat16" where a device trains faster in it than in "float32".

    A GPU states it. On a processor no list of its instructions does: a step of training is timed in both formats, and
    the faster one is kept in ``number_formats.json`` of the user's cache, so that a study repeats itself bit for bit.

    >>> fastest_format(torch.device("cpu")) in FORMATS
    True
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    kept: Format = _fastest_on(processor(), cache_folder() / "number_formats.json")
    return kept


@functools.cache
def _fastest_on(name: str, kept: Path) -> Format:
    known: dict[str, Format] = {}
    with suppress(MicrocalcError):  # it is not there yet, or damaged
        known = dict(read_json(kept))
    if known.get(name) not in FORMATS:
        known[name] = min(FORMATS, key=measured_seconds().__getitem__)
        with suppress(MicrocalcError):  # a cache that cannot be written
            write_json(kept, known)
    return known[name]


def processor() -> str:
    """Return the processor's name and vector instructions, PyTorch's version, and what a user has limited both to.

    >>> torch.__version__ in processor()
    True
    """
    described = {"model name": platform.processor() or platform.machine(), "flags": ""}
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        described |= {name.strip(): value for name, _, value in (line.partition(": ") for line in lines)}
    flags = (flag for flag in INSTRUCTIONS if flag in described["flags"].split())
    limits = (f"{variable}={os.environ[variable]}" for variable in LIMITS if variable in os.environ)
    return " ".join([described["model name"], *flags, f"torch {torch.__version__}", *limits])


def measured_seconds() -> dict[Format, float]:
    """Return the processor's seconds for a step of training in each format, the least of three in turn."""
    network = build_network(dim=20, depth=1, dropout=0.05, preprocessing="raw")
    logits = logit_model(network)

    def step(precision: Format, patches: torch.Tensor) -> float:
        start = time.process_time()
        with computing_in(network, precision):
            output = logits(patches, training=True)[:, 0].float()
        torch.autograd.backward(functional.softplus(output).sum())
        return time.process_time() - start

    with torch.random.fork_rng([]):
        for precision in FORMATS:
            step(precision, torch.zeros(2, 1, 60, 60))  # the first time compiles
        rounds = [[step(precision, torch.rand(PATCHES, 1, 60, 60)) for precision in FORMATS] for _ in range(ROUNDS)]
    return dict(zip(FORMATS, map(min, zip(*rounds, strict=True)), strict=True))
