"""How the command line reaches a server."""

from pathlib import Path
from typing import TypedDict

import grpc

from zeropoint.client.errors import OptionError


class Connection(TypedDict):
    """The arguments of the Python API that say how to reach a server."""

    server: str | None
    token: str | None
    credentials: grpc.ChannelCredentials | None


def connection(
    server: str | None,
    token: str | None,
    token_file: Path | None,
    *,
    tls: bool,
    ca_file: Path | None,
) -> Connection:
    """Return the arguments of the Python API for those of the command line.

    Args:
        server: Address; None: a server is started for the job, and the token of the environment,
            which is for others, is left out.
        token: Token to show.
        token_file: File to read the token from instead.
        tls: Whether to connect with TLS.
        ca_file: Certificates to trust, as PEM; None: those of the system.

    Raises:
        OptionError: a file cannot be read, or options of a connection are given and no server.
    """
    if token_file is not None:
        token = _content(token_file, "token_file").decode(errors="replace").strip()
    if server is None:
        for option, given in (("token_file", token_file), ("tls", tls), ("ca_file", ca_file)):
            if given:
                flag = option.replace("_", "-")
                message = f"--{flag} is for a server that runs elsewhere: name it with --server."
                raise OptionError("OPTION_CONFLICT", message, {"option": option})
        return {"server": None, "token": None, "credentials": None}
    credentials = None
    if tls or ca_file is not None:
        trusted = None if ca_file is None else _content(ca_file, "ca_file")
        credentials = grpc.ssl_channel_credentials(trusted)
    return {"server": server, "token": token, "credentials": credentials}


def _content(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"The file {path} cannot be read: {error.strerror or error}."
        raise OptionError("OPTION_INVALID", message, {"option": option}) from error
