"""``edge-gate incident``, ``appeal`` and ``strike`` against a real gate whose ledger holds a violation."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge.cli.app import app
from edge.clock import SystemClock
from edge.domain import PERMANENT_MS, Action, Incident, Publish, Severity, Verdict, new_id, new_stream_id
from edge.gate_process import GateProcess
from edge.ladder import Sanction
from edge.ledger import Ledger
from edge.policy import Policy, ReviewPolicy
from edge.reasons import VerdictReason
from tests.integration.calls import until
from tests.match.test_incident_bank import clip_of

PEOPLE = """
platform shop shop-token-of-the-platform
reviewer rita rita-token-of-the-reviewer
reviewer rolf rolf-token-of-the-reviewer
viewer vera vera-token-of-the-viewer
admin ada ada-token-of-the-admin
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GateProcess, dict[str, str]]]:
    """A gate whose ledger holds two violations, one of them severe, and FLAGs, two of them with a clip."""
    folder: Path = tmp_path_factory.mktemp("gate")
    now = SystemClock().wall_ms()
    ledger = Ledger.open(f"sqlite:///{folder / 'edge.db'}")
    policy = Policy(review=ReviewPolicy(two_person_permanent=True))
    ledger.policy_put(policy, "test", "two people", now, None)
    ids = {}
    for who, action, severity in (
        ("anna", Action.CUT, Severity.NORMAL),
        ("berta", Action.CUT, Severity.SEVERE),
        ("carla", Action.FLAG, Severity.NORMAL),
        ("dora", Action.FLAG, Severity.NORMAL),
        ("emma", Action.FLAG, Severity.NORMAL),
    ):
        incident = Incident(
            new_id("in"),
            new_stream_id(),
            Publish("test", f"c-{who}", "live", "show", who),
            Verdict(action, 43_400, 42_960, "fight", VerdictReason.DETECTOR, 0.9, begin_pts_ms=43_000),
            now,
        )
        if action is Action.CUT:
            ledger.record_violation(incident, Sanction(review=policy.review, severity=severity), now)
        else:
            ledger.record_incident(incident, now)
        ids[who] = incident.id
    clip = clip_of(folder)
    (folder / "evidence").mkdir()
    shutil.copy(clip, folder / "evidence" / f"{ids['dora']}.mp4")
    for who in ("dora", "emma"):
        ledger.set_evidence(ids[who], str(clip), now, (40_000, 45_960))
    ledger.close()
    tokens = folder / "operator.tokens"
    tokens.write_text(PEOPLE)
    tokens.chmod(0o600)
    with GateProcess(folder, config="[workers]\ncount = 1\n[limits]\ncut_limit_ms = 200\n") as running:
        yield running, ids


@pytest.fixture
def ids(gate: tuple[GateProcess, dict[str, str]]) -> dict[str, str]:
    return gate[1]


@pytest.fixture
def run(gate: tuple[GateProcess, dict[str, str]]) -> Callable[..., Result]:
    def invoke(*arguments: str) -> Result:
        where = ["--gate", gate[0].grpc, "--tokens", str(gate[0].tokens)]
        return CliRunner().invoke(app, [*arguments, *where])

    return invoke


