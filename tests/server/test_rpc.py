"""What gRPC is told of the service, by hand, is what the contract says."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from zeropoint import v1
from zeropoint.server.rpc import SERVICE, handlers

CONTRACT: Any = v1.GetServerInfoRequest.DESCRIPTOR.file.services_by_name["QuantizationService"]


def test_the_service_has_the_name_of_the_contract() -> None:
    assert CONTRACT.full_name == SERVICE


@pytest.mark.parametrize("method", list(CONTRACT.methods), ids=lambda method: method.name)
def test_every_rpc_has_a_handler_of_its_shape_and_messages(method: Any) -> None:
    servicer = SimpleNamespace(**dict.fromkeys((one.name for one in CONTRACT.methods), None))
    details = SimpleNamespace(method=f"/{SERVICE}/{method.name}", invocation_metadata=())
    handler = handlers(cast("Any", servicer)).service(cast("Any", details))
    assert handler is not None
    assert handler.request_streaming == method.client_streaming
    assert handler.response_streaming == method.server_streaming
    request = getattr(v1, method.input_type.name)()
    response = getattr(v1, method.output_type.name)()
    assert handler.request_deserializer is not None
    assert handler.response_serializer is not None
    assert handler.request_deserializer(request.SerializeToString()) == request
    assert handler.response_serializer(response) == response.SerializeToString()
