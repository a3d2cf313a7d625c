"""``microcalc export``: a committee as one ONNX file."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from microcalc.cli.common import Common, committee_files
from microcalc.files import check_outputs


@dataclass(frozen=True, kw_only=True)
class Export(Common):
    """Write a committee as one file for other programs."""

    onnx: Path
    """The file, an ONNX graph from raw patches to probabilities; needs the extra: pip install ".[onnx]"."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""

    def run(self, console: Console) -> None:
        """Write the ONNX model."""
        from microcalc.committee.committee import Committee
        from microcalc.committee.onnx_export import committee_onnx
        from microcalc.files import write_atomically

        check_outputs({"--onnx": self.onnx}, committee_files(self.committee))
        committee = Committee.pretrained() if self.committee is None else Committee.load(self.committee)
        write_atomically(self.onnx, committee_onnx(committee))
        console.print(f"committee: {self.onnx}", soft_wrap=True)
