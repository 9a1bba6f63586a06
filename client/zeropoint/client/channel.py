"""The connection to a server: address, credentials, and what gRPC is told about it."""

import ipaddress
import os
from collections.abc import Sequence
from typing import Any

import grpc

from zeropoint.client.errors import OptionError

# A report or a plan is one message, and grows with the number of nodes: about 400 bytes a node.
_MAX_MESSAGE_BYTES = 256 << 20
_LOCAL_SCHEMES = ("unix:", "unix-abstract:")

ChannelOptions = Sequence[tuple[str, Any]]


def open_channel(
    target: str,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    options: ChannelOptions = (),
) -> grpc.Channel:
    """Return a channel to a server; nothing is sent until it is used.

    Args:
        target: Address as gRPC takes it: "host:port", "unix:/path".
        token: Token that will be shown; refused where it would travel unencrypted.
        credentials: TLS credentials; None for a plain connection.
        options: Further channel options of gRPC; they win over the client's own.

    Raises:
        OptionError: a token would travel unencrypted.
    """
    local = is_local(target)
    ours: dict[str, Any] = {"grpc.max_receive_message_length": _MAX_MESSAGE_BYTES}
    if local:
        ours["grpc.enable_http_proxy"] = 0
    merged = list({**ours, **dict(options)}.items())
    if credentials is not None:
        return grpc.secure_channel(target, credentials, options=merged)
    if token is not None and not local:
        message = (
            f"The token would travel to {target} unencrypted; "
            "give TLS credentials (credentials=grpc.ssl_channel_credentials())."
        )
        raise OptionError("OPTION_CONFLICT", message, {"option": "token"})
    return grpc.insecure_channel(target, options=merged)


def metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """Return what is sent with each call to show a token."""
    return () if token is None else (("authorization", f"Bearer {token}"),)


def is_local(target: str) -> bool:
    """Whether an address cannot leave this machine."""
    if target.startswith(_LOCAL_SCHEMES):
        return True
    host = target.removeprefix("dns:///").rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def token_from_environment() -> str | None:
    """Return ZEROPOINT_TOKEN, None where it is not set."""
    return os.environ.get("ZEROPOINT_TOKEN") or None


def server_from_environment() -> str | None:
    """Return ZEROPOINT_SERVER, None where it is not set."""
    return os.environ.get("ZEROPOINT_SERVER") or None