def said(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_two_reviewers_do_not_collide_and_both_words_count(
    run: Callable[..., Result], ids: dict[str, str]
) -> None:
    berta = ids["berta"]
    assert berta in [one["id"] for one in said(run("incident", "list", "--state", "open", "--json"))]
    assert berta in run("incident", "list").stdout
    claimed = said(run("incident", "claim", berta, "--as", "rita", "--json"))
    assert claimed["claimed_by"] == "rita"
    refused = run("incident", "confirm", berta, "--reason", "seen", "--as", "rolf")
    assert (refused.exit_code, "claimed by rita" in refused.output) == (1, True)
    once = said(run("incident", "confirm", berta, "--reason", "seen", "--as", "rita", "--json"))
    assert (once["state"], once["claimed_by"], once["first_confirmed_by"]) == ("confirmed_once", None, "rita")
    again = run("incident", "confirm", berta, "--reason", "seen", "--as", "rita")
    assert (again.exit_code, "another person" in again.output) == (1, True)
    confirmed = said(run("incident", "confirm", berta, "--reason", "seen", "--as", "rolf", "--json"))
    assert confirmed["state"] == "confirmed"
    shown = said(run("incident", "show", berta, "--json"))
    assert [(made["until_wall_ms"], made["provisional"]) for made in shown["blocks"]] == [
        (PERMANENT_MS, False)
    ]
    assert shown["strike"]["severity"] == "severe"
    text = run("incident", "show", berta).stdout
    assert "permanent" in text
    assert "rolf" in text


def test_a_reviewer_sees_and_changes_what_becomes_known_footage(
    run: Callable[..., Result], ids: dict[str, str]
) -> None:
    dora = ids["dora"]
    assert "3.00 to 3.40 s of the clip led to the verdict" in run("incident", "show", dora).stdout
    assert said(run("incident", "show", dora, "--json"))["stretch"] == {"begin_ms": 3000, "end_ms": 3400}
    for wrong, complaint in (
        (("--from", "2"), "--to"),
        (("--from", "4", "--to", "3"), "stretch.begin_ms"),
        (("--from", "7", "--to", "9"), "the clip is 5960 ms long"),
        (("--from", "0", "--to", "11"), "10000"),
        (("--from", "3", "--to", "4", "--no-bank"), "bank_nothing"),
    ):
        refused = run("incident", "confirm", dora, "--reason", "seen", *wrong)
        assert (refused.exit_code, complaint in refused.output) == (1, True), refused.output
    assert said(run("incident", "show", dora, "--json"))["state"] == "open"
    text = run("incident", "confirm", dora, "--reason", "seen", "--from", "3", "--to", "3.6").stdout
    assert "known footage now: 16 frames of 3.00 to 3.60 s of the clip" in text.splitlines()
    assert "a stretch this short is seldom recognised" in text
    assert "known footage now: 16 frames" in run("incident", "show", dora).stdout
    banking = said(run("incident", "show", dora, "--json"))["banking"]
    assert (banking["state"], banking["banked_frames"]) == ("banked", 16)
    assert banking["left_out"] == dict.fromkeys(
        ("low_quality", "still", "seen_in_stream", "seen_elsewhere", "benign"), 0
    )


def test_a_reviewer_may_bank_nothing(run: Callable[..., Result], ids: dict[str, str]) -> None:
    text = run("incident", "confirm", ids["emma"], "--reason", "seen", "--no-bank").stdout
    assert "nothing is known footage: as asked" in text
    text = run("incident", "confirm", ids["carla"], "--reason", "seen").stdout
    assert "nothing is known footage: its clip is not on this gate" in text


def test_an_appeal_is_filed_listed_and_granted(run: Callable[..., Result], ids: dict[str, str]) -> None:
    anna = ids["anna"]
    case = said(run("incident", "show", anna, "--json"))
    assert (case["provisional"], case["pardoned"], case["strike"]["provisional"]) == (True, False, True)
    assert "provisional" in run("incident", "list").stdout
    assert "provisional until" in run("incident", "show", anna).stdout
    assert "provisional until" in run("strike", "list", "--broadcaster", "anna").stdout
    (block,) = case["blocks"]
    assert block["provisional"]
    assert "provisional" in run("block", "list").stdout
    filed = said(run("appeal", "file", "We play.\nNobody was hurt.", "--block", block["id"], "--json"))
    assert (filed["incident_id"], filed["filed_by"], filed["state"]) == (anna, "shop", "open")
    assert [one["id"] for one in said(run("appeal", "list", "--state", "open", "--json"))] == [filed["id"]]
    assert filed["id"] in run("appeal", "list").stdout
    granted = run("appeal", "decide", filed["id"], "--grant", "--reason", "a play", "--as", "rita", "--json")
    assert said(granted)["state"] == "granted"
    granted_case = said(run("incident", "show", anna, "--json"))
    assert granted_case["state"] == "overturned"
    assert (granted_case["provisional"], granted_case["pardoned"]) == (False, True)
    assert granted_case["strike"]["pardoned"]
    assert "pardoned by rita" in run("incident", "show", anna).stdout
    assert anna not in [one["incident_id"] for one in said(run("strike", "list", "--json"))]


def test_strikes_by_hand_are_given_and_pardoned(run: Callable[..., Result], ids: dict[str, str]) -> None:
    arguments = ("strike", "add", "--incident", ids["carla"], "--reason", "seen", "--json")
    given = said(run(*arguments, "--as", "rita"))
    assert given["strike"]["broadcaster"] == "carla"
    assert [one["id"] for one in said(run("strike", "list", "--broadcaster", "carla", "--json"))] == [
        given["strike"]["id"]
    ]
    assert "carla" in run("strike", "list").stdout
    pardoned = said(run("strike", "pardon", given["strike"]["id"], "--reason", "grace", "--json"))
    assert pardoned["pardoned_by"] == "rita"
    assert (pardoned["pardoned"], pardoned["provisional"]) == (True, False)
    assert "pardoned" in run("strike", "list", "--pardoned").stdout
    assert said(run("strike", "list", "--broadcaster", "carla", "--json")) == []


def test_permanent_blocks_by_hand_take_two(run: Callable[..., Result]) -> None:
    added = said(
        run(
            "block",
            "add",
            "device=7",
            "--kind",
            "attribute",
            "--for",
            "permanent",
            "--reason",
            "raid",
            "--json",
        )
    )
    assert (added["provisional"], added["full_until_wall_ms"]) == (True, PERMANENT_MS)
    same = run("block", "confirm", added["id"], "--reason", "yes", "--as", "rita")
    assert (same.exit_code, "another person" in same.output) == (1, True)
    confirmed = said(run("block", "confirm", added["id"], "--reason", "yes", "--as", "rolf", "--json"))
    assert confirmed["until_wall_ms"] == PERMANENT_MS


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("incident", "list", "--state", "closed"), "--state"),
        (("incident", "list", "--since", "yesterday"), "--since"),
        (("incident", "show", "in_none"), "in_none"),
        (("incident", "claim", "in_none", "--as", "vera"), "no token of vera with role reviewer"),
        (("appeal", "file", "x"), "incident_id"),
        (("appeal", "file", "x" * 5000, "--incident", "in_none"), "text"),
        (("strike", "add", "--reason", "y"), "broadcaster"),
        (("strike", "pardon", "sk_none", "--reason", "y"), "sk_none"),
    ],
)
def test_errors_name_what_is_wrong(
    arguments: tuple[str, ...], named: str, run: Callable[..., Result]
) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert named in result.output


