"""The quantizer: a pure library that knows neither gRPC nor the service.

    from zeropoint.engine import JobSettings, StaticOptions, open_job

    with open_job(Path("model.onnx"), StaticOptions(), JobSettings(workspace=folder)) as job:
        for batch in batches:                   # {input name: array}
            job.submit(batch)                   # several at once; observe() waits for each
        result = job.finish()                   # result.files, result.report

With `JobSettings(keep_calibration=True)`, `result.calibration` is a file from which
`open_job(path, other_options, settings, calibration)` quantizes the same model again without data.

`inspect_model` plans without data.
"""

import lazy_loader

# The names are those of __init__.pyi. Rooms are loaded when one of theirs is asked for: a process
# that only verifies does without most of them.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
