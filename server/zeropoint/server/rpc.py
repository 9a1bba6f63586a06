"""The RPCs of the service as gRPC knows them: names, shapes, and how messages become bytes."""

import grpc

from zeropoint import v1
from zeropoint.server.servicer import QuantizationServicer
from zeropoint.v1.chunks import ChunkCodec

SERVICE = "zeropoint.v1.QuantizationService"
"""Full name of the service."""


def handlers(servicer: QuantizationServicer) -> grpc.GenericRpcHandler:
    """Return the handlers of every RPC; they are those of the stubs, but for chunks."""
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "QuantizeStatic": grpc.stream_stream_rpc_method_handler(
                servicer.QuantizeStatic,
                request_deserializer=ChunkCodec(v1.QuantizeStaticRequest).decode,
                response_serializer=ChunkCodec(v1.QuantizeStaticResponse).encode,
            ),
            "QuantizeDynamic": grpc.stream_stream_rpc_method_handler(
                servicer.QuantizeDynamic,
                request_deserializer=ChunkCodec(v1.QuantizeDynamicRequest).decode,
                response_serializer=ChunkCodec(v1.QuantizeDynamicResponse).encode,
            ),
            "QuantizeQat": grpc.stream_stream_rpc_method_handler(
                servicer.QuantizeQat,
                request_deserializer=ChunkCodec(v1.QuantizeQatRequest).decode,
                response_serializer=ChunkCodec(v1.QuantizeQatResponse).encode,
            ),
            "Inspect": grpc.stream_unary_rpc_method_handler(
                servicer.Inspect,
                request_deserializer=ChunkCodec(v1.InspectRequest).decode,
                response_serializer=v1.InspectResponse.SerializeToString,
            ),
            "GetServerInfo": grpc.unary_unary_rpc_method_handler(
                servicer.GetServerInfo,
                request_deserializer=v1.GetServerInfoRequest.FromString,
                response_serializer=v1.GetServerInfoResponse.SerializeToString,
            ),
        },
    )
