"""Everything that comes before data: load, prepare, plan."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from zeropoint.engine.errors import NothingToQuantize
from zeropoint.engine.files import INLINE_BYTES
from zeropoint.engine.graph import name_of
from zeropoint.engine.load import LoadedModel, load_model, refuse_foreign, reload_graph
from zeropoint.engine.operators import Trait, has, is_layer
from zeropoint.engine.options import DynamicOptions, Options, PostTrainingOptions, StaticOptions
from zeropoint.engine.plan.advice import advice
from zeropoint.engine.plan.bodies import Bodies
from zeropoint.engine.plan.check_overrides import check_overrides
from zeropoint.engine.plan.describe import describe_plan
from zeropoint.engine.plan.node_changes import NodeChanges
from zeropoint.engine.plan.parameters import Parameters
from zeropoint.engine.plan.planner import make_dynamic_plan, make_plan
from zeropoint.engine.plan.quant_plan import QuantPlan
from zeropoint.engine.plan.stored_weights import unfold_weights
from zeropoint.engine.prepare import PreparedModel, normalize_gemms, prepare_model
from zeropoint.engine.reasons import Reason, WarningCode
from zeropoint.engine.report import Inspection, PlanReport, Warning
from zeropoint.engine.runtime import collector_paused
from zeropoint.engine.settings import OBSERVE_BYTES

_CHANNELS_SINCE = 13  # the axis of DequantizeLinear
_OPTIMIZED = ("com.microsoft", "com.microsoft.nchwc")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A model as it was loaded and prepared, what was asked for, and the plan.

    Attributes:
        bodies: What can be quantized in bodies of If, Loop and Scan.
        parameters: Those that are known before data: what was learned.
    """

    loaded: LoadedModel
    prepared: PreparedModel
    bodies: Bodies
    plan: QuantPlan
    options: Options
    parameters: Parameters | None = None

    @property
    def graph(self) -> ir.Graph:
        """The prepared graph."""
        return self.prepared.model.graph

    def describe(self, parameters: Parameters | None = None) -> PlanReport:
        """Return the plan in the user's own terms, with parameters where they are known."""
        known = parameters or self.parameters
        told = describe_plan(self.loaded, self.prepared, self.plan, self.options, known)
        return replace(told, warnings=(*told.warnings, *self._warnings()))

    def inspection(self, options: Options) -> Inspection:
        """Return what is known before data, of a job with these options."""
        return Inspection(
            options=options.settled(),
            signature=self.loaded.signature,
            plan=self.describe(),
            opset=self.loaded.opset,
            model_bytes=self.loaded.model_bytes,
        )

    def user_name(self, node: ir.Node) -> str:
        """Return the user's name of a prepared node."""
        origins = self.prepared.origins(node)
        return origins[0] if origins else name_of(node)

    def replanned(self, options: StaticOptions) -> "PlannedModel":
        """Return the same model with the plan for other options.

        Raises:
            OptionError: an option names what the model does not have.
        """
        plan = make_plan(self.prepared, options, self.loaded.nodes, self.bodies)
        return replace(self, plan=plan, options=options)

    def changed(self, options: PostTrainingOptions, changes: NodeChanges) -> "PlannedModel":
        """Return the same model with a plan that is otherwise for single nodes.

        Where that needs what the opset lacks, operators of com.microsoft are used.
        """
        nodes, bodies, prepared = self.loaded.nodes, self.bodies, self.prepared
        if isinstance(options, StaticOptions):
            plan = make_plan(prepared, options, nodes, bodies, changes)
            prepared = _able_to_hold(plan, prepared)
        else:
            plan = make_dynamic_plan(prepared, options, nodes, bodies, changes)
        return replace(self, plan=plan, prepared=prepared)

    def on(self, model: ir.Model, options: StaticOptions) -> "PlannedModel":
        """Return a copy of the prepared model, whose constants are others, with its plan."""
        prepared = replace(self.prepared, model=model)
        bodies = self.bodies.of(model, prepared.opset)
        plan = make_plan(prepared, options, self.loaded.nodes, bodies)
        prepared = _able_to_hold(plan, prepared)
        return replace(self, prepared=prepared, bodies=bodies, plan=plan)

    def require_nodes(self) -> None:
        """Refuse a plan that would return the model as it is.

        Raises:
            NothingToQuantize: no node is quantized.
        """
        if self.plan.nodes:
            return
        reasons = Counter(why.message for why in self.plan.kept.values())
        listed = "; ".join(f"{count} nodes: {text}" for text, count in reasons.most_common(4))
        raise NothingToQuantize(
            "NOTHING_TO_QUANTIZE",
            f"no node of this model can be quantized ({listed or 'it has no nodes'}). "
            f"{self._advice()}".rstrip(),
            nodes=len(self.plan.kept),
        )

    def _advice(self) -> str:
        if self._already():
            return (
                "The model is quantized already, or was trained with fake quantization. "
                "quantize_qat keeps what was learned, to the last bit, stores its weights as "
                "integers and brings it into the form that gets integer kernels."
            )
        if fused := self._fused():
            return fused
        kept = self.plan.kept
        layers = [name_of(node) for node in self.graph.all_nodes() if is_layer(node)]
        named = [kept[name] for name in layers if name in kept] or kept.values()
        return advice(named, dynamic=isinstance(self.options, DynamicOptions))

    def _fused(self) -> str:
        """Say that a model was optimized already; empty where it was not."""
        found = {node.domain for node in self.graph.all_nodes()}
        domains = sorted(found.intersection(_OPTIMIZED))
        if not domains:
            return ""
        return (
            f"The model holds operators of {', '.join(domains)}: it may have been optimized for "
            "ONNX Runtime already, which hides what can be quantized. Quantize the model from "
            "before that."
        )

    def _already(self) -> list[ir.Node]:
        """Return the nodes, other than conversions, that are kept as quantized already."""
        kept = self.plan.kept
        nodes = ((kept.get(name_of(node)), node) for node in self.graph.all_nodes())
        return [
            node
            for why, node in nodes
            if why is not None
            and why.reason is Reason.ALREADY_QUANTIZED
            and not has(node, Trait.CONVERTS)
        ]

    def _weight_only(self, nodes: Mapping[str, ir.Node]) -> Iterator[Warning]:
        """Tell of which nodes only the weight becomes integers: a warning for each reason."""
        found: dict[str, list[str]] = {}
        for name, why in self.plan.weight_only.items():
            found.setdefault(why.reason, []).append(name)
        for reason, names in found.items():
            message = self.plan.weight_only[names[0]].message
            yield Warning(
                code=f"{WarningCode.WEIGHT_ONLY}_{reason}",
                message=f"{len(names)} nodes compute in float with weights that are stored as "
                f"integers; the first: {message}.",
                nodes=tuple(self.user_name(nodes[name]) for name in names),
            )

    def _warnings(self) -> Iterator[Warning]:
        if fused := self._fused():
            yield Warning(code=WarningCode.ALREADY_OPTIMIZED, message=fused)
        if kept := self._already():
            yield Warning(
                code=WarningCode.ALREADY_QUANTIZED,
                message=f"The model is quantized in part: {len(kept)} nodes are kept as they are "
                "because they work on integers, or what they read or give is quantized already. "
                "If that was learned in training, quantize_qat makes the most of it.",
                nodes=tuple(map(self.user_name, kept)),
            )
        nodes = {name_of(node): node for node in self.graph.all_nodes()}
        yield from self._weight_only(nodes)
        if twice := twice_stored(nodes, self.plan):
            size = sum(tensor.nbytes for value in twice if (tensor := value.const_value))
            readers = (node for floats in twice.values() for node in floats)
            yield Warning(
                code=WarningCode.WEIGHTS_STORED_TWICE,
                message=f"{len(twice)} weights of {size} bytes are stored as floats and as "
                "integers, because nodes that stay float read them, too. Where size matters, "
                "leave out with nodes_to_exclude what shares a weight with these.",
                nodes=tuple(dict.fromkeys(map(self.user_name, readers))),
            )
        computed = (nodes[name] for name in self.plan.nodes if name not in self.plan.weight_only)
        slow = [node for node in computed if has(node, Trait.CONVOLVES)]
        if slow and isinstance(self.options, DynamicOptions):
            yield Warning(
                code=WarningCode.DYNAMIC_CONV_SLOW,
                message="ONNX Runtime's ConvInteger is no faster than a float Conv, and two to "
                "three times slower with many groups. Where speed matters more than size, use "
                "static quantization, or op_types_to_quantize=['MatMul', 'Gemm'].",
                nodes=tuple(map(self.user_name, slow)),
            )


