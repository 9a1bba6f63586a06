"""Servers for the tests of this folder: real processes with a scripted engine."""

from collections.abc import Iterator

import pytest
from support.servers import ServerProcess, server


@pytest.fixture(scope="session")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose limits no test meets."""
    with server(tmp_path_factory.mktemp("patient"), jobs=4) as running:
        yield running


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose limits are met soon."""
    with server(
        tmp_path_factory.mktemp("strict"),
        jobs=1,
        queued_jobs=1,
        queue_seconds=0.5,
        model_bytes="4MiB",
        model_files=3,
        batch_bytes="2MiB",
        scratch_bytes="12MiB",
        idle_seconds=1,
        stall_seconds=1,
        heartbeat_seconds=0.3,
        refusal_seconds=2,
        worker_memory="256MiB",
        prepare_seconds=15,
        batch_seconds=1.5,
        finish_seconds=1.5,
    ) as running:
        yield running
