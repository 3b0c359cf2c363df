"""``edge-gate check-config``: validates a settings or policy file and prints what it means."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.output import JsonOption, print_json, print_line, print_warning, reports_errors
from edge.errors import ConfigError
from edge.settings_file import read_settings_file

EXAMPLE = """\
# edge-gate settings. Every field has a default; EDGE_GRPC__LISTEN=… in the environment wins.
data_dir = "edge-data"            # ledger, evidence, banks, operator tokens
log_level = "info"
# messages_dir = "messages"       # en.json and ar.json: your rules, and how to appeal, in your own words

[grpc]
listen = "127.0.0.1:50051"        # or "unix:/run/edge-gate.sock"; beyond this machine: TLS
# tls_cert = "server.pem"
# tls_key = "server.key"
# tls_client_ca = "clients.pem"   # ask clients for a certificate

[http]
listen = "127.0.0.1:8085"         # hooks, /metrics, /healthz
# hook_secret = "…"

# [webhook]                       # tell the platform what was decided, signed
# url = "https://platform.example/edge-gate"
# secret = "whsec_…"              # edge-gate webhook secret

# [fleet]                         # gates on one PostgreSQL show each other's evidence
# address = "gate-1.example:50051"
# secret = "…"                    # the same on every gate: openssl rand -hex 32

[limits]
max_streams = 1024
max_access_unit_bytes = 4194304

[workers]
# count = 2                       # default: one a core

# Your ingest server: take the comment signs off its section, and off no other.
"""


@reports_errors
def check_config(
    path: Annotated[
        Path | None, typer.Argument(help="A settings file (TOML), or with --policy a policy (JSON).")
    ] = None,
    policy: Annotated[bool, typer.Option("--policy", help="PATH is a policy.")] = False,
    app: Annotated[str, typer.Option("--app", help="Print the effective policy of this application.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Print the effective policy of this tenant.")] = "",
    example: Annotated[bool, typer.Option("--example", help="Print an example to start from.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a file without starting anything. Print the effective values, defaults included.

    A policy may differ by application (`apps`) and by the publish's attribute `tenant` (`tenants`).
    `{"apps": {"kids-*": {"tiers": {"blind_limit_ms": 1500}}}}` names only what differs. --app and --tenant
    print the policy of such a stream.

    For settings it also reads the first policy and the certificates that they name, and says what this
    machine lacks to contain the processes that touch media.

    Exits with 1 and names the field when the file is not usable.
    """
    from edge.api.certificates import Certificates, TlsFiles
    from edge.config import load_settings
    from edge.containment import lacking, problems
    from edge.detect import default_model_directory
    from edge.detect.default_policy import first_policy
    from edge.ledger.engine import check_ledger_url
    from edge.notices import own_messages
    from edge.policy import MAX_POLICY_BYTES, Policy, parse_policy
    from edge.servers.example import example_sections

    settings_example = EXAMPLE + example_sections()
    if example and as_json:
        print_json(Policy().model_dump(mode="json") if policy else tomllib.loads(settings_example))
        return
    if example:
        typer.echo(Policy().model_dump_json(indent=2) if policy else settings_example, nl=policy)
        return
    if (app or tenant) and not policy:
        raise ConfigError("--app, --tenant: only a policy differs by them, use --policy")
    if path is None and policy:
        raise ConfigError("PATH: name the policy file, or use --example")
    if policy and path is not None:
        checked = parse_policy(read_settings_file(path, MAX_POLICY_BYTES))
        resolved = checked.for_app(app, tenant) if app or tenant else checked
        values = resolved.model_dump(mode="json")
        lacks = None
    else:
        settings = load_settings(path)
        if settings.messages_dir is not None:
            own_messages(settings.messages_dir)
        check_ledger_url(settings.ledger)
        if settings.first_policy is not None:
            first_policy(settings.model_dir or default_model_directory(), settings.first_policy)
        for files in (TlsFiles.of_grpc(settings.grpc), TlsFiles.of_share(settings.share)):
            if files is not None:
                Certificates(files)
        values = settings.model_dump(mode="json")
        for warning in settings.warnings():
            print_warning(warning)
        lacks = problems(lacking())
    machine = {} if lacks is None else {"containment_lacks": list(lacks)}
    if as_json:
        print_json({"ok": True, "path": None if path is None else str(path), "values": values, **machine})
        return
    print_line(f"{path or 'defaults'}: ok")
    if lacks is not None:
        print_line(f"containment on this machine: {'lacks ' + '; '.join(lacks) if lacks else 'complete'}")
    for line in _lines(values, ""):
        print_line(line)


def _lines(values: dict[str, object], prefix: str) -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _lines(value, f"{prefix}{key}.")
        else:
            lines.append(f"  {prefix}{key} = {value}")
    return lines