def test_a_cut_of_an_earlier_run_that_nobody_proves_ends(
    run: Callable[..., Result], ids: dict[str, str]
) -> None:
    """The gate never cut the fixture's violations, since their callers are gone."""
    shown = until(
        lambda: said(run("incident", "show", ids["berta"], "--json")),
        lambda one: one["cut_unconfirmed_reason"] is not None,
    )
    assert shown["cut_unconfirmed_reason"] == "caller_gone"
    assert "UNCONFIRMED" in run("incident", "show", ids["berta"]).stdout


def test_a_part_of_an_occasion_names_the_strike_that_counts(
    gate: tuple[GateProcess, dict[str, str]], run: Callable[..., Result]
) -> None:
    now = SystemClock().wall_ms()
    verdict = Verdict(Action.CUT, 0, -1, "fight", VerdictReason.DETECTOR, 0.9)
    ledger = Ledger.open(f"sqlite:///{gate[0].tokens.parent / 'edge.db'}", busy_timeout_ms=10_000)
    counted, part = (
        ledger.record_violation(
            Incident(
                new_id("in"),
                new_stream_id(),
                Publish("test", f"c-{name}", "live", name, "dora"),
                verdict,
                now,
                admitted_ms=now - 1000,
            ),
            Sanction(),
            now,
        )
        for name in ("show", "show2")
    )
    ledger.close()
    shown = said(run("incident", "show", part.incident.id, "--json"))
    assert shown["strike"]["part_of_strike_id"] == counted.strike.id
    text = run("incident", "show", part.incident.id).stdout
    assert f"none of its own: {counted.strike.id} counts for the same occasion" in text
    assert counted.strike.id in run("incident", "show", counted.incident.id).stdout
    assert [one["id"] for one in said(run("strike", "list", "--broadcaster", "dora", "--json"))] == [
        counted.strike.id
    ]


def test_evidence_is_shown_and_written(
    run: Callable[..., Result], ids: dict[str, str], tmp_path: Path, gate: tuple[GateProcess, dict[str, str]]
) -> None:
    shown = run("incident", "evidence", ids["dora"])
    assert shown.exit_code == 0, shown.output
    assert "clip          6.0 s" in shown.output
    assert "--out FOLDER" in shown.output
    out = tmp_path / "case"
    written = json.loads(run("incident", "evidence", ids["dora"], "--out", str(out), "--json").stdout)
    names = sorted(Path(file).name for file in written["files"])
    assert names[-1] == f"{ids['dora']}.mp4"
    assert all(name.startswith(f"{ids['dora']}-") and name.endswith("ms.jpg") for name in names[:-1])
    assert len(names) == 6
    clip = gate[0].tokens.parent / "evidence" / f"{ids['dora']}.mp4"
    assert (out / clip.name).read_bytes() == clip.read_bytes()
    assert all(file.stat().st_mode & 0o077 == 0 for file in out.iterdir())
    assert written["clip_length_ms"] == 5960


