"""Files: a folder for each server, below it one for each job, and uploads into it.

    <scratch>/                       0700
        server-<random>/             locked as long as the server lives
            job-<random>/
                cwd/                 empty: the worker's working directory
                temporary/           the worker's TMPDIR and HOME
                partial/             files on their way up, by number
                model/               verified files, by the names of the manifest
                calibration          the verified file of a calibration, if one is sent
                workspace/           the worker's own files
                candidate/           the files of the candidate that is being evaluated
                result/              the files of the result
                calibration.zpcal    the calibration to return, if it is asked for

A server that starts removes the folders of servers that are gone. One that cannot remove a job's
folder, as where no file can be opened, sweeps it away later.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from zeropoint.server.failure import JobError
from zeropoint.server.manifest import Manifest
from zeropoint.server.messages import ModelChunk

_PREFIX = "server-"
_JOB_PREFIX = "job-"
_COPIES = 4
"""Disk that a job may need, in sizes of its model: upload, weights apart, prepared, result."""


class JobFolder:
    """The folder of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cwd = path / "cwd"
        self.temporary = path / "temporary"
        self.partial = path / "partial"
        self.model = path / "model"
        self.calibration = path / "calibration"
        self.workspace = path / "workspace"
        self.candidate = path / "candidate"
        self.result = path / "result"
        self.kept = path / "calibration.zpcal"

    @property
    def name(self) -> str:
        """Name of the job."""
        return self.path.name

    @property
    def environment(self) -> dict[str, str]:
        """What of a worker's environment is its own."""
        return {"HOME": str(self.temporary), "TMPDIR": str(self.temporary)}

    def make(self) -> None:
        """Make the folders in it."""
        inputs = (self.cwd, self.temporary, self.partial, self.model)
        for folder in (*inputs, self.workspace, self.candidate, self.result):
            folder.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove everything, as far as that is possible now."""
        shutil.rmtree(self.path, ignore_errors=True)


class Scratch:
    """The folder of this server, and the account of the disk that its jobs may use."""

    def __init__(self, root: Path, budget: int) -> None:
        """Make this server's folder and remove those of dead servers.

        Raises:
            OSError: `root` cannot be made, or is not a folder that only this user can write to.
        """
        make_private(root)
        with _locked(root / "lock"):
            _remove_dead(root)
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
            self._lock = _lock(self._folder / "lock")
        self._budget = self._left = budget
        self._in_use: set[Path] = set()
        self._making = threading.Lock()

    @property
    def folder(self) -> Path:
        """This server's folder."""
        return self._folder

    def job_folder(self) -> JobFolder:
        """Make a folder for one job, to be given back.

        Raises:
            OSError: it cannot be made; nothing of it is left.
        """
        with self._making:
            folder = JobFolder(Path(tempfile.mkdtemp(prefix=_JOB_PREFIX, dir=self._folder)))
            self._in_use.add(folder.path)
        try:
            folder.make()
        except BaseException:
            self.give_back(folder)
            raise
        return folder

    def give_back(self, folder: JobFolder) -> bool:
        """Remove a job's folder; return whether nothing is left that `sweep` has to remove."""
        folder.remove()
        self._in_use.discard(folder.path)
        return not folder.path.exists()

    def sweep(self) -> bool:
        """Remove what is left of jobs that have ended; return whether nothing is left any more."""
        with self._making:
            left = set(self._folder.glob(f"{_JOB_PREFIX}*")) - self._in_use
        for path in left:
            JobFolder(path).remove()
        return not any(path.exists() for path in left)

    def has_room(self, model_bytes: int) -> bool:
        """Return whether a job on a model of `model_bytes` may have what it may need."""
        return model_bytes * _COPIES <= self._left

    def check(self, model_bytes: int) -> None:
        """Refuse a job on a model of `model_bytes` for which there will never be room.

        Raises:
            JobError: MODEL_TOO_LARGE.
        """
        needed = model_bytes * _COPIES
        if needed > self._budget:
            raise JobError(
                "MODEL_TOO_LARGE",
                f"The job needs {needed} bytes of disk; this server gives {self._budget} to all "
                "jobs together. Raise its --scratch-bytes.",
                bytes=needed,
                limit=self._budget,
            )

    @contextlib.contextmanager
    def reserved(self, model_bytes: int) -> Iterator[None]:
        """Hold the disk that a job on a model of `model_bytes` may need.

        Raises:
            JobError: SCRATCH_FULL.
        """
        needed = model_bytes * _COPIES
        if not self.has_room(model_bytes):
            raise JobError(
                "SCRATCH_FULL",
                f"The job needs {needed} bytes of disk; {self._left} are left for now.",
                bytes=needed,
                left=self._left,
            )
        self._left -= needed
        try:
            yield
        finally:
            self._left += needed

    @contextlib.contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Take account of `size` bytes of disk that are in use already."""
        self._left -= size
        try:
            yield
        finally:
            self._left += size

    def remove(self) -> None:
        """Remove this server's folder with everything in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


