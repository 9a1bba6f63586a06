"""What each quantized node loses by itself: a float model in which every one has a twin."""

from zeropoint.engine.twins.isolation import node_twins
from zeropoint.engine.twins.twin_model import NodeTwin, build_twins
