"""Private temporary folders of which nothing stays: the next process removes what one leaves.

A folder is locked for as long as its process lives, where the system can lock (not on Windows).
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

try:
    import fcntl

    _LOCKS = True
except ImportError:  # Windows
    _LOCKS = False


class TemporaryFolder:
    """A folder for this process only.

    Attributes:
        path: Where it is.
    """

    def __init__(self, prefix: str) -> None:
        """Make it, below `tempfile.gettempdir()`, and remove those that nobody holds any more.

        Args:
            prefix: Of its name; those of one prefix are of one kind.

        Raises:
            OSError: it cannot be made.
        """
        for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            _remove_unheld(left)
        self._lock: int | None = None
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        while _LOCKS and not self._held():
            self.path = Path(tempfile.mkdtemp(prefix=prefix))

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _held(self) -> bool:
        """Lock it; False where another process took it for one that nobody holds."""
        self._lock = _locked(self.path)
        if self._lock is not None and not self.path.exists():
            os.close(self._lock)
            self._lock = None
        return self._lock is not None


def _remove_unheld(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if not _LOCKS or folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        lock = _locked(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """Return a descriptor that holds a folder until it is closed; None where another one does."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
