"""Only what pyproject.toml cannot say: a package of models/ beside those that are found, and the URLs.

Whoever publishes it names them: `EDGE_GATE_URLS="Source=https://…,Documentation=https://…" pip wheel .`
"""

import os

from setuptools import find_namespace_packages, setup

urls = dict(pair.split("=", 1) for pair in os.environ.get("EDGE_GATE_URLS", "").split(",") if pair)
setup(
    packages=[*find_namespace_packages(include=["edge", "edge.*"]), "edge.detect._models"],
    project_urls=urls,
)
