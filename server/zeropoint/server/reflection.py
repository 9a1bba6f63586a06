"""What the server says of its services: reflection, in both versions that clients ask for.

Version 1 is v1alpha under another name, byte for byte; grpcio-reflection has v1alpha only.
"""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

_ALPHA = reflection.SERVICE_NAME
_V1 = _ALPHA.replace("v1alpha", "v1")


class _Descriptors:
    """A pool of all that this process knows, and of version 1."""

    def __init__(self) -> None:
        self._all = descriptor_pool.Default()
        self._v1 = descriptor_pool.DescriptorPool()
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        text = text_format.MessageToString(file).replace("v1alpha", "v1")
        self._v1.Add(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()))

    def FindFileByName(self, name: str) -> Any:  # noqa: N802 - a pool's method
        """Return a file; KeyError where there is none."""
        return self._of(name, "grpc_reflection/v1/").FindFileByName(name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 - a pool's method
        """Return the file of a message, an enum or a service; KeyError where there is none."""
        return self._of(symbol, "grpc.reflection.v1.").FindFileContainingSymbol(symbol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._all, name)

    def _of(self, name: str, prefix: str) -> descriptor_pool.DescriptorPool:
        return self._v1 if name.startswith(prefix) else self._all


def serve_reflection(services: Sequence[str], server: grpc.aio.Server) -> None:
    """Add reflection of these services, and of itself, to a server."""
    servicer = reflection.aio.ReflectionServicer((*services, _V1, _ALPHA), _Descriptors())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
            for name in (_V1, _ALPHA)
        )
    )
