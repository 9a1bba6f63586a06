"""What can go wrong with sketches."""


class SketchError(ValueError):
    """Base of all errors of this package."""


class SketchFormatError(SketchError):
    """Bytes are not a well-formed sketch.

    Attributes:
        offset: Position of the first byte that is wrong, as far as that can be said.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"not a sketch: {message} (at byte {offset})")
        self.offset = offset


class SketchOverflowError(SketchError):
    """A sketch would count more elements than its format holds."""
