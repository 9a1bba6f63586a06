"""Make the environment that `make` works in: this project, editable, with all its tools."""

import argparse
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def floors() -> list[str]:
    """Return the oldest version that pyproject.toml allows of what users need, not of tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["server"], *extras["demo"], *extras["report"]]
    pairs = (line.split(",")[0].split(">=") for line in requirements if ">=" in line)
    return [f"{name}=={floor}" for name, floor in pairs]


def make(folder: Path, *, lowest: bool) -> None:
    """Create `folder` anew and install the project into it."""
    (folder / "ready").unlink(missing_ok=True)
    venv.create(folder, clear=True, with_pip=True)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(floors()) if lowest else "")
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet")
    options = ("--disable-pip-version-check", "-c", constraints)
    subprocess.run([*pip, *options, "-e", f"{ROOT}[dev]"], check=True)
    (folder / "ready").touch()


def main() -> int:
    """Parse the command line and make the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lowest", action="store_true", help="oldest versions allowed")
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - the Makefile takes any python3
        print("Zeropoint needs Python 3.11 or newer: make PYTHON=python3.12 ...", file=sys.stderr)
        return 1
    make(arguments.folder, lowest=arguments.lowest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
