"""Loading a model: from the user's file to a graph whose weights stay on disk."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from zeropoint.engine import report
from zeropoint.engine.errors import ModelError, OptionError
from zeropoint.engine.files import WeightFile, make_dense, split_weights, use_stored_tensors
from zeropoint.engine.graph import NodeName, add_origins, spoken_name
from zeropoint.engine.load.declared_shapes import drop_stale_shapes
from zeropoint.engine.load.functions import check_functions
from zeropoint.engine.load.signature import input_ranges, read_signature
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.report import Signature
from zeropoint.engine.samples import InputRange
from zeropoint.engine.shortage import shortage_of

# For models without any operator of the default domain: the first with per-channel scales.
_SMALLEST_USEFUL_OPSET = 13
_RUNNABLE, _WEIGHTS = "model.onnx", "weights.data"  # in the workspace
_TRAINING_LEFT_OUT = report.Warning(
    code=WarningCode.TRAINING_INFO_LEFT_OUT, message="The training graph is left out."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model of the user's, as it is.

    Attributes:
        model: The graph. Every node has a name, unique in the model; tensors of 1 KiB and more are
            external and lie in `weights`.
        source: The user's file.
        runnable: The same model for ONNX Runtime to open: with its weights in `weights`, a session
            costs 1.1 times the weights instead of 2 or 3 times.
        weights: Where the weights are, and where further ones can be put.
        sha256: SHA-256 of the user's file, 32 bytes.
        external: The user's files of external data, in the order in which the model names them.
        model_bytes: Bytes of the user's model, external data included.
        opset: Version of the default operator set.
        signature: Inputs that must be fed, and outputs.
        input_ranges: What those inputs may be, where some have to be made up.
        declared: What the file says of its inputs and outputs, by name: the result says the same.
        nodes: The user's nodes in their order, those of subgraphs after the node that holds them.
        tensors: Names of the inputs and of what the nodes of the main graph compute, and of what
            those of bodies do where no other tensor has the same.
        constants: Names of the initializers of all graphs.
        warnings: What of the file is not taken over.
    """

    model: ir.Model
    source: Path
    runnable: Path
    weights: WeightFile
    sha256: bytes
    external: tuple[Path, ...]
    model_bytes: int
    opset: int
    signature: Signature
    input_ranges: tuple[InputRange, ...]
    declared: Mapping[str, onnx.ValueInfoProto]
    nodes: tuple[NodeName, ...]
    tensors: frozenset[str]
    constants: frozenset[str]
    warnings: tuple[report.Warning, ...]

    def content_sha256(self) -> bytes:
        """Return `sha256`; with external data, the SHA-256 of that and of those of its files."""
        if not self.external:
            return self.sha256
        content = hashlib.sha256(self.sha256)
        for path in self.external:
            content.update(_digest(path))
        return content.digest()


def _refuse_own_folder(path: Path, workspace: Path) -> None:
    """Keep the user's files: those of the job have names that a user's may have, too."""
    taken = [name for name in (_RUNNABLE, _WEIGHTS) if (workspace / name).exists()]
    if taken and path.resolve().parent == workspace.resolve():
        raise OptionError(
            "OPTION_INVALID",
            f"The workspace is the folder of the model and holds {taken[0]}, which would be "
            "overwritten. Give an empty folder.",
            option="workspace",
        )


def load_model(path: Path, workspace: Path, sha256: bytes | None = None) -> LoadedModel:
    """Load a model; the user's files are read only. The workspace takes the job's own files.

    Raises:
        ModelError: MODEL_INVALID, the file is no ONNX model, is damaged, or its external data is;
            MODEL_UNSUPPORTED, the model is sound but outside of what can be taken.
        OptionError: OPTION_INVALID, the workspace is the model's own folder, and files of it would
            be overwritten.
    """
    _refuse_own_folder(path, workspace)
    weights = WeightFile(workspace / _WEIGHTS)
    runnable = workspace / _RUNNABLE
    with ThreadPoolExecutor(1) as pool:
        hashing = pool.submit(_digest, path) if sha256 is None else None
        try:
            external = split_weights(path, runnable, weights)
        finally:
            if hashing is not None:
                sha256 = hashing.result()  # its error tells of a file that cannot be read
    assert sha256 is not None
    proto = _parse(runnable)
    declared = _declarations(proto.graph)
    model = _graph_of(proto, weights)
    check_functions(model)
    return LoadedModel(
        model=model,
        source=path,
        runnable=runnable,
        weights=weights,
        sha256=sha256,
        external=external.files,
        model_bytes=path.stat().st_size + external.size,
        opset=model.opset_imports[""],
        signature=read_signature(model.graph),
        input_ranges=input_ranges(model.graph),
        declared=declared,
        nodes=_settle_names(model),
        tensors=_activations(model),
        constants=frozenset(name for graph in model.graphs() for name in graph.initializers),
        warnings=(_TRAINING_LEFT_OUT,) if proto.training_info else (),
    )


