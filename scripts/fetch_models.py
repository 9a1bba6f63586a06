"""Fetch the models that the demo and the tests run on into the repository's cache.

Run by `make`, so that the tests themselves wait for no download.
"""

import sys
from pathlib import Path


def main() -> None:
    """Fetch what is not there yet, and say where it is."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.models import SMALL, folder

    for wheel in SMALL:
        print(f"{wheel.package} {wheel.version}: {folder(wheel)}")


if __name__ == "__main__":
    main()
