"""``microcalc fetch``: the INFN archive, checked, into the user's cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import Progress
from tyro.conf import Positional

from microcalc.cli.common import (
    Common,
)


@dataclass(frozen=True)
class Fetch(Common):
    """Get the INFN archive, check every patch of it, and keep it in the user's cache."""

    dataset: Positional[Literal["infn"]] = "infn"
    """What to fetch."""
    archive: Path | None = None
    """A copy downloaded by hand."""

    def run(self, console: Console) -> None:
        """Fetch and check the archive."""
        from microcalc.data.sources import fetch_infn

        with Progress(console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(self.dataset, total=None)
            path = fetch_infn(self.archive, lambda done, total: bar.update(task, completed=done, total=total or None))
        console.print(f"{self.dataset}: all patches checked, {path}")
