"""Generate the stubs of `protos/` in an environment of their own, or check that they are fresh.

The pinned grpcio-tools fixes the oldest grpcio and protobuf that users may have (generated code
refuses older runtimes), so it lives apart from the environment that tests and tools run in.
"""

import filecmp
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

REQUIREMENTS = (
    "grpcio-tools==1.76.0",
    "mypy-protobuf==5.1.0",
    "protobuf==6.33.5",
    "setuptools<81",
)
ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = Path("zeropoint/v1")
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi", "__init__.py")

_EXPORTS = """
import importlib, sys
modules = sys.argv[1:]
exports = {}
for module in sorted(modules):
    descriptor = importlib.import_module(f"zeropoint.v1.{module}").DESCRIPTOR
    names = [*descriptor.message_types_by_name, *descriptor.enum_types_by_name]
    for enum in descriptor.enum_types_by_name.values():
        names += [value.name for value in enum.values]
    exports[module] = sorted(names)
    services = sorted(descriptor.services_by_name)
    if services:
        exports[module + "_grpc"] = sorted(
            name
            for service in services
            for name in (f"{service}Servicer", f"{service}Stub", f"add_{service}Servicer_to_server")
        )
print('\"\"\"Messages, enums and stubs of the `zeropoint.v1` contract.\"\"\"\\n')
for module, names in exports.items():
    print(f"from zeropoint.v1.{module} import (")
    for name in names:
        print(f"    {name},")
    print(")")
print("\\n__all__ = [")
for name in sorted(name for names in exports.values() for name in names):
    print(f'    "{name}",')
print("]")
"""


def environment() -> Path:
    """Return the interpreter of the generator's environment, made at the first call."""
    folder = ROOT / ".venv-stubs"
    stamp = folder / "requirements"
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != "\n".join(REQUIREMENTS):
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
        stamp.write_text("\n".join(REQUIREMENTS))
    return python


def generate(output: Path) -> None:
    """Write the stubs of all protos below `output`."""
    python = environment()
    protos = sorted(path.relative_to(PROTOS) for path in (PROTOS / PACKAGE).glob("*.proto"))
    command: list[str | Path] = [
        python,
        "-m",
        "grpc_tools.protoc",
        f"--proto_path={PROTOS}",
        f"--python_out={output}",
        f"--pyi_out={output}",
        f"--grpc_python_out={output}",
        f"--mypy_grpc_out={output}",
        *map(str, protos),
    ]
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})
    for service in output.glob(f"{PACKAGE}/*_grpc.py"):
        # protoc writes a service stub for every file, also for those without a service.
        if "Servicer" not in service.read_text():
            service.unlink()
            service.with_suffix(".pyi").unlink(missing_ok=True)
    modules = [path.stem + "_pb2" for path in protos]
    (output / PACKAGE / "__init__.py").write_text("")  # the old one names what may be gone
    exports = subprocess.run(
        [python, "-c", _EXPORTS, *modules], check=True, cwd=output, capture_output=True, text=True
    )
    (output / PACKAGE / "__init__.py").write_text(exports.stdout)


def main() -> int:
    """Generate in place, or with `--check` compare with what is committed."""
    if "--check" not in sys.argv[1:]:
        generate(PROTOS)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        generate(output)
        fresh = {path.name for glob in GENERATED for path in (output / PACKAGE).glob(glob)}
        committed = {path.name for glob in GENERATED for path in (PROTOS / PACKAGE).glob(glob)}
        stale = [
            name
            for name in sorted(fresh | committed)
            if name not in fresh & committed
            or not filecmp.cmp(output / PACKAGE / name, PROTOS / PACKAGE / name, shallow=False)
        ]
    if stale:
        print(f"stale stubs, run `make stubs`: {', '.join(stale)}", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