class Upload:
    """Takes the files of one model, and a calibration; only verified ones reach their places.

    Every chunk goes to `accept`, which does not block, then to `store`.
    """

    def __init__(self, manifest: Manifest, folder: JobFolder) -> None:
        self._files = manifest.sent
        self._targets = [folder.model / file.path for file in manifest.files]
        self._targets += [folder.calibration] if manifest.calibration else []
        self._folder = folder
        self._sizes = [0] * len(self._files)
        self._digests = [hashlib.sha256() for _ in self._files]
        self._verified = 0
        for index, file in enumerate(self._files):
            if file.size == 0:
                self._partial(index).touch(mode=0o600)
                self._verify(index)

    @property
    def committed(self) -> tuple[int, ...]:
        """Bytes accepted of each file."""
        return tuple(self._sizes)

    @property
    def arrived(self) -> bool:
        """Whether every byte was accepted."""
        return all(held == file.size for held, file in zip(self._sizes, self._files, strict=True))

    @property
    def complete(self) -> bool:
        """Whether every file is verified."""
        return self._verified == len(self._files)

    def accept(self, chunk: ModelChunk) -> None:
        """Count `chunk` as here.

        Raises:
            JobError: PROTOCOL_VIOLATION.
        """
        self._check(chunk)
        self._sizes[chunk.file] += len(chunk.data)

    def store(self, chunk: ModelChunk) -> None:
        """Append the bytes of `chunk` to its file; blocks on the disk.

        Raises:
            JobError: UPLOAD_CORRUPT.
            OSError: the disk takes no more bytes.
        """
        with self._partial(chunk.file).open("ab") as file:
            file.write(chunk.data)
        self._digests[chunk.file].update(chunk.data)
        if chunk.offset + len(chunk.data) == self._files[chunk.file].size:
            self._verify(chunk.file)

    def _check(self, chunk: ModelChunk) -> None:
        if chunk.file >= len(self._files):
            raise JobError(
                "PROTOCOL_VIOLATION",
                f"A chunk is for file {chunk.file}; the manifest has {len(self._files)}.",
            )
        file, held = self._files[chunk.file], self._sizes[chunk.file]
        if chunk.offset != held or held + len(chunk.data) > file.size or not chunk.data:
            raise JobError(
                "PROTOCOL_VIOLATION",
                f"A chunk of {len(chunk.data)} bytes at {chunk.offset} does not continue "
                f"{file.path!r}, of which {held} of {file.size} bytes are here.",
                file=file.path,
                expectedOffset=held,
            )

    def _verify(self, index: int) -> None:
        file = self._files[index]
        if self._digests[index].digest() != file.sha256:
            raise JobError(
                "UPLOAD_CORRUPT",
                f"The bytes of {file.path!r} do not have the SHA-256 of the manifest.",
                file=file.path,
            )
        target = self._targets[index]
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._partial(index).rename(target)
        self._verified += 1

    def _partial(self, index: int) -> Path:
        return self._folder.partial / str(index)


def make_private(folder: Path) -> None:
    """Make a folder, or take one that no other user can have put anything into.

    Raises:
        OSError: it cannot be made, is a link, or belongs to, or can be written by, others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    others_may_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or others_may_write:
        raise PermissionError(f"{folder} is not a folder that only this user can write to")


def _remove_dead(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            continue
        with contextlib.suppress(BlockingIOError):
            descriptor = _lock(folder / "lock", wait=False)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path, *, wait: bool = True) -> int:
    """Return a descriptor that holds a lock on `path` until it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
