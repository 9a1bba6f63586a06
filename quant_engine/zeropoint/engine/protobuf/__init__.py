"""Graphs as protobuf messages: where tens of thousands of nodes must be handled fast."""

from zeropoint.engine.protobuf.carry_out import body_infos, has_bodies, surface
from zeropoint.engine.protobuf.graphs import (
    all_nodes,
    drop_unneeded,
    graphs,
    inferred,
    reads,
    subgraphs,
)
