"""A node in a process of its own, to be killed: ``python node_process.py QUEUE PORT SEND_TO``, with made findings."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dicom.made import ALGORITHM, make_findings

from microcalc.config import NodeSettings
from microcalc.dicom.node import Node
from microcalc.scan.findings import ScannedImage


def scan(path: Path) -> ScannedImage:
    if "DEADLY" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    return make_findings(1)


if __name__ == "__main__":
    queue, port, send_to = sys.argv[1:]
    options = {"quiet_s": 0.2, "pause_s": 0.2, "longest_pause_s": 1.0, "tries": 1000}
    node = Node(
        NodeSettings(send_to=send_to, queue=Path(queue), port=int(port), **options), scan, ALGORITHM, report=print
    )
    print("ready", node.port, flush=True)
    node.wait()