def reload_graph(loaded: LoadedModel) -> ir.Model:
    """Return a fresh `LoadedModel.model`."""
    model = _graph_of(_parse(loaded.runnable), loaded.weights)
    _settle_names(model)
    return model


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        invalid = _invalid(f"{path.name} cannot be read: {error.strerror}.")
        raise shortage_of(error) or invalid from error


def _parse(runnable: Path) -> onnx.ModelProto:
    try:
        proto = onnx.ModelProto.FromString(runnable.read_bytes())
    except Exception as error:
        invalid = _invalid(f"The file is no ONNX model, or is damaged: {error}.")
        raise shortage_of(error) or invalid from error
    if not proto.HasField("graph") or not proto.graph.output:
        raise _invalid("The file is no ONNX model: it has no graph with outputs.")
    drop_stale_shapes(proto, runnable.with_name("shapes.onnx"))
    return proto


def _declarations(graph: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
    found: dict[str, onnx.ValueInfoProto] = {}
    for value in (*graph.input, *graph.output):
        found.setdefault(value.name, onnx.ValueInfoProto()).CopyFrom(value)
    return found


def _activations(model: ir.Model) -> frozenset[str]:
    own = set(_computed(model.graph))
    names = Counter(own)
    for body in model.graph.subgraphs():
        names.update(_computed(body))
    unique = (name for name, count in names.items() if count == 1)
    return frozenset(own.union(unique))


def _computed(graph: ir.Graph) -> Iterator[str]:
    values = (*graph.inputs, *(value for node in graph for value in node.outputs))
    return (value.name for value in values if value.name)


def _graph_of(proto: onnx.ModelProto, weights: WeightFile) -> ir.Model:
    try:
        make_dense(proto, weights)
        _leave_out_maps(proto.graph)
        model = ir.serde.deserialize_model(proto)
    except ModelError:
        raise
    except Exception as error:
        if (shortage := shortage_of(error)) is not None:
            raise shortage from error
        root = _root(error)
        if isinstance(root, NotImplementedError):  # its text asks to contribute to a library
            raise ModelError(
                "MODEL_UNSUPPORTED", "The model holds a type of value that cannot be taken yet."
            ) from error
        raise _invalid(f"The graph cannot be read: {root}.") from error
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        ir.external_data.set_base_dir(graph, weights.path.parent)
    for graph in model.graphs():
        use_stored_tensors(graph)
    _settle_opset(model)
    return model


def _settle_opset(model: ir.Model) -> None:
    """Put the version of the default operator set under its one name, ""."""
    imports = model.opset_imports
    if "ai.onnx" in imports:
        imports[""] = imports.pop("ai.onnx")
    if "" not in imports:
        if any(node.domain == "" for node in model.graph.all_nodes()):
            raise _invalid("The model does not say which opset it uses.")
        imports[""] = _SMALLEST_USEFUL_OPSET


def _settle_names(model: ir.Model) -> tuple[NodeName, ...]:
    """Give each node a unique name and its origin; return the names that the user knows."""
    nodes = list(model.graph.all_nodes())
    spoken = tuple(NodeName(spoken_name(node), node.op_type) for node in nodes)
    taken = {name.name for name in spoken}
    copies: Counter[str] = Counter()
    for node, (name, _) in zip(nodes, spoken, strict=True):
        add_origins(node, (name,))
        node.name = name
        while copies[name] and node.name in taken:
            copies[name] += 1
            node.name = f"{name}#{copies[name]}"
        taken.add(node.name)
        copies[name] += not copies[name]
    return spoken


def _root(error: BaseException) -> BaseException:
    """Return what an error goes back to: what is around it says where in the graph, at length."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _invalid(message: str) -> ModelError:
    return ModelError("MODEL_INVALID", message)


def _leave_out_maps(graph: onnx.GraphProto) -> None:
    """Leave the types out that hold a map, in place: the graph knows none, ONNX Runtime finds them.

    Operators of ai.onnx.ml make maps of class probabilities.

    Raises:
        ModelError: MODEL_UNSUPPORTED, an input is a map.
    """
    for value in graph.input:
        if _holds_map(value.type):
            raise ModelError(
                "MODEL_UNSUPPORTED",
                f"Input {value.name!r} of the model is a map; only tensors can be fed.",
                input=value.name,
            )
    for value in (*graph.output, *graph.value_info):
        if _holds_map(value.type):
            value.ClearField("type")
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                _leave_out_maps(body)


def _holds_map(kind: onnx.TypeProto) -> bool:
    if kind.HasField("sequence_type"):
        return _holds_map(kind.sequence_type.elem_type)
    if kind.HasField("optional_type"):
        return _holds_map(kind.optional_type.elem_type)
    return kind.HasField("map_type")
