"""Addresses of servers, as users write them and gRPC takes them."""

import ipaddress
import re

from zeropoint.client.errors import OptionError

_PORT = 50051  # named in advice only
_LOCAL_SCHEMES = ("unix:", "unix-abstract:")
_RESOLVERS = ("dns:", "ipv4:", "ipv6:")  # of gRPC, in front of a host and a port
_WEB = re.compile(r"^(https?|grpcs?|tcp)://([^/]*)", re.IGNORECASE)
_HOST_PORT = re.compile(r"^(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^:/\[\]\s]+):(?P<port>\d{1,5})$")


def is_local(target: str) -> bool:
    """Whether an address cannot leave this machine."""
    if target.startswith(_LOCAL_SCHEMES):
        return True
    host = _without_resolver(target).rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(target: str) -> None:
    """Refuse what gRPC would take for something else: without a port it tries 443.

    Raises:
        OptionError: it is neither "host:port" nor a Unix socket; the message says what to write.
    """
    if target.startswith(_LOCAL_SCHEMES):
        return
    plain = _without_resolver(target)
    match = _HOST_PORT.match(plain)
    if match is not None and 0 < int(match["port"]) < 1 << 16:
        return
    message = f"The server's address {target!r} {_fault(plain)}"
    raise OptionError("OPTION_INVALID", message, {"option": "server", "value": target})


def _without_resolver(target: str) -> str:
    for scheme in _RESOLVERS:
        if target.startswith(scheme):
            return target.removeprefix(scheme).rpartition("/")[2]
    return target


def _fault(target: str) -> str:
    """Return what is wrong with an address, and what to write instead."""
    web = _WEB.match(target)
    if web is not None:
        host = web[2] if _HOST_PORT.match(web[2]) else f"{web[2] or 'host'}:{_PORT}"
        return f"is that of a web page; write {host}."
    if target.count(":") > 1 and not target.startswith("["):
        return f"is an IPv6 address, which goes into brackets; write [{target}]:{_PORT}."
    host, colon, port = target.rpartition(":")
    if any(sign.isspace() for sign in target):
        return "has blanks in it; write host:port."
    if colon and host and port and not target.endswith("]"):
        return f"has the port {port!r}; a port is a number from 1 to 65535."
    return f"names no port; write {target.rstrip(':') or 'host'}:{_PORT}, or what it listens on."
