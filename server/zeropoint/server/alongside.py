"""One thing to wait for, with others that may end it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


async def alongside(main: Coroutine[Any, Any, _T], *others: Coroutine[Any, Any, None]) -> _T:
    """Return what `main` returns; an error of `main` or of any of `others` ends them all."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(other) for other in others]
            result = await main
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return result
