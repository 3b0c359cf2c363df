"""Only what pyproject.toml cannot say: a package of models/ beside the packages that are found."""

from setuptools import find_namespace_packages, setup

setup(packages=[*find_namespace_packages(include=["edge", "edge.*"]), "edge.detect._models"])
