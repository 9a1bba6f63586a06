"""The server that the client starts for itself: one, private, and gone with its owner."""

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.waiting import eventually

from zeropoint.client import QuantizationClient, UnavailableError, embedded


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    embedded.stop()


def test_one_server_for_all_threads() -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(embedded.endpoint())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    with QuantizationClient() as client:
        assert client.server_info().capabilities.static_op_types


def test_only_this_user_can_reach_it() -> None:
    target = embedded.endpoint().target
    assert target.startswith("unix:")
    folder = Path(target.removeprefix("unix:")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_server_that_died_is_replaced() -> None:
    first = embedded.endpoint()
    with QuantizationClient() as client:
        client.server_info()
        assert embedded._server is not None
        os.kill(embedded._server._process.pid, signal.SIGKILL)
        assert eventually(lambda: embedded._server is None or not embedded._server.alive)
        assert client.server_info().capabilities.static_op_types
    assert embedded.endpoint() != first
    assert not Path(first.target.removeprefix("unix:")).parent.exists()


def test_stopping_leaves_nothing() -> None:
    target = embedded.endpoint().target
    server = embedded._server
    assert server is not None
    embedded.stop()
    assert server._process.returncode == 0
    assert not Path(target.removeprefix("unix:")).parent.exists()


OWNER = """
import sys, time
from zeropoint.client import embedded
print(embedded.endpoint().target, embedded._server._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None])
def test_it_ends_with_its_owner(number: signal.Signals | None) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    target, pid = owner.stdout.readline().split()
    assert psutil.pid_exists(int(pid))
    if number is not None:
        owner.send_signal(number)
    owner.communicate()
    assert eventually(lambda: not psutil.pid_exists(int(pid)))
    assert not Path(target.removeprefix("unix:")).parent.exists()


FORKED = """
import os, sys
from zeropoint.client import embedded
first = embedded.endpoint()
pid = embedded._server._process.pid
child = os.fork()
if child == 0:
    os._exit(0 if embedded._server is None else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert embedded.endpoint() == first
if os.fork() == 0:
    sys.stdin.read()  # outlives its parent, but holds no end of the server's pipe
    os._exit(0)
print(pid, flush=True)
"""


def test_forked_children_do_not_keep_it_alive() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.wait()
        assert eventually(lambda: not psutil.pid_exists(pid))


def test_other_processes_start_their_own() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        other = pool.apply(embedded.endpoint)
    assert other != embedded.endpoint()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.stop()
    monkeypatch.setattr(embedded, "_NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(UnavailableError, match=r"pip install 'zeropoint\[server\]'") as caught:
        embedded.endpoint()
    assert caught.value.metadata == {"missing": "no_such_package"}


def test_what_it_says_before_it_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.stop()
    monkeypatch.setenv("ZEROPOINT_JOBS", "-1")
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(UnavailableError, match="jobs") as caught:
        embedded.endpoint()
    assert caught.value.reason == "SERVER_UNREACHABLE"
    assert {child.pid for child in psutil.Process().children()} <= before


def test_secrets_and_addresses_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROPOINT_TOKEN", "for another server")
    monkeypatch.setenv("ZEROPOINT_SERVER", "elsewhere:1")
    monkeypatch.setenv("ZEROPOINT_JOBS", "1")
    environment = embedded._environment(None)
    assert "ZEROPOINT_TOKEN" not in environment
    assert "ZEROPOINT_SERVER" not in environment
    assert environment["ZEROPOINT_JOBS"] == "1"
    assert embedded._environment("random")["ZEROPOINT_TOKEN"] == "random"
