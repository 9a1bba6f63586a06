"""Measures and prints: `python -m benchmarks [NAME ...]`."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from benchmarks import (
    accuracy,
    floors,
    ingest,
    job,
    latency,
    loopback,
    memory,
    observation,
    scale,
    search,
    starts,
    trained,
    zoo,
)
from benchmarks.effort import QUICK, Effort
from benchmarks.machine import OtherLoad, facts
from benchmarks.table import Row, markdown, write_between

BENCHMARKS: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "observation": observation.run,
    "job": job.run,
    "memory": memory.run,
    "loopback": loopback.run,
    "ingest": ingest.run,
    "latency": latency.run,
    "scale": scale.run,
    "search": search.run,
    "starts": starts.run,
    "trained": trained.run,
    "zoo": zoo.run,
}


def main() -> None:
    """Measure what the command line names; figures do not change the exit code, failures do."""
    if sys.argv[1:2] == ["accuracy"]:  # has a table and options of its own, and takes hours
        accuracy.main(sys.argv[2:])
        return
    if sys.argv[1:] == ["floors"]:  # of what was measured before
        floors.main()
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--quick", action="store_true", help="only see that everything works")
    arguments = parser.parse_args()
    if unknown := set(arguments.names).difference(BENCHMARKS):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    effort = QUICK if arguments.quick else Effort()
    others = OtherLoad()
    rows, failed = measure(arguments.names or BENCHMARKS, effort)
    text = f"{facts(others.share)}\n{markdown(rows)}"
    print(f"\n{text}", end="")
    if arguments.write:
        write_between("figures", text)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def measure(names: Iterable[str], effort: Effort) -> tuple[list[Row], list[str]]:
    """Run benchmarks one by one, and show what they find as they go.

    Args:
        names: Which.
        effort: How much.

    Returns:
        What they found, and the names of those that broke down.
    """
    rows: list[Row] = []
    failed: list[str] = []
    for name in names:
        begin = time.perf_counter()
        try:
            for row in BENCHMARKS[name](effort):
                print(" | ".join(row.cells), flush=True)
                rows.append(row)
        except Exception:
            logging.exception("%s failed", name)
            failed.append(name)
        print(f"{name} took {time.perf_counter() - begin:.0f} s", flush=True)
    return rows, failed


if __name__ == "__main__":
    main()
