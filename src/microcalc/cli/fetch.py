"""``microcalc fetch``: the INFN archive, checked, into the user's cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from tyro.conf import Positional

from microcalc.cli.common import Common


@dataclass(frozen=True)
class Fetch(Common):
    """Get the INFN archive, check every patch of it, and keep it in the user's cache."""

    dataset: Positional[Literal["infn"]] = "infn"
    """The dataset to fetch."""
    archive: Path | None = None
    """A copy downloaded by hand."""

    def run(self, console: Console) -> None:
        """Fetch and check the archive."""
        from microcalc.data.sources import fetch_infn

        with console.status("fetching and checking"):
            path = fetch_infn(self.archive)
        console.print(f"{self.dataset}: all patches checked, {path}")
