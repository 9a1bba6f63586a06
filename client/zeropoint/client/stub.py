"""The calls of the service: requests go as bytes, and chunks come as views."""

from typing import Any

import grpc

from zeropoint import v1
from zeropoint.v1.chunks import ChunkCodec

_SERVICE = "/zeropoint.v1.QuantizationService"


class Stub:
    """The RPCs of `v1.QuantizationServiceStub`.

    Attributes:
        server_info: `GetServerInfoRequest` to `GetServerInfoResponse`.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        """Make the calls of a channel."""
        self._channel = channel
        self.server_info = v1.QuantizationServiceStub(channel).GetServerInfo

    def job(self, rpc: str) -> Any:
        """Return the call of this name: `JobRequest`s, encoded already, to `JobResponse`s."""
        decode = ChunkCodec(v1.JobResponse).decode
        return self._channel.stream_stream(f"{_SERVICE}/{rpc}", response_deserializer=decode)
