"""Between protobuf and everything else: the only place that knows both.

`wire` serves the process that answers the network; `options`, `report` and `tensors` serve the
worker and know the engine's types, so they load the engine.
"""
