"""ONNX Runtime sessions: opened by path, on the CPU, without side effects."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

# Everything that ONNX Runtime says is raised as RuntimeRefusal; its log would say it twice.
_LOG_FATAL_ONLY = 4
_PATH_GIVEN = re.compile(r"Load model from .*? failed:")


class RuntimeRefusal(Exception):  # noqa: N818 - what it is, not what it breaks
    """ONNX Runtime will not open a model, or not run it."""


class InputSlot(NamedTuple):
    """An input that must be fed, or an output that comes out.

    Attributes:
        name: Its name.
        type: ONNX Runtime's word for its type, such as "tensor(float)".
        shape: Per axis a size, a symbol, or None for any size.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Session:
    """A model that is open in ONNX Runtime."""

    def __init__(
        self,
        path: Path | bytes,
        *,
        threads: int = 1,
        optimized: Path | None = None,
        as_written: bool = False,
        finished: bool = False,
    ) -> None:
        """Open a model.

        Args:
            path: The ONNX file; a small model without external data may be given itself.
            threads: Threads of one operator.
            optimized: Where to write the optimized graph; its weights of 1 KiB and more go to a
                file beside it.
            as_written: Keep Quantize/DequantizeLinear as operators of their own and constants as
                they are, instead of the default optimizations.
            finished: Optimize nothing: the model is a graph that ONNX Runtime has optimized.

        Raises:
            RuntimeRefusal: the model does not load.
        """
        options = _options(threads)
        disabled = None
        if optimized is not None:
            _write_optimized(options, optimized)
        if as_written:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.add_session_config_entry("session.disable_quant_qdq", "1")
            disabled = ["ConstantFolding"]
        if finished:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(
                path,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=disabled,
                enable_fallback=0,  # it would print, and try the same again
            )
        except Exception as error:  # its exceptions have no common base
            raise RuntimeRefusal(_plain(error)) from error
        self.inputs = tuple(
            InputSlot(slot.name, slot.type, tuple(slot.shape))
            for slot in self._session.get_inputs()
        )
        self.output_slots = tuple(
            InputSlot(slot.name, slot.type, tuple(slot.shape))
            for slot in self._session.get_outputs()
        )
        self.outputs: tuple[str, ...] = tuple(slot.name for slot in self.output_slots)

    def run(
        self, feeds: Mapping[str, NDArray[np.generic]], outputs: Sequence[str] | None = None
    ) -> list[Any]:
        """Run the model once.

        Args:
            feeds: Inputs by name.
            outputs: Names of outputs; None for all.

        Returns:
            The outputs: arrays, or lists and maps of them.

        Raises:
            RuntimeRefusal: the inputs do not fit, or an operator fails.
        """
        try:
            return list(self._session.run(outputs, dict(feeds)))
        except Exception as error:  # its exceptions have no common base
            raise RuntimeRefusal(_plain(error)) from error


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL_ONLY
    # Spinning threads burn the time of other jobs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _write_optimized(options: Any, path: Path) -> None:
    options.optimized_model_filepath = str(path)
    for key, value in (
        ("session.optimized_model_external_initializers_file_name", f"{path.name}.data"),
        ("session.optimized_model_external_initializers_min_size_in_bytes", "1024"),
    ):
        options.add_session_config_entry(key, value)


def _plain(error: Exception) -> str:
    """Return what ONNX Runtime says without its own numbering, and without the file's path."""
    text = str(error)
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return _PATH_GIVEN.sub("", text).strip()
