r"""Text that may hold anything, made fit for a terminal or a log.

Names of nodes and tensors are whatever the author of a model has written. An escape sequence among
them could rewrite what the terminal shows, U+202E could reverse it, a line break could forge a line
of a report. Whatever cannot be seen is shown as Python writes it: "\x1b", "\u202e", "\n".
"""

_LINE_BREAK = "\n"


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text in which every control, format and unassigned character is escaped.

    Args:
        text: Any text.
        lines: Leave line breaks: for a text of several lines whose parts were made fit before.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or (lines and one == _LINE_BREAK) else _escaped(one)
        for one in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
