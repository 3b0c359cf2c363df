"""Looks between keyframes of the streams of a worker."""

from __future__ import annotations

from edge.contract.gen import worker_pb2
from edge.policy import LookPolicy
from tests.workers.simulated import POLICY, START_MS, Message, media, play, pushed

SECONDS = 20


def judged_in_mid_gop(streams: int, infer_ms: float) -> tuple[int, int]:
    """Returns the samples that were judged, in mid-GOP and at keyframes. GOPs of a second, 15 fps."""
    policy = POLICY.model_copy(update={"looks": LookPolicy(new_ms=0, low_ms=2000)})
    messages: list[Message] = []
    for number in range(streams):
        opening = worker_pb2.OpenPush(
            stream_id=f"st{number}",
            codec="h264",
            policy_json=policy.model_dump_json(),
            calm=True,
            seed=b"secret %d" % number,
            risk_factors=worker_pb2.RiskFactors(clean_ms=10**9),
        )
        messages.append((START_MS, worker_pb2.ToWorker(open_push=opening)))
        messages += [
            (START_MS + 1 + unit.dts_ms, pushed(f"st{number}", unit, 0)) for unit in media(SECONDS).units
        ]
    events, _ = play(messages, infer_ms)
    places = [e.judged.verdict.pts_ms % 1000 for _, e in events if e.WhichOneof("event") == "judged"]
    return sum(place > 300 for place in places), sum(place <= 300 for place in places)


def test_a_calm_stream_is_looked_at_in_mid_gop() -> None:
    looks, bursts = judged_in_mid_gop(1, 5.0)
    assert 8 <= looks <= 20
    assert bursts >= SECONDS - 1
