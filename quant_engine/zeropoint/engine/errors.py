"""What can go wrong in the engine.

    EngineError
    ├── OptionError        an option is unknown, malformed or contradicts another
    ├── ModelError         the model cannot be read, converted or run
    ├── NothingToQuantize  no node of the model can be quantized with these options
    ├── BatchError         one batch does not fit the model; the job goes on
    ├── CalibrationError   the batches as a whole, or a calibration file, are not enough
    ├── VerificationError  the result was checked and is not good enough to be returned
    └── ResourceError      the machine has run out of disk or the like; the job may succeed later

Every error has a machine-readable reason, a message that names the node, tensor, option or batch
and says what to do, and the variable parts of the message as metadata.
"""

from collections.abc import Mapping


class EngineError(Exception):
    """Base of all errors of the engine.

    Attributes:
        reason: Machine-readable, UPPER_SNAKE.
        message: For people.
        metadata: The variable parts of the message, by lowerCamelCase name.
    """

    def __init__(self, reason: str, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}


_LONGEST_OF_BATCH = 1000


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_OF_BATCH else f"{text[:_LONGEST_OF_BATCH]} ..."


class OptionError(EngineError):
    """An option is unknown, malformed or contradicts another."""


class ModelError(EngineError):
    """The model cannot be read, converted or run."""


class NothingToQuantize(EngineError):  # noqa: N818 - an outcome that the caller must see
    """No node of the model can be quantized with these options."""


class BatchError(EngineError):
    """One batch does not fit the model; the job goes on without it.

    There may be one for each of many batches, with names that a client has made up: they are cut.
    """

    def __init__(self, reason: str, message: str, **metadata: object) -> None:
        cut = {key: _cut(str(value)) for key, value in metadata.items()}
        super().__init__(reason, _cut(message), **cut)


class CalibrationError(EngineError):
    """The batches as a whole, or a calibration file, are not enough to choose ranges from."""


class VerificationError(EngineError):
    """The result was checked and is not good enough to be returned."""


class ResourceError(EngineError):
    """The machine has run out of disk or the like; the same job may succeed later."""
