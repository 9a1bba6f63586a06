"""The fastest plain thing to compare with: a grpc.aio stream of chunks that nobody looks at.

`python -m benchmarks.bare_stream` serves it on a loopback port until its standard input ends.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import grpc.aio
from google.protobuf.wrappers_pb2 import BytesValue

CHUNK_BYTES = 1 << 20
"""As large as a chunk of Zeropoint's protocol."""

_SERVICE, _METHOD = "benchmarks.Bare", "Stream"


async def send(address: str, payload: bytes, times: int) -> None:
    """Send `payload` so often, in chunks, and wait until all has arrived.

    Args:
        address: Where `bare_stream` serves.
        payload: What is sent.
        times: How often.
    """

    async def chunks() -> AsyncIterator[BytesValue]:
        for _ in range(times):
            for start in range(0, len(payload), CHUNK_BYTES):
                yield BytesValue(value=payload[start : start + CHUNK_BYTES])

    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_unary(
            f"/{_SERVICE}/{_METHOD}",
            request_serializer=BytesValue.SerializeToString,
            response_deserializer=BytesValue.FromString,
        )
        answer = await call(chunks())
    received = int.from_bytes(answer.value, "little")
    if received != len(payload) * times:
        raise RuntimeError(f"{received} bytes arrived of {len(payload) * times}")


async def _receive(requests: AsyncIterator[BytesValue], _context: object) -> BytesValue:
    received = 0
    async for chunk in requests:
        received += len(chunk.value)
    return BytesValue(value=received.to_bytes(8, "little"))


async def _serve() -> None:
    server = grpc.aio.server()
    handler = grpc.stream_unary_rpc_method_handler(
        _receive,
        request_deserializer=BytesValue.FromString,
        response_serializer=BytesValue.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(_serve())
