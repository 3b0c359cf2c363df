"""The policy that a model was calibrated for."""

from __future__ import annotations

import json
from pathlib import Path

from edge.detect.manifest import read_manifest
from edge.errors import ConfigError, InvalidInput
from edge.policy import MAX_POLICY_BYTES, CategoryPolicy, Policy, merge_patch, parse_policy
from edge.settings_file import read_settings_text

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


def first_policy(model_dir: Path, patch: Path | None) -> Policy:
    """Returns the policy of a first start: the default one, changed by a JSON Merge Patch in a file.

    Raises ConfigError that names the file and the field.
    """
    policy = default_policy(model_dir)
    if patch is None:
        return policy
    try:
        values = json.loads(read_settings_text(patch, MAX_POLICY_BYTES))
        if not isinstance(values, dict):
            raise InvalidInput("policy", "is no JSON object")
        return parse_policy(json.dumps(merge_patch(policy.model_dump(mode="json"), values)))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"first_policy: {patch}: is no JSON: {error}") from None
    except InvalidInput as error:
        raise ConfigError(f"first_policy: {patch}: {error}") from None
