"""The service: gRPC in front, one contained worker process for each job behind it.

    servicer (decode, delegate, encode) -> jobs (state machines) -> storage, worker

Start it with `python -m zeropoint.server`. The process that answers the network never loads a
model; `zeropoint.server.worker` does, in a process of its own for each job.
"""
