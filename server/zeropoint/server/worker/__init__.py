"""The worker: one contained process for each job, and what the server knows of it.

In the server: `pool` admits jobs and keeps a spare, `cores` says where each runs, `process` starts
and ends a worker, `diagnosis` tells why one died. In the worker: `__main__` starts up,
`containment` sets limits, `conversation` runs the job with the engine. Both sides: `protocol`,
`payload`.
"""
