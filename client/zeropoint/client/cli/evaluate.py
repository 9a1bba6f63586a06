"""A program as the caller's own figure: it gets a model's path and prints what that is worth."""

import shlex
import subprocess
from pathlib import Path

from zeropoint.client.errors import EvaluationError, OptionError
from zeropoint.client.evaluation import Evaluate

_PLACE = "{model}"


def evaluated_by(command: str | None) -> Evaluate | None:
    """Return the function that a command stands for; None where none is given.

    Args:
        command: A program with its arguments, as a shell would split them; no shell runs. The path
            of the model takes the place of "{model}". What it prints last is the number; what it
            says on standard error goes where this process's does.

    Raises:
        OptionError: it cannot be split, or has no place for the model.
    """
    if command is None:
        return None
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise _unusable(command, f"cannot be split into words: {error}") from error
    if not any(_PLACE in word for word in words):
        raise _unusable(command, f"has no {_PLACE}, which the path of the model takes the place of")

    def evaluate(path: Path) -> float:
        return _run([word.replace(_PLACE, str(path)) for word in words])

    return evaluate


def _run(words: list[str]) -> float:
    """Run a program; return the number in the last line that it prints."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise _failed(words, f"cannot be started: {error.strerror or error}") from error
    if done.returncode:
        raise _failed(words, f"ended with the exit code {done.returncode}")
    lines = done.stdout.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    try:
        return float(last)
    except ValueError:
        raise _failed(words, f"printed {last!r} last, which is no number") from None


def _failed(words: list[str], what: str) -> EvaluationError:
    message = f"The program of --evaluate {what}: {shlex.join(words)}"
    return EvaluationError("EVALUATION_INVALID", message, {"program": words[0]})


def _unusable(command: str, why: str) -> OptionError:
    message = f"--evaluate {command!r} {why}. An example: --evaluate 'python score.py {_PLACE}'."
    return OptionError("OPTION_INVALID", message, {"option": "evaluate"})
