"""Generates edge/contract/gen from protos/. `--check` fails when the committed code is out of date.

protoc writes imports by proto package (`from edge.gate.v1 import gate_pb2`), which would shadow the import
package `edge`. This script rewrites them to `edge.contract.gen`.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
TARGET = ROOT.parent / "edge" / "contract" / "gen"
PROTOS = ("gate", "operator", "share", "worker")
_IMPORT = re.compile(r"from edge\.\w+\.v1 import (\w+_pb2)")
_HEADER = '"""Generated from protos/ by protos/generate.py; do not edit."""\n'


def generate(into: Path) -> dict[str, str]:
    """Runs protoc into the folder ``into``. Returns file name → text, with rewritten imports."""
    include = Path(protoc.__file__).parent / "_proto"
    files = [str(ROOT / "edge" / name / "v1" / f"{name}.proto") for name in PROTOS]
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT}",
            f"-I{include}",
            f"--python_out={into}",
            f"--mypy_out={into}",
            f"--grpc_python_out={into}",
            f"--mypy_grpc_out={into}",
            *files,
        ]
    )
    if code != 0:
        raise SystemExit(f"protoc failed with exit code {code}")
    produced = {"__init__.py": _HEADER}
    for path in sorted(into.rglob("*_pb2*")):
        if path.name.startswith("worker_pb2_grpc"):
            continue  # the file has no service
        text = path.read_text(encoding="utf-8")
        text = _IMPORT.sub(r"from edge.contract.gen import \1", text)
        text = re.sub(r"import edge\.\w+\.v1\.(\w+_pb2) as (\w+)", r"import edge.contract.gen.\1 as \2", text)
        text = re.sub(r"\bedge\.\w+\.v1\.(\w+_pb2)\b", r"edge.contract.gen.\1", text)
        produced[path.name] = text
    return produced


def main() -> int:
    check = "--check" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        produced = generate(Path(folder))
    present = {p.name: p.read_text(encoding="utf-8") for p in TARGET.glob("*.py*") if p.is_file()}
    if check:
        stale = sorted(n for n in produced.keys() | present.keys() if produced.get(n) != present.get(n))
        if stale:
            print(
                f"edge/contract/gen is out of date ({', '.join(stale)}): run `make protos`", file=sys.stderr
            )
            return 1
        return 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in present.keys() - produced.keys():
        (TARGET / name).unlink()
    for name, text in produced.items():
        (TARGET / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(produced)} files to {TARGET.relative_to(ROOT.parent)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
