"""Nodes, values, names and origins of an onnx-ir graph, and edits of it."""

from zeropoint.engine.graph.bodies import (
    Path,
    bodies_of,
    iterations,
    observable_from,
    paths,
    repeats,
)
from zeropoint.engine.graph.editor import GraphEditor, set_input, taken_names
from zeropoint.engine.graph.names import NodeName, settle_names, spoken_name
from zeropoint.engine.graph.node_origins import add_origins, kept_by_clones, origins
from zeropoint.engine.graph.simplify import drop_no_ops, merge_output, remove_unused
from zeropoint.engine.graph.values import (
    array_of,
    constant,
    graph_of,
    input_at,
    name_of,
    producer_of,
    rank_of,
    tell_of,
    value_at,
    values_of,
)
