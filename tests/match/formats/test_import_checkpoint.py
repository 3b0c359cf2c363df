"""Interrupted imports and growing lists: no entry is doubled, lost or half visible."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.cli.bank import app
from edge.errors import InvalidInput
from edge.match import (
    Bank,
    Entry,
    EntryKind,
    Existing,
    Footage,
    HashListFormat,
    HashRun,
    Import,
    ImportStage,
    Matcher,
    Updated,
    Withdrawal,
    write_hash_list,
)
from edge.match.bank import bank_update

runner = CliRunner()


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_update, "CHUNK_HASHES", 7)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a kill keeps the page cache


def bits(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(32)


def plain_list(path: Path, seeds: Sequence[int]) -> Path:
    path.write_text("".join(f"{bits(seed).hex()}\n" for seed in seeds))
    return path


def run(*arguments: object, fails: bool = False) -> Any:
    result = runner.invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == (1 if fails else 0), result.output
    return json.loads(result.stdout)


def ids(bank: Path) -> set[str]:
    return {entry.id for entry, _ in Bank.open(bank).entries()}


def content(bank: Path) -> dict[Entry, tuple[HashRun, ...]]:
    return {f.entry: f.hashes for f in Bank.open(bank).footage()}


def strays(directory: Path) -> set[str]:
    """Files that belong to no bank."""
    named = {name.file for path in directory.glob("*.bank") for name in Bank.open(path).manifest.segments}
    known = {path.name for path in directory.glob("*.bank")} | named
    return {p.name for p in directory.iterdir() if not p.name.endswith(".lock")} - known


class Break(Exception):
    pass


def imported(bank: Path, source: Path, *, resume: bool, fail_after: int | None = None) -> Updated:
    """An import that is interrupted after some changes."""
    changes = Import(source, HashListFormat.JSONL)
    target = Bank.open(bank)
    stage = ImportStage(
        target.path,
        changes,
        existing=Existing.REPLACE,
        resume=resume,
        checkpoints=target.manifest.checkpoints,
    )

    def broken() -> Any:
        for number, change in enumerate(changes):
            if number == fail_after:
                raise Break
            yield change

    return target.update(
        broken(), existing=Existing.REPLACE, checkpoints=lambda: stage.checkpoints, stage=stage
    )


change = st.builds(
    lambda number, seeds: Footage(
        Entry(f"e{number}", EntryKind.VIDEO),
        tuple(HashRun(bits(seed), start_ms=40 * i) for i, seed in enumerate(seeds)),
    ),
    st.integers(0, 12),
    st.lists(st.integers(0, 50), min_size=1, max_size=4),
) | st.integers(0, 12).map(lambda number: Withdrawal(f"e{number}"))
plain_change = st.integers(0, 12).map(
    lambda seed: Footage(Entry(bits(seed).hex(), EntryKind.IMAGE), (HashRun(bits(seed)),))
) | st.integers(0, 12).map(lambda seed: Withdrawal(bits(seed).hex()))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(change | plain_change, max_size=12),
    changes=st.lists(change | plain_change, max_size=40),
    breaks=st.lists(st.integers(0, 25), max_size=3),
)
def test_an_import_with_breaks_is_the_import_without(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[Footage | Withdrawal],
    changes: list[Footage | Withdrawal],
    breaks: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("banks")
    source = folder / "list.jsonl"
    with source.open("w") as out:
        for one in changes:
            if isinstance(one, Withdrawal):
                out.write(json.dumps({"id": one.entry_id, "withdrawn": True}) + "\n")
            else:
                write_hash_list([one], out, HashListFormat.JSONL)
    for name in ("whole", "broken"):
        (folder / name).mkdir()
        Bank.create(folder / name / "known").update(before, existing=Existing.REPLACE)
    start = content(folder / "broken" / "known")
    expected = imported(folder / "whole" / "known", source, resume=False)
    for fail_after in breaks:
        try:
            imported(folder / "broken" / "known", source, resume=True, fail_after=fail_after)
        except Break:
            assert content(folder / "broken" / "known") == start
            continue
        break
    else:
        assert imported(folder / "broken" / "known", source, resume=True) == expected
    whole, broken = (
        {f.entry: f.hashes for f in Bank.open(folder / name / "known").footage()}
        for name in ("whole", "broken")
    )
    assert broken == whole
    assert strays(folder / "broken") == set()


KILLED = """
import os, signal, sys
from edge.match.bank import bank_update
from edge.match.formats import import_checkpoint
bank_update.CHUNK_HASHES = 100
saves, save = [], import_checkpoint.ImportStage.save
def killed(self, base, staged):
    save(self, base, staged)
    saves.append(1)
    if len(saves) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
