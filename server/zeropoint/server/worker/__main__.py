"""The process of one job: `python -P -m zeropoint.server.worker SETTINGS`, by the server only."""

import sys

from zeropoint.server.worker.life import live
from zeropoint.server.worker.protocol import WorkerSettings

if __name__ == "__main__":
    live(WorkerSettings.from_json(sys.argv[1]))
