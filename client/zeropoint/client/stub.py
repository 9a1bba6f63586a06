"""The calls of the service: requests go as bytes, and chunks come as views."""

from typing import Any

import grpc

from zeropoint import v1
from zeropoint.v1.chunks import ChunkCodec

_SERVICE = "/zeropoint.v1.QuantizationService"


class Stub:
    """The RPCs of `v1.QuantizationServiceStub`; streams take requests that are encoded already.

    Attributes:
        quantize_static: Stream of `QuantizeStaticRequest` to stream of `QuantizeStaticResponse`.
        quantize_dynamic: The same for dynamic quantization.
        quantize_qat: The same for models trained with fake quantization.
        inspect: Stream of `InspectRequest` to one `InspectResponse`.
        server_info: `GetServerInfoRequest` to `GetServerInfoResponse`.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        """Make the calls of a channel."""
        self.quantize_static: Any = channel.stream_stream(
            f"{_SERVICE}/QuantizeStatic",
            response_deserializer=ChunkCodec(v1.QuantizeStaticResponse).decode,
        )
        self.quantize_dynamic: Any = channel.stream_stream(
            f"{_SERVICE}/QuantizeDynamic",
            response_deserializer=ChunkCodec(v1.QuantizeDynamicResponse).decode,
        )
        self.quantize_qat: Any = channel.stream_stream(
            f"{_SERVICE}/QuantizeQat",
            response_deserializer=ChunkCodec(v1.QuantizeQatResponse).decode,
        )
        self.inspect: Any = channel.stream_unary(
            f"{_SERVICE}/Inspect", response_deserializer=v1.InspectResponse.FromString
        )
        self.server_info = v1.QuantizationServiceStub(channel).GetServerInfo
