"""Poison: what would cut everybody, banked as violating by an exchange, and how long a look back takes.

Each case is banked, checked as a gate checks it, and shown again to the matcher that workers use: at once,
and after its probation, once people have overturned what it flagged.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.clock import ManualClock
from edge.decide import match_action
from edge.domain import Action
from edge.errors import NotFound
from edge.match import (
    Bank,
    BankInfo,
    BankPurpose,
    BankSet,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Matcher,
    MatchVote,
    PdqHasher,
    RecentFootage,
    frames_of,
)
from edge.match.bank.guards import standing
from edge.match.bank.new_entries import new_entries
from edge.match.fingerprint import MIN_QUALITY
from edge.match.pdq.hasher import LIMITED_RANGE
from edge.match.recent_footage import stream_tag
from edge.match.retro_match import near_views, past_matches
from edge.policy import DAY_MS, GuardPolicy, MatchPolicy
from edge.supervise.bank_hits import HitCount, MatchCount
from edge.supervise.entry_guards import EntryGuards

U8 = npt.NDArray[np.uint8]
NOW = 1_700_000_000_000
STEP_MS = 200
REVIEWS = 4
"""Flags of a case that people overturn while it is on probation."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something that is no violation."""

    frames: Sequence[U8]
    shown_by: int
    """Channels with a clean record that have shown it in the last day."""
    benign: bool = False
    """The gate's benign bank has it."""


def calm_clips(folder: Path) -> list[Path]:
    """The three largest calm clips. Raises NotFound."""
    found = sorted((folder / "calm-mix").glob("*.mp4"), key=lambda path: (-path.stat().st_size, path.name))
    if len(found) < 3:
        raise NotFound("calm footage", str(folder))
    return found[:3]


def _clip(path: Path, seconds: float, start_s: float = 0.0) -> list[U8]:
    kept: list[U8] = []
    for at_ms, _, luma in frames_of(path):
        if start_s * 1000 + len(kept) * STEP_MS <= at_ms:
            kept.append(luma.copy())
        if len(kept) * STEP_MS >= seconds * 1000:
            break
    return kept


def _still(draw: Callable[[npt.NDArray[Any], npt.NDArray[Any]], npt.NDArray[Any]]) -> list[U8]:
    y, x = np.mgrid[0:360, 0:640]
    return [np.clip(draw(y, x), 16, 235).astype(np.uint8)] * 25


