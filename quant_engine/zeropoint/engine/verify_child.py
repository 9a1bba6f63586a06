"""The process in which models are verified: `python -m zeropoint.engine.verify_child`.

It reads the path of one request, a JSON string, from its standard input and writes one JSON object
a line to its standard output. It ends when its standard input does, however its parent ends.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO, NoReturn

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.plain import from_json, to_json
from zeropoint.engine.verify import Stage, Verified, VerifyRequest, verify
from zeropoint.engine.verify_messages import ChildMessage, Refusal


def main() -> NoReturn:
    """Verify one request and exit: 0 where it was answered."""
    out = _private_output()
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        os._exit(0)
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()

    def notify(stage: Stage, found: Verified) -> None:
        _write(out, ChildMessage(stage=stage, found=found))

    try:
        request = from_json(VerifyRequest, Path(json.loads(line)).read_bytes())
        verify(request, notify)
    except VerificationError as error:
        refusal = Refusal(reason=error.reason, message=error.message, metadata=dict(error.metadata))
        _write(out, ChildMessage(stage=Stage.DONE, refusal=refusal))
    # The reading thread is not waited for.
    os._exit(0)


def _private_output() -> BinaryIO:
    """Keep the pipe to the parent; what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return out


def _exit_at_end_of_input() -> None:
    while os.read(0, 1 << 16):
        pass
    os._exit(1)


def _write(out: BinaryIO, message: ChildMessage) -> None:
    remaining = memoryview(to_json(message).encode() + b"\n")
    while remaining:
        remaining = remaining[out.write(remaining) :]


if __name__ == "__main__":
    main()
