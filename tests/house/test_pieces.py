"""Long messages in pieces that fit gRPC's default limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_service import report as wire_report

from zeropoint import v1
from zeropoint.v1.pieces import pieces


@given(st.lists(st.text(max_size=40), max_size=40), st.integers(400, 2000))
def test_pieces_give_the_message_again(words: list[str], size: int) -> None:
    message = wire_report()
    for word in words:
        message.plan.nodes.add(name=word, op_type="Conv")
        message.warnings.add(code="W", message=word)
        message.static_options.selection.nodes_to_exclude.append(word)
    whole = v1.Report()
    for piece in pieces(message, size):
        whole.MergeFromString(piece.SerializeToString())
    assert whole.plan == message.plan
    assert whole.static_options == message.static_options
    assert [one.message for one in message.warnings] == [one.message for one in whole.warnings]


@pytest.mark.parametrize("size", [1 << 14, 1 << 20])
def test_pieces_are_as_large_as_they_may_be(size: int) -> None:
    nodes = [v1.NodePlan(name=f"n{number}" * 9, op_type="Conv") for number in range(20_000)]
    sizes = [piece.ByteSize() for piece in pieces(v1.Plan(nodes=nodes, opset=17), size)]
    assert max(sizes) <= size + 32
    assert sum(sizes) / (len(sizes) - 1) > 0.9 * size


def test_a_warning_that_names_very_many_nodes_comes_as_several() -> None:
    names = [f"node {number}" for number in range(300_000)]
    message = v1.Plan(warnings=[v1.Warning(code="C", message="m", nodes=names)])
    whole = v1.Plan()
    for piece in pieces(message):
        assert piece.ByteSize() < 4 << 20
        whole.MergeFrom(piece)
    assert {(one.code, one.message) for one in whole.warnings} == {("C", "m")}
    assert [name for one in whole.warnings for name in one.nodes] == names
