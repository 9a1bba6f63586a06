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
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with one place; each test leaves it free."""
    with server(tmp_path_factory.mktemp("single"), jobs=1) as running:
        yield running


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose limits on sizes are met soon."""
    with server(
        tmp_path_factory.mktemp("strict"),
        jobs=1,
        queued_jobs=1,
        model_bytes="4MiB",
        model_files=3,
        batch_bytes="2MiB",
        scratch_bytes="12MiB",
        worker_memory="256MiB",
        refusal_seconds=60,
    ) as running:
        yield running


@pytest.fixture(scope="session")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that waits for no worker that has to compute, as nothing else may be slow."""
    with server(tmp_path_factory.mktemp("hasty"), batch_seconds=1, finish_seconds=1) as running:
        yield running


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that soon gives up on clients who say nothing."""
    with server(
        tmp_path_factory.mktemp("impatient"), jobs=2, idle_seconds=1, heartbeat_seconds=0.3
    ) as running:
        yield running
