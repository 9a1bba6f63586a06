"""Every task by name."""

from functools import cache
from itertools import chain

from benchmarks.other_tasks import other_tasks
from benchmarks.page_tasks import page_tasks
from benchmarks.picture_tasks import picture_tasks
from benchmarks.reading_tasks import reading_tasks
from benchmarks.sound_tasks import sound_tasks
from benchmarks.stream_tasks import stream_tasks
from benchmarks.tasks import Task
from benchmarks.text_tasks import text_tasks


@cache
def all_tasks() -> dict[str, Task]:
    """Return them, those of pages first."""
    kinds = (
        page_tasks(),
        other_tasks(),
        picture_tasks(),
        reading_tasks(),
        sound_tasks(),
        stream_tasks(),
        text_tasks(),
    )
    return {task.name: task for task in chain(*kinds)}
