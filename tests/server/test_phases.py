"""Where the time of a job goes, before its worker knows of it."""

from pathlib import Path

import grpc
from support.raw_client import Call, in_loop, script
from support.servers import ServerProcess, server

from zeropoint import v1


def seconds(call: Call) -> dict[int, float]:
    """Return the seconds of each phase, by the report."""
    phases = (phase for report in call.all_heard("report") for phase in report.phases)
    return {phase.phase: phase.seconds for phase in phases}


@in_loop
async def test_the_wait_for_a_process_is_a_phase_of_its_own(tmp_path: Path) -> None:
    with server(tmp_path, engine="support.waiting_engine", fork_workers=False) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            await call.start(script())
            await call.hear("model_status")
            await call.upload(script())
            while (progress := await call.hear("progress")).phase != v1.PHASE_START:
                assert progress.phase == v1.PHASE_UPLOAD
            assert "process" in progress.message
            (tmp_path / "loaded").touch()
            assert (await call.hear("progress")).phase == v1.PHASE_PREPARE
            await call.hear("started")
            await call.finish(0)
            await call.result()
    spent = seconds(call)
    assert spent[v1.PHASE_START] > 0
    assert spent[v1.PHASE_UPLOAD] > 0
    assert v1.PHASE_QUEUED not in spent or spent[v1.PHASE_QUEUED] > 0


@in_loop
async def test_the_wait_for_a_turn_is_a_phase_of_its_own(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        running = [Call(channel) for _ in range(4)]
        for call in running:
            await call.begin(script())
        waits = Call(channel)
        await waits.start(script())
        assert (await waits.hear("progress")).phase == v1.PHASE_QUEUED
        for call in running:
            call.call.cancel()
        await waits.hear("model_status")
        await waits.upload(script())
        await waits.hear("started")
        await waits.finish(0)
        await waits.result()
    assert seconds(waits)[v1.PHASE_QUEUED] > 0
