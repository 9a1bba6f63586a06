"""The connection to a server: address, credentials, and what gRPC is told about it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from zeropoint.client.address import check_address, is_local
from zeropoint.client.errors import OptionError
from zeropoint.client.stub import Stub

# Until then gRPC answers by itself that a server is absent; by default up to two minutes.
_FIRST_RECONNECT_MS, _LAST_RECONNECT_MS = 100, 2000

ChannelOptions = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server listens.

    Attributes:
        target: Address as gRPC takes it: "host:port", "unix:/path".
        token: Token to show; None where none is needed.
        credentials: TLS credentials; None for a plain connection.
    """

    target: str
    token: str | None = None
    credentials: grpc.ChannelCredentials | None = None

    def __post_init__(self) -> None:
        """Refuse to let a token travel unencrypted.

        Raises:
            OptionError: there are no credentials, and the address is not of this machine.
        """
        if self.token is not None and self.credentials is None and not is_local(self.target):
            message = (
                f"The token would travel to {self.target} unencrypted. Give TLS credentials: "
                "credentials=grpc.ssl_channel_credentials(), or --tls on the command line."
            )
            raise OptionError("OPTION_CONFLICT", message, {"option": "token"})


class Connection:
    """A channel to a server and what is sent with each call."""

    def __init__(self, endpoint: Endpoint, options: ChannelOptions = ()) -> None:
        """Prepare a connection; it is made by the first call.

        Args:
            endpoint: The server.
            options: Further channel options of gRPC; they win over the client's own.
        """
        ours: dict[str, Any] = {
            "grpc.initial_reconnect_backoff_ms": _FIRST_RECONNECT_MS,
            "grpc.max_reconnect_backoff_ms": _LAST_RECONNECT_MS,
        }
        if is_local(endpoint.target):
            ours["grpc.enable_http_proxy"] = 0
        merged = list({**ours, **dict(options)}.items())
        self.endpoint = endpoint
        self.metadata = _metadata(endpoint.token)
        self._channel = (
            grpc.insecure_channel(endpoint.target, options=merged)
            if endpoint.credentials is None
            else grpc.secure_channel(endpoint.target, endpoint.credentials, options=merged)
        )
        self.stub = Stub(self._channel)

    @property
    def target(self) -> str:
        """Address of the server."""
        return self.endpoint.target

    def close(self) -> None:
        """Close the channel; calls in progress are cancelled."""
        self._channel.close()


def named_endpoint(
    target: str | None, token: str | None, credentials: grpc.ChannelCredentials | None
) -> Endpoint | None:
    """Return the server that the caller, or else ZEROPOINT_SERVER, names; None if neither does.

    Args:
        target: Address of the server.
        token: Token to show; None: ZEROPOINT_TOKEN.
        credentials: TLS credentials.

    Raises:
        OptionError: the address is none, a token would travel unencrypted, or the caller gives a
            token or credentials and no server.
    """
    target = target or os.environ.get("ZEROPOINT_SERVER")
    if not target:
        for option, given in (("token", token), ("credentials", credentials)):
            if given is not None:
                message = f"{option} is for a server that runs elsewhere: name it with server=."
                raise OptionError("OPTION_CONFLICT", message, {"option": option})
        return None
    check_address(target)
    token = token or os.environ.get("ZEROPOINT_TOKEN") or None
    return Endpoint(target=target, token=token, credentials=credentials)


def _metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    return () if token is None else (("authorization", f"Bearer {token}"),)
