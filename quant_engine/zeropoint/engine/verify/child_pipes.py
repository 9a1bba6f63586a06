"""What processes that run models have in common: what they read, and where they write."""

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from zeropoint.engine.verify.json_values import to_json


def private_output() -> BinaryIO:
    """Keep the pipe to the parent; what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return out


def requests() -> "queue.SimpleQueue[bytes]":
    """Return what comes in, file by file, and end this process at the end of its input."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            if line.endswith(b"\n"):
                waiting.put(Path(json.loads(line)).read_bytes())
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    return waiting


def write(out: BinaryIO, message: object) -> None:
    """Write a dataclass as one line."""
    remaining = memoryview(to_json(message).encode() + b"\n")
    while remaining:
        remaining = remaining[out.write(remaining) :]
