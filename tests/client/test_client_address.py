"""Addresses: what gRPC would take for something else is refused, with what to write."""

import pytest

from zeropoint.client import OptionError, QuantizationClient, inspect
from zeropoint.client.address import check_address, is_local


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "localhost:1",
        "quant.example:65535",
        "quant-1.example.:50051",
        "[::1]:50051",
        "[fe80::1%eth0]:50051",
        "unix:/run/zeropoint.sock",
        "unix:///run/zeropoint.sock",
        "unix-abstract:zeropoint",
        "dns:///quant.example:50051",
        "dns:quant.example:50051",
        "ipv4:10.0.0.1:50051",
        "ipv6:[::1]:50051",
    ],
)
def test_addresses(target: str) -> None:
    check_address(target)


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("127.0.0.1", "names no port; write 127.0.0.1:50051"),
        ("quant.example", "names no port; write quant.example:50051"),
        ("quant.example:", "names no port; write quant.example:50051"),
        ("dns:///quant.example", "names no port"),
        ("::1", r"brackets; write \[::1\]:50051"),
        ("fe80::1:50051", r"brackets; write \[fe80::1:50051\]"),
        ("[::1]", "names no port"),
        ("http://quant.example", "a web page; write quant.example:50051"),
        ("https://quant.example:443/v1", "a web page; write quant.example:443"),
        ("quant.example:http", "port 'http'; a port is a number"),
        ("quant.example:0", "a port is a number from 1"),
        ("quant.example:99999", "a number from 1 to 65535"),
        ("quant example:50051", "has blanks in it; write host:port"),
        (":50051", "names no port"),
    ],
)
def test_what_is_no_address_is_refused_with_advice(target: str, advice: str) -> None:
    with pytest.raises(OptionError, match=advice) as caught:
        QuantizationClient(target)
    assert caught.value.metadata["option"] == "server"
    assert caught.value.metadata["value"] == target


def test_the_environment_is_checked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROPOINT_SERVER", "127.0.0.1")
    with pytest.raises(OptionError, match="names no port"):
        inspect(b"")


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("unix:/s", True),
        ("127.0.0.1:1", True),
        ("127.8.0.1:1", True),
        ("[::1]:1", True),
        ("dns:///localhost:1", True),
        ("ipv4:127.0.0.1:1", True),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
        ("dns:///quant.example:1", False),
    ],
)
def test_what_cannot_leave_this_machine(target: str, local: bool) -> None:
    assert is_local(target) is local
