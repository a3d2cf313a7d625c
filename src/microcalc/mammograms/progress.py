"""How far the scan of one mammogram is, for whoever waits for it, and how to stop it."""

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called before each stage ("breast", "spots", "windows", "clusters", or "heat map") and each batch of windows in it,
with the stage, the windows done and the windows in all (0 and 1 where there are none to count). What it raises ends the
scan, which leaves nothing behind."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Do nothing, where nobody waits."""
