"""A report contains the figures of the ledger, and nobody's name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.cli.app import app
from edge.domain import (
    Action,
    Incident,
    IncidentState,
    Publish,
    Signal,
    SignalSource,
    SubjectKind,
    Verdict,
    new_id,
    new_stream_id,
)
from edge.ladder import Sanction
from edge.ledger import DurableLedger
from edge.policy import Policy
from edge.reasons import UnconfirmedReason, VerdictReason
from edge.report.words import duration
from tests.postgresql import Cluster, Store

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000
HOSTILE = "<script>alert(1)</script>"
SECRETS = ("zenobia", "key-of-zenobia", "192.0.2.77", "stream-of-zenobia", "operator-olga", "text-of-appeal")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "sqlite":
        return Store(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl")
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.new_store(tmp_path)


def incident(action: Action, at_ms: int, *, source: str = "detector", shadow: bool = False) -> Incident:
    kind = SignalSource.MATCH if source == "match" else SignalSource.DETECT
    category = "known_footage" if source == "match" else "fight"
    signal = Signal(kind, category, 4200, 0.97)
    return Incident(
        id=new_id("in"),
        stream_id=new_stream_id(),
        publish=Publish(
            "test",
            "c1",
            HOSTILE,
            "stream-of-zenobia",
            "zenobia",
            "192.0.2.77",
            {"stream_key": "key-of-zenobia"},
        ),
        verdict=Verdict(
            action, 4200, 3800, category, VerdictReason(source), 0.97, (signal,), 1, "ab" * 32, shadow=shadow
        ),
        created_ms=at_ms,
    )


@pytest.fixture
def ledger(store: Store) -> Iterator[DurableLedger]:
    """Four cuts (one by match, one unproven), of which two were reviewed and one was wrong; a flag; shadow
    verdicts; appeals."""
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    policy = Policy()
    ledger.policy_put(policy, "operator-olga", "", NOW, None)
    usage = {"streams": 40, "stream_ms": 50 * HOUR_MS, "refused": {"blocked": 7}}
    for _ in range(2):
        ledger.record_usage({"from_ms": NOW, "to_ms": NOW, "apps": {HOSTILE: usage}}, NOW)
    cuts = [incident(Action.CUT, NOW + n, source="match" if n == 3 else "detector") for n in range(4)]
    for number, cut in enumerate(cuts):
        ledger.record_violation(cut, Sanction(), NOW + number)
        if number:
            ledger.mark_cut_confirmed(cut.id, cut.created_ms + 10 * number, "hook")
    ledger.mark_cut_unconfirmed(cuts[0].id, NOW + 5000, UnconfirmedReason.LIMIT)
    ledger.review(cuts[1].id, IncidentState.CONFIRMED, "so", "operator-olga", NOW + HOUR_MS, policy)
    appeal = ledger.file_appeal("text-of-appeal", "operator-olga", NOW + 9, policy, incident_id=cuts[2].id)
    assert appeal.incident_id == cuts[2].id
    ledger.review(cuts[2].id, IncidentState.OVERTURNED, "no", "operator-olga", NOW + 2 * HOUR_MS, policy)
    ledger.record_incident(incident(Action.FLAG, NOW + 6), NOW + 6)
    ledger.record_incident(incident(Action.CUT, NOW + 6, shadow=True), NOW + 6)
    ledger.add_block(SubjectKind.BROADCASTER, "zenobia", "", None, "spam", "operator-olga", NOW + 7)
    publish = cuts[0].publish
    ledger.record_stream_cut("st_1", publish, "blocked", "bl_1", NOW + 8)
    # Outside the period.
    ledger.record_incident(incident(Action.FLAG, NOW - 1), NOW - 1)
    yield ledger
    ledger.close()


def report(store: Store, *arguments: str) -> Result:
    period = ("--since", "2023-11-14T22:13:20", "--until", "2023-11-20")
    return CliRunner().invoke(app, ["report", "--ledger", store.url, *period, *arguments])


def test_figures_are_what_happened(store: Store, ledger: DurableLedger) -> None:
    found = json.loads(report(store, "--json").stdout)
    usage, cuts = found["usage"], found["cuts"]
    assert (usage["streams"], usage["stream_hours"], usage["refused"]) == (80, 100.0, {"blocked": 14})
    assert (found["flags"], cuts["cuts"], found["shadow_flags"], found["shadow_cuts"]) == (1, 4, 0, 1)
    assert usage["cuts_per_1000_hours"]["per_1000_hours"] == pytest.approx(40.0)
    assert cuts["without_verdict"] == {"blocked": 1}
    assert (cuts["confirmed"]["count"], cuts["confirmed"]["of"]) == (3, 4)
    assert (cuts["alarms"]["count"], cuts["alarms"]["of"]) == (1, 4)
    assert (cuts["time_to_cut"]["of"], cuts["time_to_cut"]["p50"]["value_ms"]) == (3, 20)
    reviews = cuts["reviews"]
    assert (reviews["reviewed"]["count"], reviews["overturned"]["count"]) == (2, 1)
    assert reviews["overturned"]["value"] == 0.5
    assert reviews["time_to_review"]["p95"]["value_ms"] == 2 * HOUR_MS - 2
    strikes = found["strikes"]
    assert (strikes["made"], strikes["pardoned"]["count"]) == (4, 1)
    assert strikes["provisional"] == 1, "one by the detector alone has no review yet; known footage stands"
    assert found["shadow_reviews"]["reviewed"]["of"] == 1
    blocks = found["blocks"]
    assert blocks["made"] == 5
    assert blocks["by_source"] == {"detector": 3, "manual": 1, "match": 1}
    assert blocks["by_category"] == {"fight": 3, "known_footage": 1, "none": 1}
    assert (blocks["lifted"]["count"], blocks["provisional"]) == (1, 3)  # Known footage stands.
    appeals = found["appeals"]
    assert (appeals["filed"], appeals["granted"]["count"], appeals["denied"]) == (1, 1, 0)
    assert found["by_source"]["match"]["cuts"] == 1
    assert found["by_app"][HOSTILE]["flags"] == 1
    assert found["policy_changes"] == 1


class Page(HTMLParser):
    """Checks that every element is closed. Collects everything that would be fetched or run."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag, *(f"{tag}.{name}" for name, _ in attrs)]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_whole_and_escaped_and_names_nobody(
    store: Store, ledger: DurableLedger, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    assert report(store, "--html", str(path)).exit_code == 0
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "a", "i.src", "i.href"} & set(page.found)
    assert HOSTILE in page.text
    assert "50.0 %" in page.text
    for output in (path.read_text(), report(store, "--json").stdout, report(store).stdout):
        for secret in SECRETS:
            assert secret not in output


