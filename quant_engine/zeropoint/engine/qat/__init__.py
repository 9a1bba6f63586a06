"""Models that were trained with fake quantization: what was learned is kept to the last bit.

weights      stored integers, moved to where they are read
clips        limits between a pair, dropped where they are proved to do nothing
propagate    missing pairs, where those of a neighbour are exact
retype       int8 behind Relu as uint8, which ONNX Runtime fuses
affine       BatchNormalization behind a layer, into the scales of its weight
biases       in the form that gets an integer kernel
convert      all of these, in order, and constants in the bodies that read them
trained      the converted model as a plan
complete     what was not trained, from batches

Pairs are read in `operators.pairs`, foreign operators refused in `load`, and the result is proved
against the trained model, code by code, in `verify.exactness`.
"""

from zeropoint.engine.qat.complete import merged, plan_completion, static_options, without_unseen
from zeropoint.engine.qat.trained import TrainedModel, forget_types, plan_trained
