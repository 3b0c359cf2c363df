"""Every exception of ours is in ``edge.errors``, and the tree at the top of that file is current."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from pathlib import Path

from edge import errors
from edge.errors import CallFailed, Fault, GateError

ROOT = Path(__file__).resolve().parents[1]
OURS = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, GateError)
}
BUILT_IN = {
    name
    for name, value in vars(builtins).items()
    if inspect.isclass(value) and issubclass(value, BaseException)
}


def _is_exception(base: ast.expr) -> bool:
    name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
    return name in OURS or name in BUILT_IN or name.endswith(("Error", "Exception"))


def test_no_exception_is_defined_elsewhere() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in sorted((ROOT / "edge").rglob("*.py"))
        if path != ROOT / "edge" / "errors.py"
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ClassDef) and any(map(_is_exception, node.bases))
    ]
    assert not strays


def test_no_error_is_raised_as_the_bare_base() -> None:
    """The base class says neither what is wrong nor whether a retry can help."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "edge").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and getattr(node.exc.func, "id", "") == GateError.__name__
    ]
    assert not bare


def test_the_drawing_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    retryable, publisher = set(), set()
    above: list[str] = []
    for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
        if not (match := re.match(r"((?:[│ ]   )*)(?:[├└]── )?([A-Z][A-Za-z]+) {2,}(\S.*)", line)):
            continue
        name = match[2]
        depth = len(match[1]) // 4 + (name != GateError.__name__)
        above = [*above[:depth], name]
        drawn[name] = above[depth - 1] if depth else "Exception"
        if "(retryable)" in match[3]:
            retryable.add(name)
        if "(publisher)" in match[3]:
            publisher.add(name)
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in OURS.items()}
    assert retryable == {name for name, kind in OURS.items() if kind.retryable}
    assert publisher == {name for name, kind in OURS.items() if kind.fault is Fault.PUBLISHER}


def test_each_reason_is_one_errors_own() -> None:
    reasons = [kind.reason for kind in OURS.values()]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", reason) for reason in reasons)


def test_a_failed_call_says_whether_the_gate_would_take_it_again() -> None:
    assert CallFailed("busy", retryable=True).retryable
    assert not CallFailed("no such block", retryable=False).retryable
