"""The limit: what the libraries alone need for the same frames and samples, with no gate around them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks._media import Loop
from edge.detect import Detector, default_model_directory
from edge.domain import AccessUnit, Codec
from edge.match import PdqHasher
from edge.stream import Decoder


@dataclass(frozen=True, slots=True)
class BareCost:
    """CPU seconds on one thread."""

    keyframe_s: float
    """Decode one keyframe after a restart."""
    frame_s: float
    """Decode one frame that is none."""
    plane_s: float
    """One conversion to a plane of the detector's input."""
    judge_s: float
    """One inference and one hash."""

    def of(self, keyframes: int, decoded: int, judged: int) -> float:
        """For so many frames, of which ``keyframes`` begin a calm sample; a sample beyond those shares one
        of its three planes with the one before."""
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


def bare_cost(loop: Loop, burst_ms: int = 200, repeat_s: float = 2.0) -> BareCost:
    """Measured on the loop itself, in this process, with the bursts that the calm tier decodes."""
    units = [AccessUnit(u.pts_ms, u.dts_ms, u.keyframe, u.data, arrival_ms=0.0) for u in loop.units]
    bursts: list[list[AccessUnit]] = []
    start_ms = 0
    for unit in units:
        if unit.keyframe:
            bursts.append([])
            start_ms = unit.pts_ms
        if unit.pts_ms - start_ms <= burst_ms:
            bursts[-1].append(unit)
    decoder = Decoder(Codec(loop.codec), loop.extradata)
    detector = Detector.load(default_model_directory())
    hasher = PdqHasher()
    frames = [frame for unit in bursts[0] for frame in decoder.decode(unit)]
    planes = np.stack([detector.plane(frame) for frame in (frames[0], frames[len(frames) // 2], frames[-1])])

    def keyframes() -> int:
        for burst in bursts:
            decoder.restart()
            decoder.decode(burst[0])
        return len(bursts)

    def whole_bursts() -> int:
        for burst in bursts:
            decoder.restart()
            for unit in burst:
                decoder.decode(unit)
        return len(bursts)

    def plane() -> int:
        detector.plane(frames[-1])
        return 1

    def judge() -> int:
        hasher.hash(decoder.luma(frames[-1]))
        detector.infer(planes)
        return 1

    keyframe_s = _cpu_each(keyframes, repeat_s)
    inter = sum(len(burst) - 1 for burst in bursts) / len(bursts)
    return BareCost(
        keyframe_s=keyframe_s,
        frame_s=(_cpu_each(whole_bursts, repeat_s) - keyframe_s) / max(inter, 1),
        plane_s=_cpu_each(plane, repeat_s / 2),
        judge_s=_cpu_each(judge, repeat_s),
    )


def _cpu_each(work: Callable[[], int], repeat_s: float) -> float:
    work()
    start, done = time.process_time(), 0
    while time.process_time() - start < repeat_s:
        done += work()
    return (time.process_time() - start) / done