import_checkpoint.ImportStage.save = killed
sys.argv[0] = "edge-gate"
from edge.cli import main
main()
"""


@pytest.mark.parametrize("form", ["pdq", "stopncii"])
def test_a_killed_import_shows_nothing_and_goes_on_where_it_was(tmp_path: Path, form: str) -> None:
    bank = tmp_path / "known"
    Bank.create(bank).add_footage(
        Footage(Entry(bits(seed).hex(), EntryKind.IMAGE), (HashRun(bits(seed)),))
        for seed in range(1000, 1010)
    )
    before = ids(bank)
    if form == "pdq":
        source = plain_list(tmp_path / "list.txt", range(1000))
    else:
        source = tmp_path / "page.json"
        records: list[dict[str, object]] = [
            {"signalType": "ImagePDQ", "hashValue": bits(seed).hex()} for seed in range(1000)
        ]
        for place, seed in ((150, 1003), (600, 20), (950, 1004)):
            records.insert(place, {**records[0], "hashValue": bits(seed).hex(), "hashStatus": "Withdrawn"})
        source.write_text(json.dumps({"hashRecords": records, "nextSetTimestamp": 77}))
    command = [sys.executable, "-c", KILLED, "bank", "import", str(source), "--bank", str(bank)]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert ids(bank) == before
    assert Bank.open(bank).manifest.checkpoints == {}
    assert run("verify", tmp_path)["banks"][0]["entries"] == 10
    (tmp_path / "known-000002-00000000.seg").write_bytes(b"written half before a kill")
    (tmp_path / ".known.import.x.part").write_bytes(b"the same")

    said = run("import", source, "--bank", bank, "--resume")
    assert said["resumed_after_line"] >= 300
    expected = before | {bits(seed).hex() for seed in range(1000)}
    if form == "stopncii":
        expected -= {bits(seed).hex() for seed in (1003, 20, 1004)}
        assert (said["added"], said["removed"]) == (999, 2)
        assert said["checkpoints"] == {"stopncii.nextSetTimestamp": "77"}
    assert ids(bank) == expected
    assert strays(tmp_path) == {source.name}


def test_a_list_that_grew_is_read_from_where_it_ended(tmp_path: Path) -> None:
    bank, source = tmp_path / "known", plain_list(tmp_path / "list.txt", range(30))
    assert run("import", source, "--bank", bank, "--resume")["resumed_after_line"] == 0
    digest = Bank.open(bank).digest
    again = run("import", source, "--bank", bank, "--resume")
    assert (again["resumed_after_line"], again["added"], again["skipped"]) == (30, 0, 0)
    assert Bank.open(bank).digest == digest, "what changes nothing must not make every gate read anew"
    with source.open("a") as out:
        out.write("".join(f"{bits(seed).hex()}\n" for seed in (3, 30, 31)))
    grown = run("import", source, "--bank", bank, "--resume")
    assert (grown["resumed_after_line"], grown["added"], grown["skipped"]) == (30, 2, 1)
    assert run("import", source, "--bank", bank)["skipped"] == 33
    plain_list(source, [99, *range(1, 32)])
    other = run("import", source, "--bank", bank, "--resume")
    assert (other["resumed_after_line"], other["added"]) == (0, 1)


def test_a_csv_goes_on_at_an_entry_and_a_line_that_had_no_end_is_read_again(tmp_path: Path) -> None:
    bank, source = tmp_path / "known", tmp_path / "list.csv"
    rows = [f"v{n // 3},{bits(n).hex()},{40 * (n % 3)}" for n in range(30)]
    source.write_text("entry,hash,start_ms\n" + "\n".join(rows[:20]))
    run("import", source, "--bank", bank)
    source.write_text("entry,hash,start_ms\n" + "\n".join(rows) + "\n")
    said = run("import", source, "--bank", bank, "--resume", "--existing", "replace")
    assert said["resumed_after_line"] == 0, "other options are another import"
    assert {f.entry.id: len(f.hashes) for f in Bank.open(bank).footage()} == {f"v{n}": 3 for n in range(10)}


def test_a_wrong_line_is_mended_and_the_import_goes_on(tmp_path: Path) -> None:
    bank, source = tmp_path / "known", plain_list(tmp_path / "list.txt", range(40))
    whole = source.read_text()
    source.write_text(whole.replace(bits(30).hex(), "rubbish"))
    result = runner.invoke(app, ["import", str(source), "--bank", str(bank)])
    assert result.exit_code == 1
    assert "list.txt:31: hash" in result.stderr
    assert "kept up to line 28; --resume" in result.stderr
    assert not list(tmp_path.glob("*.bank"))
    source.write_text(whole)
    assert run("import", source, "--bank", bank, "--resume")["resumed_after_line"] == 28
    assert ids(bank) == {bits(seed).hex() for seed in range(40)}
    assert strays(tmp_path) == {source.name}


def test_what_was_kept_is_not_used_when_the_bank_has_changed(tmp_path: Path) -> None:
    bank, source = tmp_path / "known", tmp_path / "list.jsonl"
    Bank.create(bank)
    items = [Footage(Entry(f"e{n}", EntryKind.VIDEO), (HashRun(bits(n)),)) for n in range(20)]
    with source.open("w") as out:
        write_hash_list(items, out, HashListFormat.JSONL)
    with pytest.raises(Break):
        imported(bank, source, resume=False, fail_after=15)
    Bank.open(bank).add_footage([Footage(Entry("e3", EntryKind.VIDEO), (HashRun(bits(99)),))])
    assert imported(bank, source, resume=True) == Updated(added=19, replaced=1)
    assert {f.entry.id: f.hashes[0].bits for f in Bank.open(bank).footage()} == {
        f"e{n}": bits(n) for n in range(20)
    }
    assert strays(tmp_path) == {source.name}


def test_half_an_import_never_matches(tmp_path: Path) -> None:
    banks = tmp_path / "banks"
    Bank.create(banks / "known")
    matcher = Matcher.open(banks)
    source = plain_list(tmp_path / "list.txt", range(40))
    changes = Import(source, HashListFormat.PDQ)
    target = Bank.open(banks / "known")
    stage = ImportStage(target.path, changes, existing=Existing.SKIP, resume=False, checkpoints={})
    seen = []

    def watched() -> Any:
        for one in changes:
            matcher.reload()
            seen.append(matcher.hashes)
            yield one
        raise InvalidInput("list", "breaks off")

    with pytest.raises(InvalidInput):
        target.update(watched(), stage=stage)
    assert set(seen) == {0}
    assert stage.kept is not None
    assert stage.kept.line == 35


def test_a_csv_whose_rows_are_apart_does_not_get_in_by_going_on(tmp_path: Path) -> None:
    bank, source = tmp_path / "known", tmp_path / "list.csv"
    rows = [f"v{n // 3},{bits(n).hex()},{40 * (n % 3)}" for n in range(30)]
    apart = [*rows, f"v0,{bits(30).hex()},120"]
    source.write_text("\n".join(["entry,hash,start_ms", *apart]) + "\n")
    for resumed in ((), ("--resume",), ("--resume",)):
        result = runner.invoke(app, ["import", str(source), "--bank", str(bank), *resumed])
        assert result.exit_code == 1
        assert "list.csv:32: entry: rows of 'v0' are not together; sort by entry" in result.stderr
        assert "kept up to line" in result.stderr
        assert not list(tmp_path.glob("*.bank"))
    source.write_text("\n".join(["entry,hash,start_ms", *rows]) + "\n\n")
    said = run("import", source, "--bank", bank, "--resume")
    assert (said["added"], said["skipped"]) == (10, 0)
    assert said["resumed_after_line"] > 0
    digest = Bank.open(bank).digest

    with source.open("a") as out:
        out.write(f"v9,{bits(31).hex()},120\n")
    said = run("import", source, "--bank", bank, "--resume", fails=True)
    assert "list.csv:33: entry: 'v9' goes on after what was imported before" in said["error"]
    assert Bank.open(bank).digest == digest
    run("import", source, "--bank", bank, "--existing", "replace")
    assert {f.entry.id: len(f.hashes) for f in Bank.open(bank).footage()} == {
        **{f"v{n}": 3 for n in range(9)},
        "v9": 4,
    }
