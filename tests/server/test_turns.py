"""The queue before the workers: in order, nothing lost, and delays that are true."""

import asyncio
from pathlib import Path

import grpc
import pytest
from support.raw_client import Call, in_loop, script
from support.servers import ServerProcess, server
from support.virtual_time import in_virtual_time

from zeropoint.server.worker.turns import Turn, Turns


class Line:
    """Jobs that come one after the other."""

    def __init__(self, places: int, most_waiting: int = 64) -> None:
        self.turns = Turns(places, most_waiting)
        self.in_order: list[int] = []
        self.told: dict[int, list[tuple[int, float]]] = {}

    def join(self, number: int) -> tuple[Turn, asyncio.Task[None]]:
        turn = self.turns.turn()

        async def announce(ahead: int, seconds: float) -> None:
            self.told.setdefault(number, []).append((ahead, seconds))

        async def come() -> None:
            await turn.come(announce)
            self.in_order.append(number)

        return turn, asyncio.create_task(come())


@in_virtual_time
async def test_turns_come_in_order() -> None:
    line = Line(places=2)
    joined = [line.join(number) for number in range(5)]
    for turn, coming in joined:
        await coming
        await asyncio.sleep(3)
        turn.leave()
    assert line.in_order == [0, 1, 2, 3, 4]
    assert [[ahead for ahead, _ in line.told[number]] for number in (2, 3, 4)] == [
        [0],
        [1, 0],
        [2, 1, 0],
    ]
    assert line.turns.waiting == 0
    assert not line.turns.full


@in_virtual_time
async def test_who_ceases_to_wait_makes_room_and_takes_no_place() -> None:
    line = Line(places=1)
    (first, _), (second, coming), (_, last) = (line.join(number) for number in range(3))
    await asyncio.sleep(0)
    coming.cancel()
    second.leave()
    await asyncio.sleep(0)
    first.leave()
    await last
    assert line.in_order == [0, 2]
    assert [ahead for ahead, _ in line.told[2]][-1] == 0


@in_virtual_time
async def test_a_place_that_was_given_to_one_who_left_is_given_on() -> None:
    line = Line(places=1)
    (first, _), (second, coming), (_, last) = (line.join(number) for number in range(3))
    await asyncio.sleep(0)
    first.leave()  # the second has the place, and does not know it yet
    coming.cancel()
    second.leave()
    await last
    assert line.in_order == [0, 2]


@in_virtual_time
async def test_estimates_are_learned_and_grow_with_the_queue() -> None:
    line = Line(places=2)
    for number in range(20):  # jobs of a minute
        turn, coming = line.join(number)
        await coming
        await asyncio.sleep(60)
        turn.leave()
    for number in range(20, 26):
        line.join(number)
    await asyncio.sleep(0)
    estimates = [line.told[number][0][1] for number in range(22, 26)]
    assert estimates == [pytest.approx(30 * (ahead + 1), rel=0.01) for ahead in range(4)]


@in_virtual_time
async def test_a_job_that_runs_for_long_counts_before_it_ends() -> None:
    line = Line(places=1)
    line.join(0)
    await asyncio.sleep(100)
    assert line.turns.estimate(0) == pytest.approx(100)


@in_virtual_time
async def test_those_who_are_turned_away_come_back_one_by_one() -> None:
    line = Line(places=1, most_waiting=1)
    line.join(0)
    line.join(1)
    await asyncio.sleep(0)
    assert line.turns.full
    delays = [line.turns.come_back() for _ in range(3)]
    assert delays == [pytest.approx(5 * count) for count in (1, 2, 3)]
    await asyncio.sleep(10)
    assert line.turns.come_back() == pytest.approx(15)  # one is still to come; the job takes 10 s
    assert max(line.turns.come_back() for _ in range(1000)) < 320


@in_loop
async def test_clients_are_served_in_the_order_in_which_they_came(single: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(single.address) as channel:
        calls = [Call(channel) for _ in range(4)]
        await calls[0].begin(script())
        for call in calls[1:]:
            await call.start(script())
            assert "wait before this one" in (await call.hear("progress")).message
        served = []

        async def serve(number: int) -> None:
            if number:
                await calls[number].hear("model_status")
                await calls[number].upload(script())
                await calls[number].hear("started")
            served.append(number)
            await calls[number].finish(0)
            await calls[number].result()

        await asyncio.gather(*map(serve, reversed(range(4))))
    assert served == [0, 1, 2, 3]


@in_loop
async def test_a_refusal_says_when_to_come_back(tmp_path: Path) -> None:
    with server(tmp_path, jobs=1, queued_jobs=0) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            await Call(channel).begin(script())
            delays = []
            for _ in range(3):
                refused = Call(channel)
                await refused.start(script())
                failure = await refused.failure()
                assert (failure.reason, failure.retryable) == ("SERVER_BUSY", True)
                delays.append(failure.retry_delay.ToTimedelta().total_seconds())
    assert delays[0] < delays[1] < delays[2]
