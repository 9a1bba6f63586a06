"""The client of a job, as the job sees it."""

from typing import Protocol

from zeropoint.server.messages import Request, Response
from zeropoint.server.patience import Patience


class Link(Protocol):
    """A client that talks and listens.

    Attributes:
        job: Name of its job, which it is told.
        patience: How long it may be waited for.
    """

    job: str
    patience: Patience

    async def receive(self) -> Request | None:
        """Return what the client says next, heartbeats left out; None when it is done.

        Raises:
            JobError: CLIENT_IDLE, CLIENT_NO_PROGRESS, or PROTOCOL_VIOLATION for what cannot be
                understood.
        """

    async def send(self, message: Response) -> None:
        """Tell the client.

        Raises:
            JobError: CLIENT_STALLED.
        """
