"""The worker: one contained process for each job, and what the server knows of it.

In the server: `pool` admits jobs and keeps a spare, `cores` says where each runs, `process` starts
and ends a worker, as a `child` that is executed, or one that the `forkserver` has forked;
`diagnosis` tells why one died. In the worker: `__main__`, or `forking`, which it is forked from,
starts up, `life` loads the engine, `containment` sets limits, `conversation` runs the job. Both
sides: `protocol`, `payload`.
"""
