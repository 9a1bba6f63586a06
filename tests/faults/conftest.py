"""One server for most faults, and a sound job on it that must not notice them."""

from collections.abc import Iterator

import pytest
from support.black_box import Neighbour, real_server
from support.servers import ServerProcess


@pytest.fixture(scope="package")
def hurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with little memory for a worker, and little patience with who does not read."""
    with real_server(
        tmp_path_factory.mktemp("hurt"),
        jobs=4,
        idle_seconds=24 * 3600,  # the neighbour is silent while others are hurt
        progress_seconds=24 * 3600,
        stall_seconds=5,
        worker_memory="2GiB",
    ) as running:
        yield running


@pytest.fixture(scope="package")
def neighbour(hurt: ServerProcess) -> Iterator[Neighbour]:
    """A sound job; its result is that of a job that ran alone."""
    with Neighbour(hurt.address) as job:
        yield job
        assert job.finish() == job.alone(hurt.address)


@pytest.fixture
def shared(hurt: ServerProcess, neighbour: Neighbour) -> Iterator[ServerProcess]:
    """The server; after the test its neighbour goes on, and nothing else is left of the test."""
    with neighbour.undisturbed(hurt):
        yield hurt
