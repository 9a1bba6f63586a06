"""A result is opened, and ONNX Runtime's optimized graph of it written, without its weights."""

import os
from functools import partial
from pathlib import Path

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.runtime import RuntimeRefusal, Session, weights_of_optimized
from zeropoint.engine.verify.original import Runs


def open_result(runs: Runs, shipped: Path, optimized: Path) -> Session:
    """Open a result.

    Where only its optimized graph cannot be written, it is opened without that graph.

    Args:
        runs: How it will be run.
        shipped: Its ONNX file.
        optimized: Where to write the optimized graph.

    Raises:
        VerificationError: RESULT_NOT_RUNNABLE, it does not load.
    """
    _send_weights_nowhere(optimized)
    openers = (partial(runs.open, shipped, optimized=optimized), partial(runs.open, shipped))
    for opener in openers:
        try:
            return opener()
        except RuntimeRefusal as error:
            discard(optimized)
            refusal = error
    raise VerificationError(
        "RESULT_NOT_RUNNABLE",
        f"ONNX Runtime does not load the quantized model: {refusal}",
    ) from refusal


def discard(optimized: Path) -> None:
    """Remove an optimized graph and the file of its weights, where they are."""
    for file in (optimized, weights_of_optimized(optimized)):
        if not file.is_dir():
            file.unlink(missing_ok=True)


def _send_weights_nowhere(optimized: Path) -> None:
    """Have ONNX Runtime write the weights, which nobody reads, to nowhere."""
    discard(optimized)
    nowhere = Path(os.devnull)
    if nowhere.is_char_device():
        weights_of_optimized(optimized).symlink_to(nowhere)
