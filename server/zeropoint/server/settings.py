"""Everything that can be set, by flag or by `ZEROPOINT_*` in the environment."""

import ipaddress
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ByteSize, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, CliSuppress, SettingsConfigDict

_GIB = 1 << 30
_MIB = 1 << 20

LEAST_PING_SECONDS = 10.0
"""How often clients may ping; gRPC's own limit of five minutes would cut off those that do."""


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _physical_memory() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return memory if text == "max" else min(memory, int(text))


def _scratch() -> Path:
    return Path(tempfile.gettempdir()) / f"zeropoint-{os.getuid()}"


Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Absolute = Annotated[Path, AfterValidator(Path.absolute)]


class Settings(BaseSettings):
    """Serve zeropoint.v1.QuantizationService over gRPC.

    Every flag can also be given as ZEROPOINT_NAME in the environment. When ZEROPOINT_TOKEN is
    set there, every call needs it as a bearer token.
    """

    model_config = SettingsConfigDict(
        env_prefix="ZEROPOINT_",
        env_ignore_empty=True,
        cli_prog_name="python -m zeropoint.server",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        frozen=True,
    )

    listen: str = Field("127.0.0.1:50051", description="HOST:PORT, or unix:/path of a socket")
    insecure: bool = Field(
        False, description="listen beyond this machine without TLS: for trusted networks only"
    )
    embedded: bool = Field(
        False, description='print one line {"address": ...} and exit when stdin ends'
    )
    token: CliSuppress[SecretStr | None] = None
    scratch: Absolute = Field(
        default_factory=_scratch, description="folder for models while jobs run"
    )
    compiled: Absolute | None = Field(
        None,
        description="folder for compiled counting loops; default: $NUMBA_CACHE_DIR, or below "
        "the scratch folder",
    )

    jobs: Count = Field(default_factory=cores, description="jobs at once")
    queued_jobs: int = Field(64, ge=0, description="jobs that may wait for one to end")
    queue_seconds: Seconds = Field(600, description="longest wait in the queue")
    model_bytes: ByteSize = Field(ByteSize(4 * _GIB), description="largest model")
    model_files: Count = Field(1024, description="most files of a model")
    batch_bytes: ByteSize = Field(ByteSize(256 * _MIB), description="largest batch")
    window_bytes: ByteSize | None = Field(
        None, description="bytes of batches under way in one stream; default: the largest batch"
    )
    scratch_bytes: ByteSize = Field(
        ByteSize(64 * _GIB), description="disk that all jobs may use together"
    )
    idle_seconds: Seconds = Field(
        300, description="longest time between two messages of a client, heartbeats among them"
    )
    progress_seconds: Seconds = Field(
        600, description="longest time without a byte of a model or a batch that is waited for"
    )
    stall_seconds: Seconds = Field(300, description="longest time a client may leave unread")
    heartbeat_seconds: Seconds = Field(15, description="silence before a heartbeat")
    keepalive_seconds: Seconds = Field(60, description="silence before a connection is pinged")
    keepalive_timeout_seconds: Seconds = Field(
        600, description="longest time before a ping is answered, or other data come"
    )
    drain_seconds: float = Field(30, ge=0, description="time for running jobs after SIGTERM")
    refusal_seconds: Seconds = Field(
        10, description="how long a failed call is still read, so that its failure arrives"
    )

    worker_threads: Count = Field(
        default_factory=cores,
        description="threads of one job, and on Linux the CPU cores that it may use",
    )
    worker_memory: ByteSize | None = Field(
        None, description="memory of one job; default: the job's share of 3/4 of all memory"
    )
    worker_cpu_seconds: Count = Field(24 * 3600, description="CPU time of one job")
    prepare_seconds: Seconds = Field(600, description="to load, convert and plan a model")
    batch_seconds: Seconds = Field(600, description="to run one batch")
    finish_seconds: Seconds = Field(3600, description="to quantize and verify")
    evaluation_seconds: Seconds = Field(
        6 * 3600, description="longest time for a client to evaluate one candidate"
    )
    silence_seconds: Seconds = Field(
        600, description="longest time without progress inside a phase"
    )
    fork_workers: CliSuppress[bool] = sys.platform == "linux"
    """Whether workers are forked from one process that has loaded the engine: their start then
    takes a hundredth of a second. Elsewhere, libraries of the system do not bear it."""

    engine: CliSuppress[str] = "zeropoint.server.worker.engine"
    """Module that workers import, see `worker.engine`; tests name others."""

    @property
    def window(self) -> int:
        """Bytes of batches that one stream may have under way, never below the largest batch."""
        return max(self.window_bytes or 0, self.batch_bytes)

    @property
    def memory(self) -> int:
        """Bytes of memory of one job; by default never less than 4 GiB, where there are 4 GiB."""
        usable = _physical_memory() * 3 // 4
        return self.worker_memory or min(usable, max(usable // self.jobs, 4 * _GIB))

    @property
    def compiled_folder(self) -> Path:
        """Folder in which the workers keep compiled loops."""
        given = self.compiled or os.environ.get("NUMBA_CACHE_DIR")
        return Path(given) if given else self.scratch / "compiled"

    @model_validator(mode="after")
    def _only_this_machine(self) -> "Settings":
        if not (self.insecure or _is_local(self.listen)):
            raise ValueError(
                f"{self.listen} can be reached from other machines, without TLS. Listen on "
                "127.0.0.1, or add --insecure if everyone in that network is trusted."
            )
        return self


def _is_local(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
