"""The RPCs of the service as gRPC knows them: names, shapes, and how messages become bytes."""

from typing import Any

import grpc

from zeropoint import v1
from zeropoint.server.malformed import tolerant
from zeropoint.server.servicer import QuantizationServicer
from zeropoint.v1.chunks import ChunkCodec

SERVICE = "zeropoint.v1.QuantizationService"
"""Full name of the service."""

_JOBS = ("QuantizeStatic", "QuantizeDynamic", "QuantizeQat", "Inspect")


def handlers(servicer: QuantizationServicer) -> grpc.GenericRpcHandler:
    """Return the handlers of every RPC; they are those of the stubs, but for chunks."""
    by_name: dict[str, Any] = {
        name: grpc.stream_stream_rpc_method_handler(
            getattr(servicer, name),
            request_deserializer=tolerant(ChunkCodec(v1.JobRequest).decode),
            response_serializer=ChunkCodec(v1.JobResponse).encode,
        )
        for name in _JOBS
    }
    by_name["GetServerInfo"] = grpc.unary_unary_rpc_method_handler(
        servicer.GetServerInfo,
        request_deserializer=tolerant(v1.GetServerInfoRequest.FromString),
        response_serializer=v1.GetServerInfoResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, by_name)
