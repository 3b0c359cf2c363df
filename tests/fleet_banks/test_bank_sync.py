"""Gates on one ledger, with real folders: what one has, all have; the database away, damage, loss."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import LedgerUnavailable
from edge.fleet_banks import sealing
from edge.ledger.tables import audit, bank_changes, bank_parts
from edge.match import Bank, BankInfo
from edge.match.bank.bank_update import Existing, Withdrawal
from edge.match.bank.mark_notes import MarkNote, read_notes
from tests.fleet_banks.gates import Gate, image, video
from tests.fleet_banks.model import ModelGate, apply
from tests.postgresql import Cluster, Store

BANK = "films"
on_both = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if getattr(request, "param", "sqlite") == "sqlite":
        return Store(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl")
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.new_store(tmp_path)


@pytest.fixture
def fleet(store: Store, tmp_path: Path) -> Iterator[tuple[Gate, Gate, Gate]]:
    one, two, three = (Gate(store.url, tmp_path, name) for name in ("one", "two", "three"))
    yield one, two, three
    for gate in (one, two, three):
        gate.ledger.close()


def in_step(*gates: Gate) -> None:
    for _ in range(2):
        for gate in gates:
            gate.round()
    assert all(not (done.taken or done.told) for done in map(Gate.round, gates))


def audited(store: Store) -> list[tuple[str, str, dict[str, Any]]]:
    with store.engine.connect() as connection:
        rows = connection.execute(sa.select(audit).order_by(audit.c.number)).all()
    return [(row.who, row.what, json.loads(row.detail)) for row in rows]


@on_both
def test_what_one_gate_changes_all_have(fleet: tuple[Gate, Gate, Gate], store: Store) -> None:
    one, two, _ = fleet
    bank = Bank.create(one.banks / BANK, BankInfo(label="fight", source="the police"))
    bank.update([video("a", 1, 2, 3), video("b", 4), image(9)], by="rita", checkpoints=lambda: {"feed": "7"})
    in_step(one, two)
    assert two.content() == {video("a", 1, 2, 3), video("b", 4), image(9)}
    assert (two.bank().info.label, two.bank().manifest.checkpoints["feed"]) == ("fight", "7")

    note = MarkNote(by="omar", reason="a film", wall_ms=5)
    two.bank().set_enabled(["a"], False, note)
    two.bank().remove(["b"], by="omar")
    two.bank().change(two.bank().info.model_copy(update={"enabled": False}), note)
    in_step(*fleet)
    for gate in fleet:
        assert gate.content() == {video("a", 1, 2, 3), image(9)}
        assert gate.bank().manifest.disabled == ("a",)
        assert not gate.bank().info.enabled
        assert read_notes(gate.bank().path)["a"] == note

    found = {what: (who, detail) for who, what, detail in audited(store)}
    who, detail = found["bank_added"]
    assert (who, detail["gate"], detail["entries"], detail["sources"]) == ("rita", "one", 3, ["police"])
    assert {"a", "b"} < set(detail["ids"])
    assert (found["bank_withdrawn"][0], found["bank_withdrawn"][1]["ids"]) == ("omar", ["b"])
    assert found["bank_marked"][0] == "omar"
    assert one.ledger.audit_verify()


def test_what_was_changed_while_the_database_was_away_comes_after(
    fleet: tuple[Gate, Gate, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = fleet
    Bank.create(one.banks / BANK).add_footage([video("a", 1), video("b", 2)])
    in_step(one, two)
    with store_away(one, monkeypatch):
        one.bank().add_footage([video("c", 3)])
        one.bank().remove(["a"])
        with pytest.raises(LedgerUnavailable):
            one.sync.round()
        two.bank().add_footage([video("d", 4)])
        two.round()
    one.begin()  # as after a restart in between
    in_step(one, two)
    assert one.content() == two.content() == {video("b", 2), video("c", 3), video("d", 4)}


class store_away:
    """The database does not answer one gate."""

    def __init__(self, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gate, self._patch = gate, monkeypatch

    def __enter__(self) -> None:
        def away(doing: str) -> None:
            raise LedgerUnavailable(doing)

        self._patch.setattr(self._gate.ledger._database, "read", away)

    def __exit__(self, *error: object) -> None:
        self._patch.undo()


@on_both
def test_a_new_gate_fills_itself_from_a_sealed_bank(
    fleet: tuple[Gate, Gate, Gate], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SEAL_AFTER", 3)
    one, two, new = fleet
    Bank.create(one.banks / BANK, BankInfo(label="fight"))
    behind = video("behind", 99)
    two.banks.mkdir(parents=True)
    for number in range(7):
        one.bank().add_footage([video(f"v{number}", number)])
        if number == 2:
            in_step(one, two)
            two.bank().add_footage([behind])
        if number == 5:
            one.bank().remove(["v1"])
        one.round()
    one.bank().set_quarantined(["v4"], True)
    one.round()
    with store.engine.connect() as connection:
        kinds = list(connection.execute(sa.select(bank_changes.c.kind)).scalars())
        first = connection.execute(sa.select(sa.func.min(bank_changes.c.number))).scalar_one()
    assert first > 1
    assert kinds.count("sealed") >= 2
    in_step(new, one, two)
    wanted = {video(f"v{number}", number) for number in range(7) if number != 1} | {behind}
    for gate in fleet:
        assert gate.content() == wanted
        assert gate.bank().manifest.quarantined == ("v4",)
        assert gate.bank().info.label == "fight"
    assert one.ledger.audit_verify()


def test_a_withdrawal_that_was_sealed_wins_over_a_gate_that_joins(
    fleet: tuple[Gate, Gate, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SEAL_AFTER", 3)
    one, joins, _ = fleet
    Bank.create(one.banks / BANK).add_footage([video("a", 1), video("b", 2)])
    one.round()
    one.bank().remove(["a"])
    for number in range(5):
        one.bank().add_footage([video(f"v{number}", number)])
        one.round()
    Bank.create(joins.banks / BANK, BankInfo(label="old")).add_footage([video("a", 1), video("mine", 7)])
    in_step(joins, one)
    assert "a" not in {item.entry.id for item in joins.content()}
    assert joins.content() == one.content()
    assert joins.bank().info == one.bank().info == BankInfo()


@on_both
def test_a_damaged_change_changes_nothing_until_a_sealed_bank_is_behind_it(
    fleet: tuple[Gate, Gate, Gate], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = fleet
    Bank.create(one.banks / BANK).add_footage([video("a", 1)])
    Bank.create(one.banks / "others").add_footage([video("o", 1, 2)])
    in_step(one, two)
    one.bank().add_footage([video("b", 2)])
    one.round()
    with store.engine.begin() as connection:
        newest = connection.execute(
            sa.select(bank_changes.c.detail).order_by(bank_changes.c.sequence.desc()).limit(1)
        ).scalar_one()
        damaged = json.loads(newest)["segment"]["digest"]
        mine = bank_parts.c.digest == damaged
        content = connection.execute(sa.select(bank_parts.c.content).where(mine)).scalar_one()
        wrong = bytes(content[:-1]) + bytes([content[-1] ^ 1])
        connection.execute(bank_parts.update().where(mine).values(content=wrong))
    Bank.open(one.banks / "others").add_footage([video("p", 3)])
    one.round()
    done = two.sync.round()
    assert [name for name, _ in done.problems] == [BANK]
    assert two.sync.round().problems == done.problems
    assert two.content() == {video("a", 1)}
    assert two.content("others") == {video("o", 1, 2), video("p", 3)}
    # What the gate has besides is not told while it is behind.
    two.bank().add_footage([video("c", 3)])
    two.sync.round()
    assert one.content() == {video("a", 1), video("b", 2)}
    monkeypatch.setattr(sealing, "SEAL_AFTER", 1)
    for number in range(3):
        one.bank().add_footage([video(f"v{number}", number)])
        one.round()
    in_step(two, one)
    assert one.content() == two.content()
    assert video("c", 3) in one.content()


def test_what_a_newer_gate_says_is_kept_counted_and_skipped(
    fleet: tuple[Gate, Gate, Gate], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.ledger.bank_changes import NewBankChange

    monkeypatch.setattr(sealing, "SEAL_AFTER", 1)
    one, two, _ = fleet
    Bank.create(one.banks / BANK).add_footage([video("a", 1)])
    monkeypatch.setattr(sealing, "SEAL_AFTER", 100)
    one.round()
    head = one.ledger.bank_heads()[BANK]
    newer = [
        NewBankChange("renamed", "x", "{}"),
        NewBankChange("settings", "x", '{"settings":{"opinion":"x"}}'),
    ]
    one.ledger.put_bank_changes(BANK, head, newer, 1)
    one.bank().add_footage([video("b", 2)])
    in_step(one, two)
    assert two.sync.round().unknown == 2
    assert two.content() == one.content() == {video("a", 1), video("b", 2)}
    monkeypatch.setattr(sealing, "SEAL_AFTER", 1)
    one.bank().add_footage([video("c", 2)])
    in_step(one, two)
    assert one.ledger.bank_sealed(BANK) is None  # a newer gate seals it, which knows what they come to


def test_a_folder_that_lost_entries_is_filled_again(fleet: tuple[Gate, Gate, Gate]) -> None:
    one, two, _ = fleet
    Bank.create(one.banks / BANK).add_footage([video("a", 1)])
    older = (one.banks / f"{BANK}.bank").read_bytes()
    one.bank().add_footage([video("b", 2)])
    in_step(one, two)
    (one.banks / f"{BANK}.bank").write_bytes(older)
    in_step(one, two)
    assert one.content() == two.content() == {video("a", 1), video("b", 2)}
    (one.banks / f"{BANK}.bank").unlink()
    in_step(one, two)
    assert one.content() == two.content() == {video("a", 1), video("b", 2)}


def test_an_empty_bank_is_deleted_everywhere(fleet: tuple[Gate, Gate, Gate]) -> None:
    one, two, _ = fleet
    Bank.create(one.banks / BANK).add_footage([video("a", 1)])
    in_step(one, two)
    two.bank().remove(["a"])
    two.round()
    (two.banks / f"{BANK}.bank").unlink()
    in_step(two, one)
    assert not (one.banks / f"{BANK}.bank").exists()
    Bank.create(one.banks / BANK, BankInfo(label="new"))
    in_step(one, two)
    assert two.bank().info.label == "new"


def test_a_database_that_lost_commits_gets_them_again(fleet: tuple[Gate, Gate, Gate], store: Store) -> None:
    one, two, _ = fleet
    Bank.create(one.banks / BANK).add_footage([video("a", 1)])
    in_step(one, two)
    one.bank().add_footage([video("b", 2)])
    in_step(one, two)
    with store.engine.begin() as connection:
        newest = connection.execute(sa.select(sa.func.max(bank_changes.c.sequence))).scalar_one()
        connection.execute(bank_changes.delete().where(bank_changes.c.sequence == newest))
    two.bank().add_footage([video("c", 3)])
    in_step(two, one)
    assert one.content() == two.content() == {video("a", 1), video("b", 2), video("c", 3)}


def test_gates_that_had_the_same_list_before_write_nothing_anew(fleet: tuple[Gate, Gate, Gate]) -> None:
    images = [image(number) for number in range(20)]
    for gate in fleet:
        Bank.create(gate.banks / BANK, BankInfo(label="list")).add_footage(images)
        Bank.create(gate.banks / "more", BankInfo(label="list")).add_footage(
            [*images[:9], image(len(gate.name))]
        )
    before = {gate.name: gate.bank().manifest.segments for gate in fleet}
    in_step(*fleet)
    for gate in fleet:
        assert gate.bank().manifest.segments == before[gate.name]
        assert gate.content("more") == {*images[:9], image(3), image(5)}


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "withdraw", "mark", "label", "round", "restart", "compact"]),
        st.integers(0, 2),
        st.sampled_from("ab"),
        st.integers(0, 3),
    ),
    max_size=25,
)


@settings(max_examples=12, deadline=None)
@given(steps)
def test_folders_come_to_what_the_model_comes_to(taken: list[tuple[str, int, str, int]]) -> None:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/edge.db"
        gates = [Gate(url, Path(folder), name) for name in ("one", "two", "three")]
        models, log = [ModelGate() for _ in gates], list[Any]()
        for gate, model in zip(gates, models, strict=True):
            Bank.create(gate.banks / BANK, BankInfo(label="0"))
            model.here.label = "0"
        rounds = [("round", number, "a", 0) for number in (0, 1, 2, 0, 1, 2)]
        for what, number, entry, value in itertools.chain(taken, rounds):
            gate, model = gates[number], models[number]
            if what == "round":
                gate.round()
                model.round(log)
                continue
            bank = gate.bank()
            if what == "add":
                bank.update([video(entry, value)], existing=Existing.REPLACE)
            elif what == "withdraw":
                bank.update([Withdrawal(entry)])
            elif what == "mark" and bank.has(entry):
                bank.set_enabled([entry], not value)
            elif what == "label":
                bank.change(bank.info.model_copy(update={"label": str(value)}))
            elif what == "restart":
                gate.begin()
            elif what == "compact":
                bank.compact()
            if what in ("add", "withdraw", "mark", "label"):
                apply(model.here, what, entry, value)
        for gate, model in zip(gates, models, strict=True):
            wanted = {video(entry, content) for entry, content in model.here.entries.items()}
            assert gate.content() == wanted
            assert set(gate.bank().manifest.disabled) == model.here.disabled
            assert gate.bank().info.label == model.here.label
            gate.ledger.close()
