"""RTMP publishers for pull mode: ``python -m benchmarks._rtmp_publishers FILE URL END_AT NAME…``.

A thread a stream publishes the file in a loop at real-time pace, from a random phase, until ``END_AT``
(``time.time()`` seconds). Prints `live` when all streams are live.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av


def publish(packets: list[tuple[float, float, bool, bytes]], path: Path, url: str, end_at: float) -> None:
    """Publishes ``packets`` in a loop. Each is pts and dts in seconds, keyframe, data."""
    length_s = packets[-1][1] + packets[1][1] - packets[0][1]
    with av.open(str(path)) as source, av.open(url, "w", format="flv") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        _live.release()
        start, lap = time.time(), 0
        while True:
            for pts_s, dts_s, keyframe, data in packets:
                at_s = lap * length_s + dts_s
                if start + at_s > end_at:
                    return
                time.sleep(max(0.0, start + at_s - time.time()))
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, _MS
                packet.pts, packet.dts = round((lap * length_s + pts_s) * 1000), round(at_s * 1000)
                packet.is_keyframe = keyframe
                out.mux(packet)
            lap += 1


_MS = Fraction(1, 1000)
_live = threading.Semaphore(0)


def main(argv: list[str]) -> int:
    path, url, end_at, names = Path(argv[0]), argv[1], float(argv[2]), argv[3:]
    av.logging.set_level(None)
    with av.open(str(path)) as source:
        video = source.streams.video[0]
        packets = [
            (float(p.pts * p.time_base), float(p.dts * p.time_base), p.is_keyframe, bytes(p))
            for p in source.demux(video)
            if p.pts is not None and p.dts is not None and p.time_base is not None
        ]
    threads = []
    for name in names:  # one after the other: FFmpeg holds the interpreter's lock while it connects
        thread = threading.Thread(
            target=publish, args=(packets, path, url.format(name=name), end_at), daemon=True
        )
        thread.start()
        if not _live.acquire(timeout=20):
            print(f"{name}: not live", file=sys.stderr)
            return 1
        threads.append(thread)
        time.sleep(random.uniform(0.0, 0.1))
    print("live", flush=True)
    for thread in threads:
        thread.join()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
