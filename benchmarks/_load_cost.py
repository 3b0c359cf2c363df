"""Bare cost: what the libraries alone need for the same frames and samples, without a gate."""

from __future__ import annotations

import heapq
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks._media import Loop
from edge.detect import Detector, default_model_directory
from edge.domain import AccessUnit, Codec
from edge.match import Bank, Entry, EntryKind, Footage, HashRun, Matcher, StreamMatcher
from edge.match.evasion.rescan_schedule import NEW_MS
from edge.match.pdq.hasher import HASH_BYTES
from edge.stream import Decoder
from edge.stream.ports import Luma

GOP_S = 2.0
BURST_MS = 200
"""Media from a keyframe on that makes a calm sample, in milliseconds."""
_WARM_UP_S = 2.5
_STEPS = ("keyframe", "frame", "plane", "judge")


@dataclass(frozen=True, slots=True)
class BareCost:
    """Bare cost in CPU seconds on one thread."""

    keyframe_s: float
    """Decoding one keyframe."""
    frame_s: float
    """Decoding one frame that is no keyframe."""
    plane_s: float
    """Converting one frame to a plane of the detector's input."""
    judge_s: float
    """One inference and, with a bank, one hash and its search, rescans included."""

    def of(self, keyframes: int, decoded: int, judged: int) -> float:
        """Returns the CPU seconds for so many frames.

        ``keyframes`` of them begin a calm sample. A further sample shares one of its three planes with the
        one before.
        """
        keyframes = min(keyframes, decoded)
        planes = 3 * min(keyframes, judged) + 2 * max(judged - keyframes, 0)
        return (
            keyframes * self.keyframe_s
            + (decoded - keyframes) * self.frame_s
            + planes * self.plane_s
            + judged * self.judge_s
        )

    def as_json(self) -> dict[str, float]:
        return {name.replace("_s", "_ms"): round(getattr(self, name) * 1000, 3) for name in self.__slots__}


def make_bank(banks: Path, hashes: int) -> None:
    """Makes a bank of so many random hashes."""
    octets = np.random.default_rng(0).bytes(HASH_BYTES * hashes)
    codes = (octets[start : start + HASH_BYTES] for start in range(0, len(octets), HASH_BYTES))
    Bank.create(banks / "random").add_footage(
        Footage(Entry(code.hex(), EntryKind.IMAGE), (HashRun(code),)) for code in codes
    )


def bare_cost(loop: Loop, bank: int, streams: int | None = None, seconds: float = 6.0) -> BareCost:
    """Measures the bare cost on the loop itself, in a process a core, with the bursts of the calm tier.

    ``bank`` is the number of hashes in the bank that each sample is looked up in. With 0 there is no bank
    and no hash.

    ``streams`` is the number of streams at once, each unit at its time of arrival, without call, queue,
    deadline or verdict. None is one stream whose samples follow one another at once. An idle moment between
    two units costs caches and clocks about a tenth, for a gate and for bare libraries alike.
    """
    cores = os.cpu_count() or 1
    shares = [1] * cores
    if streams is not None:
        shares = [share for number in range(cores) if (share := len(range(number, streams, cores)))]
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(len(shares), mp_context=context) as pool,
    ):
        banks = Path(folder)
        if bank:
            make_bank(banks, bank)
        runs = [
            pool.submit(_measured, loop, banks if bank else None, share, seconds, streams is not None, seed)
            for seed, share in enumerate(shares)
        ]
        totals = [run.result() for run in runs]
    spent = {step: sum(total.cpu_s[step] for total in totals) for step in _STEPS}
    done = {step: max(1, sum(total.done[step] for total in totals)) for step in _STEPS}
    return BareCost(**{f"{step}_s": spent[step] / done[step] for step in _STEPS})


@dataclass
class _Total:
    cpu_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STEPS, 0.0))
    done: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_STEPS, 0))

    def add(self, step: str, since_s: float) -> float:
        now = time.thread_time()
        self.cpu_s[step] += now - since_s
        self.done[step] += 1
        return now


@dataclass
class _Bare:
    """One stream."""

    decoder: Decoder
    lookup: StreamMatcher
    planes: list[Luma] = field(default_factory=list)
    looked: bool = False


def _measured(loop: Loop, banks: Path | None, streams: int, seconds: float, paced: bool, seed: int) -> _Total:
    """Measures in a process of its own."""
    bursts = _bursts(loop)
    detector = Detector.load(default_model_directory())
    matcher = Matcher.open(banks)
    owned = [
        _Bare(Decoder(Codec(loop.codec), loop.extradata), StreamMatcher(matcher)) for _ in range(streams)
    ]
    total = _Total()
    start = time.monotonic()
    warm_at, end_at = start + _WARM_UP_S, start + _WARM_UP_S + seconds
    for at, number, burst, unit in _arrivals(bursts, streams, start, random.Random(seed)):
        if paced:
            time.sleep(max(0.0, at - time.monotonic()))
        now = time.monotonic()
        if now > end_at:
            break
        if warm_at and now > warm_at:
            warm_at, total = 0.0, _Total()
        stream, last = owned[number], len(burst) - 1
        cpu_s = time.thread_time()
        frames = stream.decoder.decode(burst[unit])
        cpu_s = total.add("frame" if unit else "keyframe", cpu_s)
        if unit in (0, last // 2, last):
            stream.planes.append(detector.plane(frames[-1]))
            cpu_s = total.add("plane", cpu_s)
        if unit == last:
            # Without a bank it hashes nothing.
            if not stream.looked:
                stream.lookup.query(0, stream.decoder.luma(frames[-1]))
                stream.looked = True
            # Starts well after the beginning of the stream, as the gate's streams do when figures are
            # taken.
            at_ms = 2 * NEW_MS + round((at - start) * 1000)
            stream.lookup.query(at_ms, stream.decoder.luma(frames[-1]))
            detector.infer(np.stack(stream.planes))
            total.add("judge", cpu_s)
            stream.planes.clear()
    return total


def _arrivals(
    bursts: Sequence[list[AccessUnit]], streams: int, start: float, chance: random.Random
) -> Iterator[tuple[float, int, list[AccessUnit], int]]:
    """Yields without end when each unit of so many streams is due: time, stream, its burst, index in it."""
    waiting = [(start + chance.uniform(0.0, GOP_S), number, number, 0) for number in range(streams)]
    heapq.heapify(waiting)
    while True:
        at, number, gop, unit = heapq.heappop(waiting)
        burst = bursts[gop % len(bursts)]
        yield at, number, burst, unit
        if unit + 1 < len(burst):
            step_s = (burst[unit + 1].dts_ms - burst[unit].dts_ms) / 1000
            heapq.heappush(waiting, (at + step_s, number, gop, unit + 1))
        else:
            rest_s = GOP_S - (burst[-1].dts_ms - burst[0].dts_ms) / 1000
            heapq.heappush(waiting, (at + rest_s, number, gop + 1, 0))


def _bursts(loop: Loop) -> list[list[AccessUnit]]:
    bursts: list[list[AccessUnit]] = []
    start_ms = 0
    for unit in loop.units:
        if unit.keyframe:
            bursts.append([])
            start_ms = unit.pts_ms
        if unit.pts_ms - start_ms <= BURST_MS:
            bursts[-1].append(AccessUnit(unit.pts_ms, unit.dts_ms, unit.keyframe, unit.data, arrival_ms=0.0))
    return bursts
