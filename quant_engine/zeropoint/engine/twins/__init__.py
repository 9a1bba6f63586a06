"""What each quantized node loses by itself: a float model in which every one has a twin."""

from zeropoint.engine.twins.alone import build_alone
from zeropoint.engine.twins.branches import NodeTwin
from zeropoint.engine.twins.isolation import node_twins
from zeropoint.engine.twins.twin_model import build_twins
