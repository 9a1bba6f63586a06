"""Memory of the whole process: when it is looked through, and when it goes back to the system."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector of cycles off during a block.

    A graph is hundreds of thousands of objects that stay: each full collection on the way to ten
    thousand nodes looks through all of them and frees nothing, which took half of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def give_back() -> None:
    """Return to the system what was freed, where the C library would keep it: glibc does.

    A session that read its weights out of a model file leaves about as much behind.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
