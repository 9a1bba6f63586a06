"""The process in which models are verified: `python -m zeropoint.engine.verify.child`.

It reads the paths of two files from its standard input, each a JSON string on a line: of a
`ReferenceRequest`, which it takes up at once, and later of the `VerifyRequest`. It writes one JSON
object a line to its standard output. It ends when its standard input does, however its parent ends.
"""

import os
import queue
import traceback
from typing import BinaryIO, NoReturn

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.shortage import shortage_of
from zeropoint.engine.verify.checks import DONE, ORIGINAL, Verified, VerifyRequest, not_run, verify
from zeropoint.engine.verify.child_pipes import private_output, requests, write
from zeropoint.engine.verify.json_values import from_json
from zeropoint.engine.verify.messages import ChildMessage, Refusal
from zeropoint.engine.verify.original import ReferenceRequest, run_original


def main() -> NoReturn:
    """Verify one result and exit: 0 where it was answered."""
    try:
        _answer(private_output(), requests())
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends
        traceback.print_exc()
        os._exit(1)
    # No thread is waited for.
    os._exit(0)


def _answer(out: BinaryIO, waiting: "queue.SimpleQueue[bytes]") -> None:
    def notify(stage: str, found: Verified) -> None:
        write(out, ChildMessage(stage=stage, found=found))

    early = from_json(ReferenceRequest, waiting.get())
    notify(ORIGINAL, not_run("the original model was not run"))
    try:
        reference = run_original(early)
        request = from_json(VerifyRequest, waiting.get())
        verify(request, notify, reference)
    except Exception as error:
        known = error if isinstance(error, VerificationError) else shortage_of(error)
        if known is None:
            raise
        write(out, ChildMessage(stage=DONE, refusal=Refusal.of(known)))


if __name__ == "__main__":
    main()
