"""``microcalc compare``: DeLong's test between two runs."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from microcalc.cli.common import Common, print_table


@dataclass(frozen=True)
class Compare(Common):
    """Compare the areas under the ROC curves of two runs by DeLong's test, with patients as the units."""

    first: Positional[Path] = Path("runs/first")
    """A run directory or its predictions.csv."""
    second: Positional[Path] = Path("runs/second")
    """Another."""

    def run(self, console: Console) -> None:
        """Compare the predictions of two runs."""
        from microcalc.evaluation.compare import compare_predictions

        first, second = (path / "predictions.csv" if path.is_dir() else path for path in (self.first, self.second))
        rows = []
        for role, figures in compare_predictions(first, second).items():
            values = [figures[name] for name in ("auc_first", "auc_second", "difference", "p_value")]
            if None in values:
                rows.append([role, str(figures["n"]), "-", "-", "-", "-"])
                continue
            low, high = figures["ci95"]
            one, other, difference, p_value = values
            interval = f"{difference:+.4f} ({low:+.4f} to {high:+.4f})"
            rows.append([role, str(figures["n"]), f"{one:.4f}", f"{other:.4f}", interval, f"{p_value:.3g}"])
        print_table(
            console, ["", "patches", "AUC of the first", "of the second", "difference (95 % interval)", "p"], rows
        )