def cases(calm: Sequence[Path]) -> dict[str, Case]:
    return {
        "calm_street": Case(_clip(calm[0], 10), 1),
        "black": Case(_still(lambda y, x: np.full(y.shape, 16)), 500),
        "test_card": Case(
            _still(lambda y, x: 16 + 31 * (x * 7 // 640) + 60 * ((y - 180) ** 2 + (x - 320) ** 2 < 14_400)),
            30,
            benign=True,
        ),
        "logo": Case(
            _still(
                lambda y, x: 120 + 90 * np.sin(x / 31 + np.sin(y / 23)) * (np.hypot(y - 150, x - 260) < 120)
            ),
            50,
        ),
        "own_intro": Case(_clip(calm[1], 5), 20),
        "trailer": Case(_clip(calm[2], 10), 200),
    }


def run_case(case: Case, folder: Path) -> dict[str, Any]:
    hasher, clock = PdqHasher(contrast=LIMITED_RANGE), ManualClock()
    hashes = [hasher.hash(frame) for frame in case.frames]
    runs = tuple(
        HashRun(h.bits, STEP_MS * at, quality=h.quality)
        for at, h in enumerate(hashes)
        if h.quality >= MIN_QUALITY
    )
    if not runs:
        return {"cuts": 0, "action": "pass", "reasons": ["nothing_to_hash"]}
    if case.benign:
        benign = Bank.create(folder / "benign", BankInfo(opinion=BankPurpose.BENIGN))
        benign.add_footage([Footage(Entry("benign", EntryKind.IMAGE), runs[:1])])
    memory = RecentFootage(folder / "recent", 1 << 16)
    weights = {}
    for number in range(case.shown_by):
        name = f"channel-{number}"
        weights[int(stream_tag(name))] = 1.0
        for at in range(0, len(hashes), 5):
            memory.remember(name, hashes[at].bits, STEP_MS * at, NOW - DAY_MS // 2)
    still = len({run.bits for run in runs}) == 1
    kind = EntryKind.IMAGE if still else EntryKind.VIDEO
    entry = Entry("poison", kind, source="exchange poison", added_ms=NOW)
    Bank.create(folder / "known").add_footage([Footage(entry, runs[:1] if still else runs)])
    guards, banks = EntryGuards(folder, memory), BankSet().read_anew(folder, (), strict=True)
    guards.take_policy(GuardPolicy())
    news = [new for new in new_entries(BankSet(), banks) if new.bank.bank.name == "known"]
    guards.check(banks, news, weights, {}, (), NOW)
    rounds = {}
    for word, wall_ms in (("at_once", NOW), ("after_probation", NOW + 2 * DAY_MS)):
        if word == "after_probation":
            hits = HitCount(0)
            hits.entries["known", "poison"] = MatchCount(REVIEWS, overturned=REVIEWS)
            guards.take_hits(banks, hits, GuardPolicy(), wall_ms)
        guards.write()
        clock.now_wall_ms = wall_ms
        rounds[word] = _shown_again(case, folder, clock, wall_ms)
    return {"cuts": sum(one["action"] == "cut" for one in rounds.values()), **rounds}


def _shown_again(case: Case, folder: Path, clock: ManualClock, wall_ms: int) -> dict[str, Any]:
    """A channel shows it in a better encoding, to the matcher of a worker."""
    matcher, policy = Matcher.open(folder, clock=clock), MatchPolicy()
    vote, strongest = MatchVote(policy.k, policy.span_ms), Action.PASS
    for at, frame in enumerate(case.frames):
        for signal in vote.add_candidates(STEP_MS * at, matcher.query(frame)):
            strongest = max(strongest, match_action(signal, policy), key=list(Action).index)
    opened = matcher.banks.bank("known")
    assert opened is not None
    opened.usable(wall_ms)
    [segment] = opened.bank.segments
    entry = segment.find("poison")
    assert entry is not None
    assert opened.guards is not None
    stands = standing(
        opened.guards.facts("known", opened.bank.info, entry, segment.digest, wall_ms, quarantined=False)
    )
    return {"action": strongest.value, "reasons": [reason.value for reason in stands.reasons]}


def look_back(streams: int, minutes: int, rounds: int) -> dict[str, Any]:
    """Times one entry of ten seconds against what many streams have shown, three of which showed it."""
    draw = np.random.default_rng(1)
    film = draw.integers(0, 256, (300, 32), np.uint8)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        memory = RecentFootage(folder / "recent")
        names = [f"stream-{number}" for number in range(streams)]
        pause_s = max(1, math.ceil(streams * 900 / memory._newest.size))
        shown = 0
        for second in range(0, 60 * minutes, pause_s):
            wall_ms = NOW - 60_000 * minutes + 1000 * second
            noise = draw.integers(0, 256, (streams, 32), np.uint8)
            for number, name in enumerate(names):
                known = number < 3 and second >= 60 * minutes - 10
                bits = film[30 * (second % 10)] if known else noise[number]
                shown += memory.remember(name, bits.tobytes(), 1000 * second, wall_ms, streams)
        runs = tuple(HashRun(code.tobytes(), 1000 * at // 30) for at, code in enumerate(film))
        Bank.create(folder / "known").add_footage([Footage(Entry("film", EntryKind.VIDEO), runs)])
        banks = BankSet().read_anew(folder, (), strict=True)
        news = list(new_entries(BankSet(), banks))
        policies = {int(stream_tag(name)): MatchPolicy() for name in names}
        wall, cpu, matches = [], [], []
        for _ in range(rounds):
            begun, worked = time.perf_counter(), time.thread_time()
            views = memory.since(NOW - 60_000 * minutes)
            matches = list(past_matches(views, near_views(views, news), news, banks, policies, NOW))
            wall.append(1000 * (time.perf_counter() - begun))
            cpu.append(1000 * (time.thread_time() - worked))
        size = memory._newest.records.itemsize * shown
    return {
        "streams": streams,
        "minutes": minutes,
        "views": shown,
        "matches": len(matches),
        "wall_ms": round(float(np.median(wall)), 1),
        "cpu_ms": round(float(np.median(cpu)), 1),
        "mb_a_hundred_streams": round(size / 1e6 * 100 / streams, 2),
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks poison", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--minutes", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--footage", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "clips"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    try:
        calm = calm_clips(given.footage)
    except NotFound as error:
        print(error, file=sys.stderr)
        return 2
    found: dict[str, Any] = {}
    for name, case in cases(calm).items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = run_case(case, Path(folder))
    timing = look_back(given.streams, given.minutes, given.rounds)
    cuts = sum(one["cuts"] for one in found.values())
    if given.json:
        print(json.dumps({"cases": found, "cuts": cuts, "look_back": timing}))
    else:
        for name, one in found.items():
            print(f"{name:12} {one}")
        print(f"cuts: {cuts}\nlook back: {timing}")
    return 1 if cuts else 0
