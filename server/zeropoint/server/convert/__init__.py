"""Between protobuf and everything else: the only place that knows both.

`wire` and `frames` serve the process that answers the network; `engine` and `tensors` serve the
worker and know the engine's types, so they load the engine.
"""
