"""When what failed is tried again, on a clock of the test's own."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from zeropoint.client import CancelledError, LimitError, OptionError, UnavailableError
from zeropoint.client.errors import ZeropointError
from zeropoint.client.replay import Replay
from zeropoint.client.retry import Retry


class Clock:
    """Time that passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def retry(clock: Clock, timeout: float | None, chance: float = 0.5, **more: Any) -> Retry:
    return Retry(timeout, **more, clock=clock, sleep=clock.sleep, chance=lambda: chance)


def busy(delay: float | None = 4.0) -> ZeropointError:
    return LimitError("SERVER_BUSY", "All run.", retryable=True, retry_delay=delay)


def absent() -> ZeropointError:
    return UnavailableError("SERVER_UNREACHABLE", "Nobody there.", retryable=True)


def attempts(
    retrying: Retry, clock: Clock, error: Callable[[], ZeropointError], *, begun: bool = False
) -> list[float]:
    """Fail until it is given up; return when each attempt was made."""
    times = [clock.now]
    for _ in range(1000):
        given = error()
        try:
            retrying.wait(given, begun=begun)
        except ZeropointError as raised:
            gave_up = raised
            break
        times.append(clock.now)
    assert gave_up is given
    tried = f"It was tried {len(times)} times in {clock.now - times[0]:.0f} s."
    assert begun or gave_up.__notes__[0].startswith(tried)
    return times


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_servers_delay_is_waited_and_a_little_more(clock: Clock, chance: float) -> None:
    retry(clock, 60.0, chance).wait(busy(4.0), begun=False)
    assert clock.now == pytest.approx(104.0 + chance)


def test_two_clients_do_not_come_back_together() -> None:
    clocks = [Clock(), Clock()]
    for clock in clocks:
        Retry(None, clock=clock, sleep=clock.sleep).wait(busy(), begun=False)
    assert clocks[0].now != clocks[1].now


def test_the_time_allowed_is_used_and_not_passed(clock: Clock) -> None:
    times = attempts(retry(clock, 60.0), clock, busy)
    assert len(times) > 12
    assert 159.0 < times[-1] < 160.0
    assert times == sorted(times)


def test_a_delay_longer_than_the_time_left_is_not_waited_out(clock: Clock) -> None:
    times = attempts(retry(clock, 20.0), clock, lambda: busy(300.0))
    assert 2 < len(times) < 10
    assert times[-1] < 120.0


@pytest.mark.parametrize("delay", [4.0, None])
def test_without_a_limit_a_server_that_refuses_is_asked_for_ten_minutes(
    clock: Clock, delay: float | None
) -> None:
    """A disk may stay full for ever."""
    retrying = retry(clock, None)
    times = attempts(retrying, clock, lambda: busy(delay))
    assert 690.0 < times[-1] < 700.0
    assert retrying.left is None


def test_the_error_says_how_to_have_it_tried_longer(clock: Clock) -> None:
    full = busy(300.0)
    times = attempts(retry(clock, None), clock, lambda: full)
    [note] = full.__notes__
    tried = f"It was tried {len(times)} times in 600 s."
    assert note == f"{tried} Give a timeout to have it tried for longer."


def test_a_server_that_refuses_and_goes_away_by_turns_is_left_in_the_end(clock: Clock) -> None:
    turns = cycle([busy, absent])
    times = attempts(retry(clock, None), clock, lambda: next(turns)())
    assert 690.0 < times[-1] < 700.0


def test_without_a_limit_an_absent_server_is_sought_for_a_while(clock: Clock) -> None:
    times = attempts(retry(clock, None), clock, absent)
    assert 5 < len(times) < 40
    assert 105.0 < times[-1] < 110.0


def test_a_server_that_was_found_is_sought_anew(clock: Clock) -> None:
    retrying = retry(clock, None)
    for _ in range(20):
        retrying.wait(absent(), begun=False)
        clock.now += 5.0
        retrying.wait(busy(), begun=False)


def test_pauses_grow_where_the_server_names_no_delay(clock: Clock) -> None:
    times = attempts(retry(clock, 120.0), clock, absent)
    pauses = np.diff(times)
    assert pauses[0] < 0.3
    assert list(pauses[:5]) == sorted(pauses[:5])
    assert pauses.max() <= 5.0


def test_what_is_not_retryable_is_raised_at_once(clock: Clock) -> None:
    error = OptionError("OPTION_INVALID", "No.")
    with pytest.raises(OptionError) as caught:
        retry(clock, None).wait(error, begun=False)
    assert caught.value is error
    assert clock.now == 100.0


def test_a_job_that_ends_the_server_is_not_sent_for_ever(clock: Clock) -> None:
    times = attempts(retry(clock, 1e6), clock, absent, begun=True)
    assert len(times) == 3


def test_waiting_is_told_and_can_be_cancelled(clock: Clock) -> None:
    class Cancel:
        def is_set(self) -> bool:
            return clock.now > 102.0

    told: list[str] = []
    retrying = retry(clock, 60.0, cancel=Cancel(), tell=told.append)
    with pytest.raises(CancelledError):
        retrying.wait(busy(10.0), begun=False)
    assert clock.now < 103.0
    assert told == ["All run. Trying again in 11.2 s."]


def test_the_time_left_is_that_of_the_next_attempt(clock: Clock) -> None:
    retrying = retry(clock, 60.0)
    assert retrying.left == 60.0
    clock.now += 61.0
    assert retrying.left == 0.0


class Reader:
    """Gives two batches, once."""

    def __init__(self) -> None:
        self.given = 0

    def get_next(self) -> int | None:
        self.given += 1
        return self.given if self.given <= 2 else None


class Rewinding(Reader):
    """Gives them again after `rewind`."""

    def rewind(self) -> None:
        self.given = 0


@pytest.mark.parametrize(
    ("source", "possible"),
    [
        ([1, 2], True),
        ((1, 2), True),
        (np.array([1, 2]), True),
        (Rewinding(), True),
        (Reader(), False),
        (iter([1, 2]), False),
    ],
)
def test_what_can_be_read_again(source: Any, possible: bool) -> None:
    replay = Replay(source)
    assert replay.again()
    assert next(replay) == 1
    assert replay.again() is possible
    assert list(replay) == ([1, 2] if possible else [2])


def test_readers_that_were_not_asked_lose_nothing() -> None:
    for source in (Reader(), iter([1, 2])):
        replay = Replay(source)  # type: ignore[arg-type]
        assert replay.again()
        assert [*replay] == [1, 2]
