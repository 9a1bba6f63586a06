"""How a job fails: one exception for the server's own reasons, one value that is told to clients.

Nothing here knows gRPC; `errors` has the catalog of reasons and makes statuses of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self


class JobError(Exception):
    """Ends a job for a reason of the catalog in `errors`.

    Attributes:
        reason: Machine-readable, UPPER_SNAKE.
        message: For the client's people; never a path of the server or the text of a bug.
        metadata: The variable parts of the message, by lowerCamelCase name.
        retry_seconds: When to try again, where that is known better than the catalog does.
    """

    def __init__(self, reason: str, message: str, /, **metadata: object) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retry_seconds: float | None = None
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}

    def after(self, seconds: float) -> Self:
        """Return the same failure, with a delay that is known better than the catalog's."""
        self.retry_seconds = seconds
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a client is told about a job that failed.

    Attributes:
        reason: Machine-readable, UPPER_SNAKE.
        message: For people.
        metadata: The variable parts of the message, by lowerCamelCase name.
        retry_seconds: When the same call may succeed; None: it will not.
    """

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_seconds: float | None = None


def shutting_down() -> JobError:
    """Return the failure of a job that the server cannot begin or end any more."""
    return JobError(
        "SERVER_SHUTTING_DOWN", "The server is shutting down; try again, or try another one."
    )
