"""Looks new bank entries up in what streams have shown. Pure, but for the banks that it reads.

What counts is the same as live: so many frames of one stream, within so much media time, in the order of the
footage. The memory has a frame in one or two seconds of each stream, as it was shown: a mirrored copy is not
found in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.domain import Action, Signal
from edge.match.bank.bank_set import MAX_CANDIDATES, BankSet, OpenBank
from edge.match.bank.new_entries import NewEntries
from edge.match.entry import BankPurpose, Candidate
from edge.match.index.hamming import MAX_RADIUS, Positions
from edge.match.index.join import join
from edge.match.pdq.hasher import PdqHash
from edge.match.recent_footage import LEAST_PAUSE_MS, Views
from edge.match.vote import MatchVote
from edge.policy import MatchPolicy

MOST_VIEWS: Final = 256
"""Most frames of one stream that vote, the first ones. Three are enough as a rule."""
_NEAREST: Final = 8
"""Most hashes of new entries that are looked at for one frame, the nearest."""
_MOST_STANDING: Final = 64
"""Most seconds for which a frame that stands still votes for a known image."""
STRENGTH: Final = {Action.PASS: 0, Action.FLAG: 1, Action.CUT: 2}


@dataclass(frozen=True, slots=True)
class PastMatch:
    """A stream that has shown a new entry."""

    stream: int
    """Its ``stream_tag``."""
    signal: Signal
    """Of the frames that voted, with the time for which it was missed."""
    last_wall_ms: int
    """When it was shown last."""


@dataclass(frozen=True, slots=True)
class NearViews:
    """Frames that are near a new entry. All arrays have the same length."""

    views: Positions
    new: npt.NDArray[np.intp]
    """Number of the new entries."""
    positions: Positions
    """Places of the hash in its segment."""
    distances: npt.NDArray[np.uint16]


def near_views(views: Views, news: Sequence[NewEntries]) -> NearViews:
    """Returns all frames that are near a new hash, in order of frames and of distance."""
    found = []
    for number, new in enumerate(news):
        pairs = join(views.codes, new.codes)
        found.append(
            (pairs.large, np.full(len(pairs.large), number), new.positions[pairs.small], pairs.distances)
        )
    if not found:
        empty = np.empty(0, np.intp)
        return NearViews(empty, empty, empty, np.empty(0, np.uint16))
    large, number_of, positions, distances = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((distances, large))
    return NearViews(large[order], number_of[order], positions[order], distances[order])


def past_matches(
    views: Views,
    hits: NearViews,
    news: Sequence[NewEntries],
    banks: BankSet,
    policies: Mapping[int, MatchPolicy],
    now_ms: int,
) -> Iterator[PastMatch]:
    """Yields the streams whose frames count as a match, each once, with the strongest match of it.

    ``policies`` has the rules of each stream that is wanted, by its tag. ``banks`` may have benign banks: a
    frame that is as near to one of their entries does not vote. ``now_ms`` is wall time.
    """
    wanted = np.array(list(policies), np.uint32)
    hit = np.unique(hits.views)
    hit = hit[np.isin(views.streams[hit], wanted)]
    if not len(hit):
        return
    places = views.in_order(np.unique(views.streams[hit]))
    until_ms = views.until_ms(places)
    benign = [o for o in banks.banks if o.bank.info.opinion is BankPurpose.BENIGN and o.usable(now_ms)]
    most = max((_strength_of(new.bank.bank.info.opinion) for new in news), default=0)
    for of_stream in np.split(np.arange(len(places)), np.flatnonzero(np.diff(views.streams[places])) + 1):
        mine = of_stream[np.isin(places[of_stream], hit)]
        stream = int(views.streams[places[mine[0]]])
        policy = policies[stream]
        vote = MatchVote(policy.k, policy.span_ms)
        best: Signal | None = None
        for at in mine[:MOST_VIEWS]:
            candidates = _candidates(int(places[at]), views, hits, news, benign, policy.radius, now_ms)
            if best is not None:  # what only counts hides nothing that is stronger
                candidates = [
                    c
                    for c in candidates
                    if _strength_of(c.purpose, quarantined=c.quarantined) > STRENGTH[best.at_most]
                ]
                if not candidates:
                    continue
            best = _voted(vote, int(views.pts_ms[places[at]]), int(until_ms[at]), candidates) or best
            if best is not None and STRENGTH[best.at_most] >= most:
                break
        if best is not None:
            missed_ms = shown_ms(views.pts_ms[places[mine]], until_ms[mine], policy.span_ms)
            last_wall_ms = int(views.wall_ms[places[mine]].max())
            yield PastMatch(stream, replace(best, missed_ms=missed_ms), last_wall_ms)


def _strength_of(purpose: BankPurpose, *, quarantined: bool = False) -> int:
    return STRENGTH[purpose.at_most(quarantined=quarantined)]


def shown_ms(pts_ms: npt.NDArray[np.int64], until_ms: npt.NDArray[np.int64], span_ms: int) -> int:
    """Returns for how long footage was shown of which these frames, in order, were seen.

    Between two of them at most ``span_ms`` apart it was shown all the time. One frame stands for a second.
    """
    pauses_ms = pts_ms[1:] - until_ms[:-1]
    between_ms = np.where((pauses_ms >= 0) & (pauses_ms <= span_ms), pauses_ms, LEAST_PAUSE_MS)
    return int((until_ms - pts_ms).sum() + between_ms.sum()) + LEAST_PAUSE_MS


def _voted(vote: MatchVote, pts_ms: int, until_ms: int, candidates: Sequence[Candidate]) -> Signal | None:
    """Returns the match that counts with this frame. A known image votes for as long as the frame stands."""
    signals = vote.add_candidates(pts_ms, candidates)
    images = [c for c in candidates if c.timestamp_ms is None]
    for step in range(1, _MOST_STANDING if images else 0):
        if signals or pts_ms + step * LEAST_PAUSE_MS > until_ms:
            break
        signals = vote.add_candidates(pts_ms + step * LEAST_PAUSE_MS, images)
    return max(signals, key=lambda signal: STRENGTH[signal.at_most], default=None)


def _candidates(
    view: int,
    views: Views,
    hits: NearViews,
    news: Sequence[NewEntries],
    benign: Iterable[OpenBank],
    radius: int,
    now_ms: int,
) -> list[Candidate]:
    """Returns what of the new entries a frame may show, nearest first."""
    code = views.codes[view]
    live = PdqHash(code.tobytes(), code.tobytes(), 100)
    known = [c.distance for bank in benign for c in bank.candidates(code, "", MAX_RADIUS, live)[0]]
    radius = min([radius, *(distance - 1 for distance in known)])
    found: list[Candidate] = []
    first, last = np.searchsorted(hits.views, [view, view + 1])
    for at in range(first, min(last, first + _NEAREST)):
        bank, place, distance = news[hits.new[at]], int(hits.positions[at]), int(hits.distances[at])
        acts = bank.bank.usable(now_ms) and bank.bank.bank.info.opinion is not BankPurpose.BENIGN
        if acts and distance <= radius:
            found += bank.bank.candidates_at(bank.segment, place, distance, live)
    return found[:MAX_CANDIDATES]
