"""The quantizer: a pure library that knows neither gRPC nor the service.

`open_job` runs the whole pipeline; `inspect_model` plans without data.
"""
