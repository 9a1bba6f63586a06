"""What ONNX Runtime says when an operator fails, made readable."""

import re
from typing import NamedTuple

_FAILED_NODE = re.compile(
    r".*?running (?P<op_type>\w+) node\. Name:'(?P<node>[^']*)' Status Message: (?P<text>.*)",
    re.DOTALL,
)
# "file.h:12 ", then the function: either its name or its whole C++ signature.
_ORIGIN = re.compile(r"^\S+\.(?:h|cc|cpp):\d+ (?:[\w:&<>,*~ ]+\([^)]*\)(?: const)? |\w+ )")


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
