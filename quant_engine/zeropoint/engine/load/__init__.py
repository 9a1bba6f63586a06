"""The user's file -> a graph with its own names, and what no engine can run refused."""

from zeropoint.engine.load.foreign_fake_quant import refuse_foreign
from zeropoint.engine.load.functions import inline_functions
from zeropoint.engine.load.load import LoadedModel, load_model, reload_graph
from zeropoint.engine.load.signature import input_ranges, read_signature
