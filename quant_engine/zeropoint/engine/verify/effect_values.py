"""What is asked about nodes that are quantized alone, and what is answered: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneNode:
    """A quantized node, and what it would give if nothing else were quantized.

    Of a node in a body, that is what the outermost node around it gives.

    Attributes:
        node: Its name in the model.
        name: The user's name of it.
        op_type: Its operator.
        tensor: Name of what it gives, float.
        quantized: Name of the same of its twin.
        others: What else it gives, and what its twin gives instead, by names.
        weights: Name of the same with only constants quantized; empty where none are.
        activations: Name of the same with only the rest quantized; empty where nothing is.
    """

    node: str
    name: str
    op_type: str
    tensor: str
    quantized: str
    others: Mapping[str, str] = field(default_factory=dict)
    weights: str = ""
    activations: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneModel:
    """A float model on disk with twins of its quantized nodes, whose results nothing reads.

    Attributes:
        path: The ONNX file; its outputs are those of the user's model.
        nodes: Its twins, in graph order.
    """

    path: Path
    nodes: tuple[AloneNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectsRequest:
    """What is to be measured.

    Attributes:
        model: The model with twins.
        samples: Samples at most; None: as many as the arithmetic of the model allows, 16 at most.
        most: Nodes at most, those with the worst results of their own first; None: all.
        seconds: No node is begun later than so many seconds after the first; None: no end. Where
            that leaves nodes or samples out, the answer says so.
        parts: For so many nodes, the worst, weights and activations are told apart.
        cache_bytes: Budget for activations held between runs.
    """

    model: AloneModel
    samples: int | None = None
    most: int | None = None
    seconds: float | None = None
    parts: int = 8
    cache_bytes: int = _CACHE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputNoise:
    """What one node does to one output.

    Attributes:
        name: Of the output.
        noise: Power of the error beside that of the output, both in front of what saturates, over
            all samples; of outputs that are no floats the share of values that change.
        median_db: SQNR of the median sample in dB.
    """

    name: str
    noise: float
    median_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What quantizing one node alone does.

    Attributes:
        node: Its name in the model.
        name: The user's name of it.
        op_type: Its operator.
        outputs: What it does to each output of the model that its results reach.
        own_db: SQNR of its own result in dB, or of what the outermost node around it gives.
        weights_db: The same with only its weights quantized; None where that was not measured.
        activations_db: The same with only what it reads and gives quantized.
        share: Its share of the multiply-accumulates of all layers, 0..1; None where it is no layer.
    """

    node: str
    name: str
    op_type: str
    outputs: tuple[OutputNoise, ...]
    own_db: float
    weights_db: float | None = None
    activations_db: float | None = None
    share: float | None = None

    @property
    def noise(self) -> float:
        """That at the output where it does most."""
        return max((output.noise for output in self.outputs), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What was measured of all nodes.

    Attributes:
        nodes: Worst first.
        samples: On how many samples.
        not_measured: Names, in the model, of nodes that were left out.
        late: Whether nodes or samples were left out for time: then another run may differ.
    """

    nodes: tuple[Effect, ...]
    samples: int
    not_measured: tuple[str, ...] = ()
    late: bool = False
