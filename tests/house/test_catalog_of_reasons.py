"""The catalog of reasons and warnings: what code says, and what docs/reasons.md says of it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeropoint.engine.reasons import Reason, WarningCode

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reasons.md"
CLIENT = ROOT / "client" / "zeropoint" / "client" / "reasons.py"
ENGINE = ROOT / "quant_engine" / "zeropoint" / "engine"


def page() -> str:
    """Return what the page has to be."""
    return "\n".join(
        (
            "# Reasons and warnings",
            "",
            "Words of reports, of plans and of `inspect`. Each comes with a message that names the "
            "node or tensor.",
            "",
            "## Why a node is not quantized",
            "",
            *_table(Reason),
            "",
            "## Warnings",
            "",
            *_table(WarningCode),
            "",
        )
    )


def _table(words: type[Reason] | type[WarningCode]) -> Iterator[str]:
    yield "| word | meaning |"
    yield "| --- | --- |"
    yield from (f"| `{word}` | {word.meaning} |" for word in words)


def client_table() -> str:
    """Return what the client's table has to be."""
    rows = (f'    "{word}": "{word.meaning}",' for word in Reason)
    return "\n".join(
        (
            '"""Why a node is not quantized, in words. Written by test_catalog_of_reasons.py."""',
            "",
            "from collections.abc import Mapping",
            "",
            "REASONS: Mapping[str, str] = {",
            *rows,
            "}",
            '"""A sentence for each reason; those of newer servers are not here."""',
            "",
        )
    )


def _calls(name: str) -> Iterator[ast.Call]:
    for path in ENGINE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            if name in (called, getattr(node.func, "id", None)):
                yield node


def test_the_page_is_the_catalog() -> None:
    """Running this file writes the page, and the client's table."""
    assert PAGE.read_text() == page()
    assert CLIENT.read_text() == client_table()


@pytest.mark.parametrize("words", [Reason, WarningCode])
def test_every_word_is_said_somewhere(words: type[Reason] | type[WarningCode]) -> None:
    sources = [path for path in ENGINE.rglob("*.py") if path.name != "reasons.py"]
    said = "".join(path.read_text() for path in sources)
    assert [word for word in words if f"{words.__name__}.{word}" not in said] == []


def test_warnings_are_words_of_the_catalog() -> None:
    calls = list(_calls("Warning"))
    assert len(calls) > 10
    for call in calls:
        (code,) = (ast.unparse(item.value) for item in call.keywords if item.arg == "code")
        assert "WarningCode." in code


if __name__ == "__main__":
    PAGE.write_text(page())
    CLIENT.write_text(client_table())
