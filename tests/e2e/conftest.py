"""A server that runs elsewhere, as far as its users can tell."""

from collections.abc import Iterator

import pytest
from support.black_box import real_server
from support.servers import ServerProcess


@pytest.fixture(scope="session")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with its defaults but for its threads."""
    with real_server(tmp_path_factory.mktemp("remote"), worker_threads=2) as running:
        yield running


@pytest.fixture(scope="session")
def address(remote: ServerProcess) -> str:
    """Where it listens."""
    return remote.address
