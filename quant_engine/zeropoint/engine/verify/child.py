"""The process in which models are verified: `python -m zeropoint.engine.verify.child`.

It reads the paths of two files from its standard input, each a JSON string on a line: of a
`ReferenceRequest`, which it takes up at once, and later of the `VerifyRequest`. It writes one JSON
object a line to its standard output. It ends when its standard input does, however its parent ends.
"""

import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO, NoReturn

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.shortage import shortage_of
from zeropoint.engine.verify.checks import DONE, ORIGINAL, Verified, VerifyRequest, not_run, verify
from zeropoint.engine.verify.json_values import from_json, to_json
from zeropoint.engine.verify.messages import ChildMessage, Refusal
from zeropoint.engine.verify.original import ReferenceRequest, run_original


def main() -> NoReturn:
    """Verify one result and exit: 0 where it was answered."""
    try:
        _answer(_private_output(), _requests())
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends
        traceback.print_exc()
        os._exit(1)
    # No thread is waited for.
    os._exit(0)


def _answer(out: BinaryIO, requests: "queue.SimpleQueue[bytes]") -> None:
    def notify(stage: str, found: Verified) -> None:
        _write(out, ChildMessage(stage=stage, found=found))

    early = from_json(ReferenceRequest, requests.get())
    notify(ORIGINAL, not_run("the original model was not run"))
    try:
        reference = run_original(early)
        request = from_json(VerifyRequest, requests.get())
        verify(request, notify, reference)
    except Exception as error:
        known = error if isinstance(error, VerificationError) else shortage_of(error)
        if known is None:
            raise
        refusal = Refusal(reason=known.reason, message=known.message, metadata=dict(known.metadata))
        _write(out, ChildMessage(stage=DONE, refusal=refusal))


def _private_output() -> BinaryIO:
    """Keep the pipe to the parent; what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return out


def _requests() -> "queue.SimpleQueue[bytes]":
    """Return what comes in, file by file, and end this process at the end of its input."""
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            if line.endswith(b"\n"):
                requests.put(Path(json.loads(line)).read_bytes())
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    return requests


def _write(out: BinaryIO, message: ChildMessage) -> None:
    remaining = memoryview(to_json(message).encode() + b"\n")
    while remaining:
        remaining = remaining[out.write(remaining) :]


if __name__ == "__main__":
    main()
