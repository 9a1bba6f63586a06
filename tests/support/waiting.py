"""Waiting for what happens in other threads and processes, however slow the machine is."""

import asyncio
import time
from collections.abc import Callable

HUNG_SECONDS = 300.0
"""After this, what is waited for never comes."""


def eventually(condition: Callable[[], object]) -> bool:
    """Return True once `condition` is true; False where it never will be."""
    end = time.monotonic() + HUNG_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


async def later(condition: Callable[[], object]) -> bool:
    """Return the same, while the loop goes on."""
    return await asyncio.to_thread(eventually, condition)
