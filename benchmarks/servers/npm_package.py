"""Packages of the npm registry that tests and benchmarks run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund")
INSTALL_S = 300.0


def install_package(package: str, directory: Path) -> Path:
    """Returns ``directory``, which holds ``node_modules``.

    npm installs ``package``, ``NAME@VERSION``, there without scripts when it is missing.

    Raises subprocess.CalledProcessError with npm's output.
    """
    name = package.rpartition("@")[0]
    if (directory / "node_modules" / name / "package.json").is_file():
        return directory
    fresh = directory.with_name(f"{directory.name}.{os.getpid()}")
    fresh.mkdir(parents=True)
    try:
        subprocess.run(
            ["npm", "install", *NPM_OPTIONS, "--prefix", str(fresh), package],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
        )
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return directory
