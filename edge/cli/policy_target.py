"""The source of a policy and the target of its new version: a running gate or a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.api.auth import Role
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection
from edge.contract.gen import operator_pb2
from edge.durable_files import appearing
from edge.errors import ConfigError
from edge.policy import MAX_POLICY_BYTES, Policy, parse_policy
from edge.settings_file import read_settings_file


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    """A policy and the function that replaces it."""

    policy: Policy
    write_policy: Callable[[Policy, str], str]
    """Takes the new policy and a reason. Returns a short text of what it did. Raises GateError."""


def file_target(path: Path) -> PolicyTarget:
    """Targets a file. Raises ConfigError when it cannot be read, and the errors of ``parse_policy``."""
    try:
        before = read_settings_file(path, MAX_POLICY_BYTES)
    except ConfigError as error:
        raise ConfigError(f"--policy {error}") from None

    def write_policy(policy: Policy, reason: str) -> str:
        del reason
        version = policy.version + 1
        try:
            if read_settings_file(path, MAX_POLICY_BYTES) != before:
                raise ConfigError(f"{path}: somebody changed it meanwhile; nothing was written")
            text = policy.model_copy(update={"version": version}).model_dump_json(indent=2) + "\n"
            with appearing(path) as file:
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
                file.write(text.encode())
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        return f"{path}, version {version}"

    return PolicyTarget(parse_policy(before), write_policy)


def gate_target(connection: GateConnection) -> PolicyTarget:
    """Targets a running gate. Raises the errors of ``GateConnection.operator``."""
    with connection.operator(Role.ADMIN) as (stub, metadata):
        request = operator_pb2.GetPolicyRequest()
        stored = stub.GetPolicy(request, metadata=metadata, timeout=CALL_TIMEOUT_S)

    def write_policy(policy: Policy, reason: str) -> str:
        with connection.operator(Role.ADMIN) as (stub, metadata):
            request = operator_pb2.SetPolicyRequest(
                json=policy.model_dump_json(), expected_version=stored.version, reason=reason[:512]
            )
            new = stub.SetPolicy(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
        return f"gate {connection.gate}, policy version {new.version}"

    return PolicyTarget(parse_policy(stored.json), write_policy)


def model_target(model_dir: Path) -> PolicyTarget:
    """Takes the policy that the model was calibrated for. It has no target to write to."""
    from edge.detect.default_policy import default_policy

    def write_policy(policy: Policy, reason: str) -> str:
        raise ConfigError("--apply wants --policy FILE or a running gate")

    return PolicyTarget(default_policy(model_dir), write_policy)
