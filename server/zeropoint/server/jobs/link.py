"""The client of a job, as the job sees it."""

from typing import Protocol

from zeropoint.server.messages import Request, Response


class Link(Protocol):
    """A client that talks and listens.

    Attributes:
        job: Name of its job, which it is told.
    """

    job: str

    async def receive(self) -> Request | None:
        """Return what the client says next, heartbeats left out; None when it is done.

        Raises:
            JobError: CLIENT_IDLE, or PROTOCOL_VIOLATION for what cannot be understood.
        """

    async def send(self, message: Response) -> None:
        """Tell the client.

        Raises:
            JobError: CLIENT_STALLED.
        """
