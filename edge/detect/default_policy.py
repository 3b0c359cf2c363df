"""The policy that a model was calibrated for."""

from __future__ import annotations

from pathlib import Path

from edge.detect.manifest import read_manifest
from edge.policy import CategoryPolicy, Policy

_RELEASE_OF_RAISE = 0.75


def default_policy(model_dir: Path) -> Policy:
    """Returns the default policy with the thresholds from the model's manifest."""
    manifest, _, _ = read_manifest(model_dir)
    return Policy(
        categories={
            category.name: CategoryPolicy(
                raise_at=category.thresholds.raise_tier,
                release_at=_RELEASE_OF_RAISE * category.thresholds.raise_tier,
                flag_at=category.thresholds.flag,
                cut_at=category.thresholds.cut,
            )
            for category in manifest.categories
        }
    )
