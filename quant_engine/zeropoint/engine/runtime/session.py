"""ONNX Runtime sessions: opened by path, on the CPU, without side effects; and what it refuses."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from zeropoint.engine.shortage import disk_full, shortage_of, takes_more

# Everything that ONNX Runtime says is raised as RuntimeRefusal; its log would say it twice.
_LOG_FATAL_ONLY = 4
_PATH_GIVEN = re.compile(r"Load model from .*? failed:")
_FAILED_NODE = re.compile(
    r".*?running (?P<op_type>\w+) node\. Name:'(?P<node>[^']*)' Status Message: (?P<text>.*)",
    re.DOTALL,
)
# "file.h:12 ", then the function: either its name or its whole C++ signature.
_ORIGIN = re.compile(r"^\S+\.(?:h|cc|cpp):\d+ (?:[\w:&<>,*~ ]+\([^)]*\)(?: const)? |\w+ )")


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
        frugal: bool = False,
    ) -> None:
        """Open a model.

        Args:
            path: The ONNX file; a small model without external data may be given itself.
            threads: Threads of one operator.
            optimized: Where to write the optimized graph; its weights of 1 KiB and more go to a
                file beside it.
            as_written: Run the graph as it is written, without optimizations, and weights as they
                lie in their file: such a session opens several times faster and takes less memory,
                and every run is slower.
            finished: Optimize nothing: the model is a graph that ONNX Runtime has optimized.
            frugal: Give memory back after each run, as one of many sessions.

        Raises:
            RuntimeRefusal: the model does not load.
            ResourceError: the disk takes no more, or nothing can be opened any more.
        """
        options = _options(threads)
        if optimized is not None:
            _write_optimized(options, optimized)
        if as_written or finished:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        if as_written:
            options.add_session_config_entry("session.disable_prepacking", "1")
        if as_written or frugal:
            options.enable_cpu_mem_arena = False
        try:
            self._session = ort.InferenceSession(
                path,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # it would print, and try the same again
            )
        except Exception as error:  # its exceptions have no common base
            if optimized is not None and not takes_more(optimized):
                raise disk_full() from error
            raise shortage_of(error) or RuntimeRefusal(_plain(error)) from error
        self.inputs = _slots(self._session.get_inputs())
        self.output_slots = _slots(self._session.get_outputs())
        self.outputs: tuple[str, ...] = tuple(slot.name for slot in self.output_slots)

    def run(
        self,
        feeds: Mapping[str, NDArray[np.generic]],
        outputs: Sequence[str] | None = None,
        *,
        only_needed: bool = False,
    ) -> list[Any]:
        """Run the model once and return outputs: arrays, or lists and maps of them.

        Args:
            feeds: Arrays by input name.
            outputs: Names of those that are wanted; None: all.
            only_needed: Run no nodes but those that these are computed by.

        Raises:
            RuntimeRefusal: the inputs do not fit, or an operator fails.
        """
        try:
            options = None
            if only_needed:
                options = ort.RunOptions()
                options.only_execute_path_to_fetches = True
            return list(self._session.run(outputs, dict(feeds), options))
        except Exception as error:  # its exceptions have no common base
            raise RuntimeRefusal(_plain(error)) from error


def _slots(arguments: Sequence[ort.NodeArg]) -> tuple[InputSlot, ...]:
    return tuple(InputSlot(slot.name, slot.type, tuple(slot.shape)) for slot in arguments)


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL_ONLY
    # Spinning threads burn the time of other jobs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def weights_of_optimized(path: Path) -> Path:
    """Return the file to which `Session` writes the weights of an optimized graph."""
    return path.with_name(f"{path.name}.data")


def _write_optimized(options: Any, path: Path) -> None:
    options.optimized_model_filepath = str(path)
    entry = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{entry}_file_name", weights_of_optimized(path).name)
    options.add_session_config_entry(f"{entry}_min_size_in_bytes", "1024")


def _plain(error: Exception) -> str:
    """Return what ONNX Runtime says without its own numbering, and without the file's path."""
    text = str(error)
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return _PATH_GIVEN.sub("", text).strip()


class Refusal(NamedTuple):
    """Why a model does not run.

    Attributes:
        node: Name of the node that fails; empty where it is not the fault of one.
        op_type: Its operator type.
        text: What is wrong, without ONNX Runtime's file names and functions.
    """

    node: str
    op_type: str
    text: str

    def __str__(self) -> str:
        if not self.op_type:
            return self.text
        return f"{self.op_type} node {self.node!r}: {self.text}"


def read_refusal(message: str) -> Refusal:
    """Take apart a message of ONNX Runtime."""
    found = _FAILED_NODE.match(message)
    node, op_type, text = found.group("node", "op_type", "text") if found else ("", "", message)
    return Refusal(node, op_type, _ORIGIN.sub("", text).strip())
