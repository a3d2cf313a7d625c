"""A node in a process of its own, with made findings: ``python node_process.py QUEUE PORT SEND_TO``.

It prints ``ready PORT``, and ``answered N`` whenever something has changed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dicom.made import ALGORITHM, scan

from microcalc.config import NodeSettings
from microcalc.dicom.node import Node

OPTIONS = {"quiet_s": 0.2, "pause_s": 0.2, "longest_pause_s": 1.0, "tries": 1000, "disk_gib": 4.0}


if __name__ == "__main__":
    queue, port, send_to = sys.argv[1:]
    settings = NodeSettings(send_to=send_to, queue=Path(queue), port=int(port), **OPTIONS)
    node = Node(settings, scan, ALGORITHM, report=lambda line: print(line, flush=True))
    print("ready", node.port, flush=True)
    while True:
        with node.queue.changed:
            print("answered", node.queue.counts().answered, flush=True)
            node.queue.changed.wait()
