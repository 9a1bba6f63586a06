"""What every step of a rewrite is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, name_of
from zeropoint.engine.options import QdqOptions
from zeropoint.engine.plan import Parameters, QuantPlan


@dataclass(frozen=True, slots=True)
class Work:
    """A prepared model, on its way to what a plan says in the form that is asked for.

    Attributes:
        nodes: The nodes of the float model, by name.
    """

    edit: GraphEditor
    plan: QuantPlan
    parameters: Parameters
    form: QdqOptions
    nodes: Mapping[str, ir.Node]

    @classmethod
    def on(
        cls,
        edit: GraphEditor,
        plan: QuantPlan,
        parameters: Parameters,
        form: QdqOptions | None = None,
    ) -> Self:
        """Begin on a model of which nothing is quantized yet."""
        nodes = {name_of(node): node for node in edit.graph.all_nodes()}
        return cls(edit, plan, parameters, form or QdqOptions(), nodes)


Step = Callable[[Work], None]
"""Changes the model in place."""
