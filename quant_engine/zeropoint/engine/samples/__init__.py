"""Batches: do they fit the model, which are kept, and what is made up where there are none."""

from zeropoint.engine.samples.arrays import plain_batch
from zeropoint.engine.samples.digests import DigestedBatch, content_digest, digested
from zeropoint.engine.samples.made_up import CannotGenerate, InputRange, generate_batches
from zeropoint.engine.samples.retained import Retained, RetainedBatches
from zeropoint.engine.samples.signature import check_batch, dtype_of, element_type_of
from zeropoint.engine.samples.state import state_pairs
from zeropoint.engine.samples.stored import (
    StoredArray,
    StoredBatch,
    bytes_of_batch,
    store_arrays,
    store_batch,
)
from zeropoint.engine.samples.text import TEXT_KINDS, as_text, decode_text, encode_text
from zeropoint.engine.samples.window import Window
