"""``edge-gate audit`` on real ledgers, beside a connection that writes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.cli.app import app
from edge.config import load_settings
from edge.domain import SubjectKind
from edge.ledger import DurableLedger
from tests.postgresql import Cluster, Store

NOW = 1_700_000_000_000


def audit(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "sqlite":
        return Store(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl")
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.new_store(tmp_path)


@pytest.fixture
def block_ids(store: Store) -> list[str]:
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    ids = [
        ledger.add_block(
            SubjectKind.BROADCASTER, name, "", 3_600_000, 'a "reason", عربي', "anna", NOW + day * 86_400_000
        ).id
        for day, name in enumerate(("berta", "carl", "dora"))
    ]
    ledger.close()
    return ids


def test_a_ledger_is_verified_and_a_row_edited_by_hand_is_named(store: Store, block_ids: list[str]) -> None:
    result = audit("verify", "--ledger", store.url, "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["ok"], said["entries"], said["rows"]) == (0, True, 3, 3)
    assert "ok: 3 audit entries" in audit("verify", "--ledger", store.url).stdout
    head = said["head"]

    store.execute(f"UPDATE blocks SET until_ms = 1 WHERE id = '{block_ids[1]}'")
    result = audit("verify", "--ledger", store.url, "--json")
    (finding,) = json.loads(result.stdout)["findings"]
    assert (result.exit_code, finding["row"]) == (1, f"blocks {block_ids[1]}")
    assert block_ids[1] in "".join(audit("verify", "--ledger", store.url).stdout.split())

    store.drop_audit_triggers()
    store.execute("DELETE FROM audit WHERE number = 3", f"DELETE FROM blocks WHERE id = '{block_ids[2]}'")
    rows = [f["row"] for f in json.loads(audit("verify", "--ledger", store.url, "--json").stdout)["findings"]]
    assert rows == [f"blocks {block_ids[1]}"]
    result = audit("verify", "--ledger", store.url, "--json", "--expect", head)
    assert {"audit 3"} < {finding["row"] for finding in json.loads(result.stdout)["findings"]}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_is_verified_without_the_ledger(
    store: Store, block_ids: list[str], form: str, tmp_path: Path
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    written = audit("export", "--ledger", store.url, "--format", form, "--out", whole, "--json")
    head = json.loads(written.stdout)["head"]
    assert whole.stat().st_mode & 0o077 == 0
    assert audit("verify", "--file", whole, "--expect", head).exit_code == 0
    assert audit("export", "--ledger", store.url, "--format", form).stdout == whole.read_text()

    arguments = ("--since", "2023-11-15", "--until", "2023-11-16T23:00", "--format", form, "--out", part)
    assert audit("export", "--ledger", store.url, *arguments).exit_code == 0
    said = json.loads(audit("verify", "--file", part, "--json").stdout)
    assert (said["ok"], said["first"], said["entries"]) == (True, 2, 2)
    assert audit("verify", "--ledger", store.url, "--expect", part).exit_code == 0

    part.write_text(part.read_text().replace("carl", "karl"))
    said = json.loads(audit("verify", "--file", part, "--json").stdout)
    assert [finding["row"] for finding in said["findings"]] == ["audit 2"]
    part.write_text("\n".join(whole.read_text().splitlines()[:-2]) + "\n")
    assert audit("verify", "--file", part).exit_code == 0
    assert "cut short" in audit("verify", "--file", part, "--expect", head).stdout


@pytest.mark.parametrize("name", ["a?b=c", "a%20b", "a#b", "a b", "ü'\""])
def test_any_folder_may_hold_the_ledger(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    settings = load_settings(None, {"data_dir": folder})
    DurableLedger.open(settings.ledger, tmp_path / "journal").close()
    assert (folder / "edge.db").is_file()
    assert audit("verify", "--data-dir", folder).exit_code == 0


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_text('{"number": 1}\n')
    (tmp_path / "wide").write_text("x" * 200_000 + "\n")
    os.mkfifo(tmp_path / "fifo")
    for arguments, named in (
        (("verify", "--ledger", f"sqlite:///{tmp_path}/none.db"), "does not exist"),
        (("verify", "--data-dir", str(tmp_path)), "edge.db does not exist"),
        (("verify", "--file", str(tmp_path / "none")), "No such file"),
        (("verify", "--file", str(tmp_path / "damaged")), "damaged:1: wall_ms is missing"),
        (("verify", "--file", str(tmp_path / "wide")), "wide:1: the columns must be"),
        (("verify", "--file", str(tmp_path / "fifo")), "not a regular file"),
        (("verify", "--ledger", "postgresql://u:pw@h:x/db"), "ledger_url"),
        (("verify", "--expect", "7"), "NUMBER:DIGEST"),
        (("export", "--data-dir", str(tmp_path), "--since", "yesterday"), "--since"),
        (("export", "--data-dir", str(tmp_path), "--json"), "--out"),
    ):
        result = audit(*arguments)
        assert (result.exit_code, named in result.output.replace("\n", "")) == (1, True), result.output
