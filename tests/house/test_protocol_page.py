"""The lists of docs/protocol.md are those of the code and of the contract."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from zeropoint import v1
from zeropoint.server.convert import tensors
from zeropoint.server.errors import CATALOG, REJECTIONS
from zeropoint.v1.contract import FEATURES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "protocol.md"
PROTOS = ROOT / "protos" / "zeropoint" / "v1"
CODE = ("server/zeropoint/server", "quant_engine/zeropoint/engine")
ENUMS = (
    "Phase",
    "CalibrationMethod",
    "QuantType",
    "QuantFormat",
    "NodeState",
    "ParameterSource",
    "VerificationState",
    "Verdict",
)
NO_METADATA = {"retry_seconds"}
"""Keywords of errors that are no metadata."""


def page(text: str) -> str:
    """Return the page with its tables written anew."""

    def table(found: re.Match[str]) -> str:
        return "\n".join((f"<!-- table: {found[1]} -->", *TABLES[found[1]](), "<!-- end -->"))

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def failures() -> Iterator[str]:
    """Every reason that ends a call."""
    keys = metadata()
    yield "| reason | code | meaning | metadata | try again |"
    yield "| --- | --- | --- | --- | --- |"
    for reason, entry in CATALOG.items():
        again = "" if entry.retry_seconds is None else f"after {entry.retry_seconds:g} s or more"
        listed = ", ".join(f"`{key}`" for key in keys.get(reason, ()))
        yield f"| `{reason}` | {entry.status.name} | {entry.meaning} | {listed} | {again} |"


def rejections() -> Iterator[str]:
    """Every reason of a batch that is rejected."""
    keys = metadata()
    yield "| reason | meaning | metadata |"
    yield "| --- | --- | --- |"
    for reason, meaning in REJECTIONS.items():
        listed = ", ".join(f"`{key}`" for key in keys.get(reason, ()))
        yield f"| `{reason}` | {meaning} | {listed} |"


def features() -> Iterator[str]:
    """Every word of GetServerInfo.features."""
    yield "| feature | meaning |"
    yield "| --- | --- |"
    yield from (f"| `{word}` | {meaning} |" for word, meaning in FEATURES.items())


def element_types() -> Iterator[str]:
    """Every element type, and which may be sent."""
    yield "| element type | number | may be sent | layout |"
    yield "| --- | --- | --- | --- |"
    numbers = dict(v1.ElementType.items())
    for name, meaning in comments("ElementType").items():
        number = numbers[f"ELEMENT_TYPE_{name}"]
        sent = "yes" if number in tensors.ELEMENT_TYPES else ""
        layout = meaning.replace(" Cannot be sent.", "")
        if number:
            yield f"| {name} | {number} | {sent} | {layout} |"


def enum(name: str) -> Iterator[str]:
    """The values of an enum of the contract."""
    yield f"| {name} | |"
    yield "| --- | --- |"
    yield from (f"| {word} | {meaning} |" for word, meaning in comments(name).items())


def comments(name: str) -> Mapping[str, str]:
    """Return the comment of each value of an enum, by its name without the prefix."""
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper() + "_"
    text = "".join(path.read_text() for path in sorted(PROTOS.glob("*.proto")))
    [block] = re.findall(rf"^enum {name} {{\n(.*?)^}}", text, flags=re.DOTALL | re.MULTILINE)
    values = re.findall(r"((?:  // [^\n]*\n)+)  (\w+) = \d+;", block)
    told = {word: " ".join(re.findall(r"// (.*)", comment)) for comment, word in values}
    assert set(told) == set(getattr(v1, name).keys())
    return {word.removeprefix(prefix): comment for word, comment in told.items()}


def metadata() -> Mapping[str, list[str]]:
    """Return the keys of each reason, wherever it is given."""
    found: dict[str, set[str]] = {}
    for folder in CODE:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    keys = {keyword.arg for keyword in node.keywords if keyword.arg}
                    for reason in _reasons(node):
                        found.setdefault(reason, set()).update(keys - NO_METADATA)
    return {reason: sorted(keys) for reason, keys in found.items()}


def _reasons(call: ast.Call) -> Iterator[str]:
    """The reasons that a call names itself."""
    for argument in call.args:
        if isinstance(argument, ast.Constant) and argument.value in {*CATALOG, *REJECTIONS}:
            yield str(argument.value)


TABLES: Mapping[str, Callable[[], Iterator[str]]] = {
    "failures": failures,
    "rejections": rejections,
    "features": features,
    "ElementType": element_types,
    **{name: partial(enum, name) for name in ENUMS},
}


def test_the_tables_are_those_of_the_code() -> None:
    """Running this file writes them."""
    assert PAGE.read_text() == page(PAGE.read_text())


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_there(name: str) -> None:
    assert f"<!-- table: {name} -->\n|" in PAGE.read_text()


def test_what_cannot_be_sent_says_so() -> None:
    numbers = dict(v1.ElementType.items())
    for name, meaning in comments("ElementType").items():
        number = numbers[f"ELEMENT_TYPE_{name}"]
        if number:
            assert ("Cannot be sent." in meaning) is (number not in tensors.ELEMENT_TYPES), name


def test_fields_that_the_page_names_exist() -> None:
    holders: dict[str, Any] = {"limits": v1.Limits, "timing": v1.Timing, "progress": v1.Progress}
    named = re.findall(rf"`({'|'.join(holders)})\.(\w+)`", PAGE.read_text())
    assert {holder for holder, _ in named} == set(holders)
    for holder, field in named:
        assert field in holders[holder].DESCRIPTOR.fields_by_name, (holder, field)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