def plan_model(
    path: Path,
    options: PostTrainingOptions,
    workspace: Path,
    *,
    sha256: bytes | None = None,
    observe_bytes: int = OBSERVE_BYTES,
) -> PlannedModel:
    """Load, prepare and plan.

    Args:
        path: The ONNX file; its external data lies beside it. Nothing beside it is changed.
        options: What is asked for.
        workspace: An empty folder; the caller removes it.
        sha256: That of the file, where it is known.
        observe_bytes: Budget for the activations held at once while observing.

    Raises:
        ModelError: the model cannot be read, converted or run, or is fake-quantized with operators
            of other domains.
        OptionError: an option names what the model does not have.
    """
    with collector_paused():
        loaded = load_model(path, workspace, sha256)
        refuse_foreign(loaded.model)
        planned = _planned(loaded, options, _min_opset(options), workspace, observe_bytes)
        old = isinstance(options, StaticOptions) and planned.prepared.opset < _CHANNELS_SINCE
        if old and _has_channels(planned.plan):
            again = replace(loaded, model=reload_graph(loaded))
            planned = _planned(again, options, _CHANNELS_SINCE, workspace, observe_bytes)
        known = loaded.tensors | loaded.constants
        check_overrides(planned.graph, planned.plan, options, known)
    return planned


