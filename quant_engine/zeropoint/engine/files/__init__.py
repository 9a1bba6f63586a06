"""Bytes on disk: the weights of a model, read and written a tensor at a time."""

from zeropoint.engine.files.save import ONE_FILE_BYTES, save_model
from zeropoint.engine.files.spans import Span, model_spans
from zeropoint.engine.files.sparse import make_dense
from zeropoint.engine.files.weight_file import (
    INLINE_BYTES,
    StoredTensor,
    WeightFile,
    use_stored_tensors,
)
from zeropoint.engine.files.weight_split import split_weights
