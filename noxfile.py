"""`make test-matrix`: the tests that need no other server, on every supported Python that is installed."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """pytest without the tests that drive real servers; arguments behind `--` go to pytest."""
    session.install("--quiet", "--constraint", "constraints.txt", "--editable", ".[dev]")
    session.run(
        "python", "-m", "pytest", "--ignore=tests/integration", "--ignore=tests/e2e", *session.posargs
    )