def _planned(
    loaded: LoadedModel,
    options: PostTrainingOptions,
    min_opset: int,
    workspace: Path,
    observe_bytes: int,
) -> PlannedModel:
    prepared = prepare_model(loaded, min_opset=min_opset, workspace=workspace)
    data = options.activation_type.number if isinstance(options, StaticOptions) else None
    stored = unfold_weights(prepared.model, loaded.weights, data)
    prepared = replace(prepared, stored=stored)
    if isinstance(options, StaticOptions):
        normalize_gemms(prepared.model)
        bodies = Bodies(prepared.model, prepared.opset, observe_bytes)
        plan = make_plan(prepared, options, loaded.nodes, bodies)
    else:
        bodies = Bodies(prepared.model, prepared.opset, None)
        plan = make_dynamic_plan(prepared, options, loaded.nodes, bodies)
    return PlannedModel(loaded=loaded, prepared=prepared, bodies=bodies, plan=plan, options=options)


def _able_to_hold(plan: QuantPlan, prepared: PreparedModel) -> PreparedModel:
    """Return a prepared model that is written with other operators where its opset lacks them."""
    lacks = prepared.opset < _CHANNELS_SINCE and _has_channels(plan)
    return replace(prepared, contrib_qdq=prepared.contrib_qdq or lacks)


def _has_channels(plan: QuantPlan) -> bool:
    """Whether pairs around weights have scales for channels; what is stored needs no pairs."""
    weights = (quant.weight for quant in plan.nodes.values())
    return any(weight is not None and weight.axis is not None for weight in weights)


def _min_opset(options: PostTrainingOptions) -> int:
    """Return the lowest opset that the result can be written in."""
    if isinstance(options, DynamicOptions):
        return 11  # DynamicQuantizeLinear
    channels = any(one.axis is not None for one in options.tensor_quant_overrides)
    return _CHANNELS_SINCE if options.weight.per_channel or channels else 10  # QuantizeLinear


def twice_stored(
    nodes: Mapping[str, ir.Node], plan: QuantPlan
) -> Mapping[ir.Value, tuple[ir.Node, ...]]:
    """Return the larger weights that a result needs as integers and as floats.

    Each with the nodes that read it as floats.
    """
    taken = {
        (nodes[where.node], where.index)
        for quant in plan.nodes.values()
        for where in quant.constants
    }
    taken |= {(nodes[quant.node], index) for quant in plan.nodes.values() for index in quant.inputs}
    stored = {where.key for quant in plan.nodes.values() for where in quant.constants if where.kept}
    taken -= {(nodes[node], index) for node, index in stored}
    found: dict[ir.Value, tuple[ir.Node, ...]] = {}
    for node, index in taken:
        value = node.inputs[index]
        if value is None or value.const_value is None or value.const_value.nbytes < INLINE_BYTES:
            continue
        uses = ((use.node, use.idx) for use in value.uses())
        floats = tuple(use[0] for use in uses if use not in taken)
        if floats:
            found[value] = floats
    return found
