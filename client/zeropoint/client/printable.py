r"""Text that may hold anything, made fit for a line of a terminal or a log.

Names of nodes and tensors are whatever the author of a model has written. An escape sequence among
them could rewrite what the terminal shows, U+202E could reverse it, a line break could forge a line
of a report or an error. Whatever cannot be seen is shown as Python writes it: "\x1b", "\u202e",
"\n".
"""


def printable(text: str) -> str:
    """Return a text in which every control, format and unassigned character is escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