def test_tables_for_people_and_errors_that_name_what_is_wrong(store: Store, ledger: DurableLedger) -> None:
    said = " ".join(report(store).stdout.split())
    for part in ("What was watched", "cuts overturned: 1", "Appeals", "stream-hours", "20 ms"):
        assert part in said
    wrong = CliRunner().invoke(app, ["report", "--ledger", store.url, "--since", "1d", "--until", "2d"])
    assert (wrong.exit_code, "--since" in wrong.output) == (1, True)
    nowhere = report(store, "--html", "/nonexistent/report.html")
    assert (nowhere.exit_code, "--html" in nowhere.output) == (1, True)


def test_an_empty_ledger_has_a_report(store: Store) -> None:
    DurableLedger.open(store.url, store.journal).close()
    found = json.loads(report(store, "--json").stdout)
    assert (found["cuts"]["cuts"], found["cuts"]["reviews"]["overturned"]["value"]) == (0, None)
    assert report(store).exit_code == 0


def test_durations_read_well() -> None:
    given = (0, 47, 999, 1_500, 119_999, 150_000, 7_200_000, 172_800_000)
    assert [duration(ms) for ms in given] == [
        "0 ms",
        "47 ms",
        "999 ms",
        "1.5 s",
        "120 s",
        "2.5 min",
        "2 h",
        "2 d",
    ]