def test_evidence_that_is_not_there_is_said(
    run: Callable[..., Result], ids: dict[str, str], tmp_path: Path
) -> None:
    shown = run("incident", "evidence", ids["carla"])
    assert shown.exit_code == 0
    assert "clip          none" in shown.output
    refused = run("incident", "evidence", ids["carla"], "--out", str(tmp_path))
    assert refused.exit_code == 1
    assert f"no clip of incident with id '{ids['carla']}'" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    assert "wants --out" in run("incident", "evidence", ids["carla"], "--part", "clip").stderr
    assert "none of clip, posters" in run("incident", "evidence", "x", "--part", "all", "--out", "x").stderr


def test_evidence_is_held_and_erased_with_proof(
    run: Callable[..., Result], ids: dict[str, str], gate: tuple[GateProcess, dict[str, str]]
) -> None:
    folder = gate[0].tokens.parent / "evidence"
    clip = folder / f"{ids['emma']}.mp4"
    clip.write_bytes(b"clip")
    held = run("incident", "hold", ids["emma"], "--reason", "case 7")
    assert held.exit_code == 0, held.output
    assert "on hold by ada: case 7" in run("incident", "show", ids["emma"]).stdout
    kept = json.loads(
        run("incident", "erase", "--broadcaster", "emma", "--reason", "x", "--yes", "--json").stdout
    )
    assert (kept["erased"], kept["held_incident_ids"]) == ([], [ids["emma"]])
    assert run("incident", "hold", ids["emma"], "--reason", "closed", "--release").exit_code == 0
    asked = run("incident", "erase", "--broadcaster", "emma", "--reason", "she asked")
    assert asked.exit_code != 0, "nobody has said yes"
    assert clip.exists()
    erased = run("incident", "erase", "--broadcaster", "emma", "--reason", "she asked", "--yes")
    assert f"{hashlib.sha256(b'clip').hexdigest()}  {clip.name}, 4 bytes" in erased.stdout
    assert not clip.exists()
    assert "(request)" in run("incident", "show", ids["emma"]).stdout
    refused = run("incident", "evidence", ids["emma"], "--out", str(folder.parent / "out"))
    assert "was erased on" in refused.stderr
    assert "no evidence of nobody" in (
        run("incident", "erase", "--broadcaster", "nobody", "--reason", "x", "--yes").stdout
    )


def test_the_queue_the_next_job_a_comment_and_second_thoughts(
    gate: tuple[GateProcess, dict[str, str]], run: Callable[..., Result]
) -> None:
    ledger = Ledger.open(f"sqlite:///{gate[0].tokens.parent / 'edge.db'}", busy_timeout_ms=10_000)
    verdict = Verdict(Action.FLAG, 0, -1, "scream", VerdictReason.DETECTOR, 0.7)
    publish = Publish("test", "c-hanna", "films", "show", "hanna", attributes={"tenant": "acme"})
    one = Incident(new_id("in"), new_stream_id(), publish, verdict, SystemClock().wall_ms())
    ledger.record_incident(one, one.created_ms)
    ledger.close()
    listed = said(run("incident", "queue", "--app", "films", "--tenant", "acme", "--json"))
    assert (listed["matching"], listed["counts"]["category"]["scream"]) == (1, 1)
    [waiting] = listed["waiting"]
    assert (waiting["incident"]["id"], waiting["tenant"], waiting["live"]) == (one.id, "acme", False)
    assert 0 < waiting["priority"] < 100
    assert one.id in run("incident", "queue").stdout
    taken = said(run("incident", "next", "--app", "films", "--as", "rita", "--json"))
    assert (taken["id"], taken["claimed_by"], taken["looked_by"]) == (one.id, "rita", "rita")
    nothing = run("incident", "next", "--app", "films", "--as", "rita")
    assert (nothing.exit_code, "nobody has claimed" in nothing.output) == (1, True)
    assert said(run("incident", "comment", one.id, "a film?", "--as", "rita", "--json"))["text"] == "a film?"
    done = run("incident", "overturn", one.id, "--reason", "film", "--as", "rita").stdout
    assert f"edge-gate incident undo {one.id}" in done
    other = run("incident", "undo", one.id, "--as", "rolf")
    assert (other.exit_code, "decided by rita" in other.output) == (1, True)
    undone = said(run("incident", "undo", one.id, "--as", "rita", "--json"))
    assert (undone["state"], undone["claimed_by"], undone["reviewed_by"]) == ("open", "rita", None)
    shown = run("incident", "show", one.id).stdout
    assert "rita: a film?" in shown
    assert "first look" in shown
    wrong = run("incident", "queue", "--severity", "dire")
    assert (wrong.exit_code, "filter.severity: 'dire' is none of normal, severe" in wrong.output) == (1, True)
