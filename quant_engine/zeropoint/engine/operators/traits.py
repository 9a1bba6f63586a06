"""What operators do to values, whatever that matters for: the flags of the table's rows."""

from enum import Flag, auto


class Trait(Flag):
    """Something that all nodes of an operator do, as far as their data go."""

    RESHAPES = auto()
    """Gives each value of its first input once, in the same order."""

    PERMUTES = auto()
    """Gives each value of its first input once, in another order."""

    PICKS = auto()
    """Gives some values of its first input, chosen by their place, and none twice."""

    REPEATS = auto()
    """Gives values of its first input, chosen by their place, some perhaps several times."""

    SELECTS = auto()
    """Gives values of its first input, chosen by how large they are."""

    CHOOSES = auto()
    """Gives the places of some values of its first input, chosen by how large they are."""

    JOINS = auto()
    """Gives all values of all its inputs."""

    CODES = auto()
    """Gives only values that its first input has, and its kernels take 8-bit codes as well."""

    MEANS = auto()
    """Gives means of the values of its first input, perhaps with zeros among them."""

    ELEMENTWISE = auto()
    """Computes each value from those at the same place of its inputs, which are broadcast."""

    SPATIAL = auto()
    """Computes each sample along the first axis of its first input by itself."""

    SIZED = auto()
    """Has a result of a shape that is told: whether samples stay apart depends on that."""

    ALONG_AXIS = auto()
    """Computes along one axis: attribute `axis`, or the row's."""

    ALONG_AXES = auto()
    """Computes along some axes: attribute or input `axes`, or all of them."""

    CONVOLVES = auto()
    """Slides a kernel over its data."""

    WEIGHTED = auto()
    """Has weights as its inputs behind the first."""

    TRAINED = auto()
    """Reads pairs in models that were trained with fake quantization: sums, products, means, joins.

    Functions of one value have integer kernels, too, but frameworks leave what they read float.
    """

    RANDOM = auto()
    """Gives other values each time."""

    CONVERTS = auto()
    """Converts between floats and codes."""

    PAIR = auto()
    """Is one half of a pair, with parameters that are its inputs."""

    MOVES = RESHAPES | PERMUTES
    """Each value of the first input once, and nothing else."""

    KEEPS = MOVES | PICKS | REPEATS | SELECTS
    """Only values of the first input: what bounds it bounds the result."""

    BY_PLACE = MOVES | PICKS | REPEATS | JOINS
    """Values of the inputs, whatever these are."""
