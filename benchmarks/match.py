"""Exact search at size and PDQ per frame, beside faiss, python-threatexchange and pdqhash in one run.

    python -m benchmarks match --size 1000000 --json

One thread, single queries. Half are planted at 0 to 31 bits from a code, a quarter at 32 to 44, and the
rest are random. The segment is written to disk, checked and mapped as a bank's is. The peers come with
``pip install edge-gate[bench]``. A peer that is missing or too slow at this size is null.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.match import PdqHasher, frames_of
from edge.match.bank.segment import Segment
from edge.match.bank.segment_builder import SegmentBuilder
from edge.match.index.hamming import Codes, codes_of, scan

SHARED = Path(__file__).resolve().parents[2] / "shared"
RADIUS = 31
PEER_LIMIT = 2_000_000


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark and prints one JSON document."""
    parser = argparse.ArgumentParser(prog="benchmarks match", description=__doc__)
    parser.add_argument("--size", type=float, default=1_000_000, help="codes in the index")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--checked", type=int, default=40, help="queries compared with brute force")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args(argv)
    report = measure(int(arguments.size), arguments.queries, arguments.checked, arguments.seed)
    print(json.dumps(report, indent=None if arguments.json else 1))
    return 0


def measure(size: int, queries: int, checked: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    octets = rng.bytes(32 * size)
    codes = codes_of(octets)
    asked = _queries(rng, codes, queries)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "bench-000001.seg"
        started = time.perf_counter()
        builder = SegmentBuilder()
        builder.add_plain(octets)
        builder.write_to(path)
        build_s = time.perf_counter() - started
        del builder
        started = time.perf_counter()
        segment = Segment.open(path)
        open_s = time.perf_counter() - started
        for query in asked[:20]:
            segment.search(query, RADIUS)
        # Peers and this take turns query by query, so that noise hits them alike.
        faiss_search = _faiss(codes)
        threatexchange_search = _threatexchange(codes)
        own, faiss_us, threatexchange_us = [], [], []
        for number, query in enumerate(asked):
            own.append(_us(segment.search, query, RADIUS))
            if faiss_search is not None and number < 100:
                faiss_us.append(_us(faiss_search, query))
            if threatexchange_search is not None and number < 100:
                threatexchange_us.append(_us(threatexchange_search, query))
        batches = [asked[start : start + 32] for start in range(0, len(asked) - 31, 32)]
        batch_us = [_us(_search_all, segment, batch) for batch in batches]
        recall, extra = _recall(segment, asked[:checked])
        memory = segment.size_bytes / 1e6
    return {
        "size": size,
        "build_s": round(build_s, 1),
        "open_and_verify_s": round(open_s, 2),
        "memory_mb": round(memory, 1),
        "query_us": _percentiles(own),
        "batch32_us": _percentiles(batch_us)["p50"] if batch_us else None,
        "recall": recall,
        "wrong_hits": extra,
        "faiss_flat_us": _percentiles(faiss_us) or None,
        "threatexchange_us": _percentiles(threatexchange_us) or None,
        **_pdq(),
    }


def _queries(rng: np.random.Generator, codes: Codes, count: int) -> list[Codes]:
    asked = []
    for number in range(count):
        query = codes[rng.integers(len(codes))].copy()
        if number % 4 == 3:
            query = codes_of(rng.bytes(32))[0]
        flips = int(rng.integers(32, 45)) if number % 4 == 2 else int(rng.integers(0, 32))
        if number % 4 != 3:
            for place in rng.choice(256, flips, replace=False):
                query[place // 64] ^= np.uint64(1 << int(place % 64))
        asked.append(query)
    return asked


def _faiss(codes: Codes) -> Callable[[Codes], object] | None:
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(256)
    index.add(codes.view(np.uint8).reshape(-1, 32))
    return lambda query: index.range_search(query.view(np.uint8).reshape(1, 32), RADIUS + 1)


def _threatexchange(codes: Codes) -> Callable[[Codes], object] | None:
    if len(codes) > PEER_LIMIT:
        return None
    try:
        from threatexchange.signal_type.pdq.pdq_index import PDQIndex
    except ImportError:
        return None
    index = PDQIndex((code.tobytes().hex(), number) for number, code in enumerate(codes))
    return lambda query: index.query(query.tobytes().hex())


def _recall(segment: Segment, asked: list[Codes]) -> tuple[float, int]:
    """Returns the share of brute-force hits that the index finds, and the number of hits that brute force
    lacks."""
    expected = found = extra = 0
    for query in asked:
        by_force = set(scan(segment.codes, query, RADIUS).positions.tolist())
        by_index = set(segment.search(query, RADIUS).positions.tolist())
        expected += len(by_force)
        found += len(by_force & by_index)
        extra += len(by_index - by_force)
    return (found / expected if expected else 1.0), extra


def _pdq() -> dict[str, Any]:
    frame = _frame()
    hasher = PdqHasher()
    hasher.hash(frame)
    own, peer = [], []
    try:
        import pdqhash
    except ImportError:
        pdqhash = None
    rgb = np.repeat(frame[..., None], 3, axis=2)
    for _ in range(40):
        own += [_us(hasher.hash, frame) / 1e3 for _ in range(5)]
        if pdqhash is not None:
            peer.append(_us(pdqhash.compute, rgb) / 1e3)
    return {"pdq_720p_ms": _percentiles(own, 3), "pdqhash_720p_ms": _percentiles(peer, 3) or None}


def _frame() -> npt.NDArray[np.uint8]:
    """Returns a 1280×720 luma plane with a decoder's padding between the rows."""
    padded = np.zeros((720, 1344), np.uint8)
    video = SHARED / "reference" / "pdq" / "videos" / "doorknob-hd-no-bar.mp4"
    if video.is_file():
        padded[:, :1280] = next(luma for _, _, luma in frames_of(video))
    else:
        y, x = np.mgrid[0:720, 0:1280]
        padded[:, :1280] = 128 + 60 * np.sin(x / 90) * np.cos(y / 60) + 40 * np.sin((x + 2 * y) / 35)
    return padded[:, :1280]


def _search_all(segment: Segment, asked: list[Codes]) -> None:
    for query in asked:
        segment.search(query, RADIUS)


def _us(call: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter_ns()
    call(*arguments)
    return (time.perf_counter_ns() - started) / 1e3


def _percentiles(values: list[float], digits: int = 1) -> dict[str, float]:
    if not values:
        return {}
    return {f"p{p}": round(float(np.percentile(values, p)), digits) for p in (50, 95)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
