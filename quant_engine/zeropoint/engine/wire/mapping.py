"""Files as they lie on disk."""

import mmap
from pathlib import Path


def map_file(path: Path) -> memoryview:
    """Return the content of a file as it lies on disk, read as it is used."""
    if path.stat().st_size == 0:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
