"""The plan of the house: portions of one namespace, imports that point one way, small files."""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTIONS = {
    "v1": "protos",
    "sketch": "quant_engine",
    "engine": "quant_engine",
    "server": "server",
    "client": "client",
}
MAX_LINES = 450
MAX_FILES = 12  # directly in the engine's folder
API = Path(__file__).with_name("public_api.json")


def loaded_by(module: str) -> set[str]:
    """Import a module in a fresh interpreter and return the names of all modules loaded."""
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return set(json.loads(done.stdout))


def public_api() -> dict[str, list[str]]:
    """Names that users may rely on, by module."""
    modules = ("zeropoint.client", "zeropoint.engine", "zeropoint.sketch", "zeropoint.v1")
    return {name: sorted(importlib.import_module(name).__all__) for name in modules}


@pytest.mark.parametrize("folder", sorted(set(PORTIONS.values())))
def test_namespace_folders_have_no_init(folder: str) -> None:
    assert not (ROOT / folder / "zeropoint" / "__init__.py").exists()


@pytest.mark.parametrize(("portion", "folder"), PORTIONS.items())
def test_portions_are_typed_packages(portion: str, folder: str) -> None:
    package = ROOT / folder / "zeropoint" / portion
    assert (package / "__init__.py").exists()
    assert (package / "py.typed").exists()


@pytest.mark.parametrize("module", ["zeropoint.client", "zeropoint.client.cli"])
def test_client_is_light(module: str) -> None:
    loaded = loaded_by(module)
    heavy = {"onnx", "onnxruntime", "onnx_ir", "numba", "zeropoint.engine", "zeropoint.server"}
    heavy |= {"jinja2", "matplotlib"}  # of the report as a page
    assert not loaded & heavy


def test_sketch_needs_neither_onnx_nor_grpc() -> None:
    assert not loaded_by("zeropoint.sketch") & {"onnx", "onnxruntime", "onnx_ir", "grpc"}


def test_engine_knows_no_grpc() -> None:
    assert not loaded_by("zeropoint.engine") & {"grpc", "zeropoint.v1"}


def test_verifying_needs_little() -> None:
    """Every job waits for a process that verifies, and it waits for its imports."""
    loaded = loaded_by("zeropoint.engine.verify.child")
    assert not loaded & {"onnx_ir", "sympy", "numba", "zeropoint.engine.jobs"}


def test_files_are_small() -> None:
    folders = [*set(PORTIONS.values()), "tests", "benchmarks", "scripts"]
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    sources = [path for path in paths if not re.search(r"_pb2(_grpc)?\.py$", path.name)]
    assert sources
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources
        if (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long


def test_the_engine_is_laid_out_in_rooms() -> None:
    engine = ROOT / "quant_engine" / "zeropoint" / "engine"
    rooms = [path.parent for path in engine.glob("*/__init__.py")]
    assert len(list(engine.glob("*.py"))) <= MAX_FILES
    assert all(ast.get_docstring(ast.parse((room / "__init__.py").read_text())) for room in rooms)
    tested = {path.name for path in (ROOT / "tests" / "engine").iterdir() if path.is_dir()}
    assert tested - {"__pycache__"} <= {room.name for room in rooms}


def test_public_api_is_what_was_agreed() -> None:
    """A change here is a change for users; running this file writes the new snapshot."""
    assert public_api() == json.loads(API.read_text())


if __name__ == "__main__":
    API.write_text(json.dumps(public_api(), indent=2) + "\n")
