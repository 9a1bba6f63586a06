"""What the engine does about memory, of one process and of the tree of a job."""

import gc
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.graphs import GraphBuilder
from support.waiting import eventually

from zeropoint.engine.runtime import collector_paused

MIB = 1 << 20
WIDTH, LAYERS = 4096, 3  # 192 MiB of weights: more than is verified all at once


def test_the_collector_comes_back_whatever_happens() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), collector_paused():
        raise KeyError
    assert gc.isenabled()


def _wide(folder: Path, layers: int) -> Path:
    """Square MatMuls with Relu between them."""
    b = GraphBuilder()
    value = b.input("x", [1, WIDTH])
    random = np.random.default_rng(0)
    for index in range(layers):
        weight = random.random((WIDTH, WIDTH), np.float32)
        weight -= np.float32(0.5)
        weight *= np.float32((12 / WIDTH) ** 0.5)
        value = b.node("MatMul", [value, b.constant(f"w{index}", weight)], f"m{index}")
        value = b.node("Relu", [value], f"r{index}")
    b.output(value)
    return b.save(folder)


_SESSION = """
import sys
from pathlib import Path
import psutil
from zeropoint.engine.runtime import Session, give_back

resident = psutil.Process().memory_info
before = resident().rss
session = Session(Path(sys.argv[1]))
opened = resident().rss - before
del session
give_back()
print(opened, resident().rss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how glibc keeps memory is what is looked at")
def test_what_a_session_took_goes_back(tmp_path: Path) -> None:
    path = _wide(tmp_path, layers=1)
    output = subprocess.check_output([sys.executable, "-c", _SESSION, str(path)])
    opened, left = map(int, output.split())
    assert opened > WIDTH * WIDTH * 4
    assert left < opened / 4


_JOB = """
import sys
from pathlib import Path
import numpy as np
from zeropoint.engine import JobSettings, StaticOptions, open_job, warm

warm()
print("warm", flush=True)
sys.stdin.readline()
with open_job(Path(sys.argv[1]), StaticOptions(), JobSettings(workspace=Path(sys.argv[2]))) as job:
    job.observe({"x": np.random.default_rng(0).standard_normal((1, 4096), np.float32)})
    report = job.finish().report
assert report.verification.sqnr_db > 20, report.verification
assert len(report.verification.nodes) == 3, report.verification
"""


def test_a_job_takes_little_more_than_the_weights(tmp_path: Path) -> None:
    model, workspace = _wide(tmp_path, LAYERS), tmp_path / "job"
    workspace.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", _JOB, str(model), str(workspace)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        assert eventually(lambda: _waits(process.pid))  # the verifying process, too
        idle = _resident(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        peak = idle
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.01)
    assert process.returncode == 0
    weights = LAYERS * WIDTH * WIDTH * 4
    # Beside the weights: one of them as float and as integers, and what both processes load late.
    assert peak - idle < 1.1 * weights + 1.5 * weights / LAYERS + 64 * MIB


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _waits(pid: int) -> bool:
    """Whether a process and its child have nothing to do."""
    for _ in range(20):
        states = [each.status() for each in _tree(pid)]
        if states != [psutil.STATUS_SLEEPING] * 2:
            return False
        time.sleep(0.01)
    return True


def _resident(pid: int) -> int:
    try:
        return sum(each.memory_info().rss for each in _tree(pid))
    except psutil.NoSuchProcess:
        return 0
