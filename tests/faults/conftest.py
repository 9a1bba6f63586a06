"""One server for most faults, and a sound job on it that must not notice them."""

from collections.abc import Iterator

import pytest
from support.black_box import Neighbour, real_server, remains
from support.servers import ServerProcess, eventually


@pytest.fixture(scope="session")
def hurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose limits on time and memory are met soon."""
    with real_server(
        tmp_path_factory.mktemp("hurt"),
        jobs=4,
        idle_seconds=300,  # the neighbour is silent while others are hurt
        stall_seconds=2,
        worker_memory="2GiB",
        prepare_seconds=30,
        batch_seconds=3,
        finish_seconds=8,
    ) as running:
        yield running


@pytest.fixture(scope="session")
def neighbour(hurt: ServerProcess) -> Iterator[Neighbour]:
    """A sound job; its result is that of a job that ran alone."""
    with Neighbour(hurt.address) as job:
        yield job
        assert job.finish() == job.alone(hurt.address)


@pytest.fixture
def shared(hurt: ServerProcess, neighbour: Neighbour) -> Iterator[ServerProcess]:
    """The server; after the test its neighbour goes on, and nothing else is left of the test."""
    neighbour.step()
    said = len(hurt.log())
    yield hurt
    neighbour.step()
    eventually(lambda: not remains(hurt, besides=neighbour.job))
    assert remains(hurt, besides=neighbour.job) == []
    assert "Traceback" not in hurt.log()[said:]
