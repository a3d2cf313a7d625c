"""How long `import microcalc` takes, and `microcalc --help`: both must stay free of PyTorch and Keras."""

import os
import subprocess
import sys


class Start:
    """A new interpreter each time."""

    timeout = 120
    timer = staticmethod(lambda: sum(os.times()[:4]))  # with its children

    def time_import(self) -> None:
        """``import microcalc``."""
        subprocess.run([sys.executable, "-c", "import microcalc"], check=True)

    def time_help(self) -> None:
        """``microcalc --help``."""
        subprocess.run([sys.executable, "-m", "microcalc", "--help"], check=True, capture_output=True)
