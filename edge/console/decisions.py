"""Decisions about an incident: what one will do, said before it is done, and the decision itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from markupsafe import Markup
from starlette.responses import Response

from edge.api.auth import Role
from edge.api.operator_calls import ident
from edge.console.visit import Visit
from edge.console.words import Words, iso
from edge.contract.gate import verdict_from_proto
from edge.contract.gen import operator_pb2
from edge.domain import PERMANENT_MS, Severity, Strike
from edge.errors import InvalidInput, NotFound
from edge.ladder import block_until, severity_of
from edge.policy import Policy

DECISIONS: Final = ("confirm", "overturn", "escalate", "strike")
_STATES: Final = {
    "confirm": operator_pb2.INCIDENT_STATE_CONFIRMED,
    "overturn": operator_pb2.INCIDENT_STATE_OVERTURNED,
    "escalate": operator_pb2.INCIDENT_STATE_ESCALATED,
}
_STRIKES: Final = 1000


async def ask(visit: Visit) -> Response:
    """Says what a decision will do, with the form that makes it."""
    incident_id, done = _asked(visit)
    case = await visit.call(
        visit.operator.GetIncident, operator_pb2.GetIncidentRequest(incident_id=incident_id, looking=True)
    )
    policy = await _policy(visit, case.incident)
    return visit.show(
        "decision.html",
        incident=case.incident,
        done=done,
        consequences=[consequence async for consequence in _consequences(visit, case, policy, done)],
        undo_s=policy.queue.undo_ms // 1000 if done != "strike" else 0,
        bankable=done == "confirm" and bool(case.incident.evidence_path) and not case.incident.shadow,
        back=_back(visit.request.query_params.get("back", "")),
        begin_s=visit.request.query_params.get("from", "")[:16],
        end_s=visit.request.query_params.get("to", "")[:16],
    )


async def decide(visit: Visit) -> Response:
    incident_id, done = _asked(visit)
    reason, undo = visit.reason(done), ""
    if done == "strike":
        request = operator_pb2.AddStrikeRequest(incident_id=incident_id, reason=reason)
        await visit.call(visit.operator.AddStrike, request)
    else:
        review = operator_pb2.ReviewIncidentRequest(
            incident_id=incident_id, decision=_STATES[done], reason=reason
        )
        if done == "confirm":
            _choose_stretch(visit, review)
        reviewed = await visit.call(visit.operator.ReviewIncident, review)
        undo = incident_id if reviewed.undo_until_wall_ms else ""
    return visit.done(f"done.{done}", _where(visit, incident_id), undo)


async def undo(visit: Visit) -> Response:
    """Takes back one's own last decision about an incident."""
    incident_id = ident("incident_id", visit.request.path_params["incident"])
    await visit.call(visit.operator.UndoReview, operator_pb2.UndoReviewRequest(incident_id=incident_id))
    return visit.done("done.undo", _where(visit, incident_id))


async def comment(visit: Visit) -> Response:
    """Adds a comment to an incident."""
    incident_id = ident("incident_id", visit.request.path_params["incident"])
    text = visit.form.get("text", "").replace("\r\n", "\n")
    request = operator_pb2.CommentIncidentRequest(incident_id=incident_id, text=text)
    await visit.call(visit.operator.CommentIncident, request)
    return visit.done("done.comment", f"/incidents/{incident_id}")


async def claim(visit: Visit) -> Response:
    """Claims an incident, or releases it."""
    incident_id = ident("incident_id", visit.request.path_params["incident"])
    release = visit.form.get("release") == "1"
    request = operator_pb2.ClaimIncidentRequest(incident_id=incident_id, release=release)
    await visit.call(visit.operator.ClaimIncident, request)
    return visit.done("done.release" if release else "done.claim", _where(visit, incident_id))


def _asked(visit: Visit) -> tuple[str, str]:
    visit.need(Role.REVIEWER)
    done = visit.request.path_params["done"]
    if done not in DECISIONS:
        raise NotFound("decision", done[:64])
    return ident("incident_id", visit.request.path_params["incident"]), done


def _back(asked: str) -> str:
    return asked if asked in ("queue", "live") else "incident"


def _where(visit: Visit, incident_id: str) -> str:
    """The page from which a person came: the queue with what it showed."""
    queue = f"/queue?{visit.session.queue}" if visit.session.queue else "/queue"
    return {"queue": queue, "live": "/live"}.get(visit.form.get("back", ""), f"/incidents/{incident_id}")


def _choose_stretch(visit: Visit, review: operator_pb2.ReviewIncidentRequest) -> None:
    if visit.form.get("bank") == "nothing":
        review.bank_nothing = True
        return
    begin, end = visit.form.get("from", "").strip(), visit.form.get("to", "").strip()
    if not begin and not end:
        return
    try:
        review.stretch.begin_ms, review.stretch.end_ms = _ms(begin), _ms(end)
    except ValueError:
        raise InvalidInput("stretch", "needs two numbers of seconds, such as 10.2 and 14") from None


def _ms(seconds: str) -> int:
    value = float(seconds)
    if not 0 <= value <= 86_400:
        raise ValueError(seconds)
    return round(value * 1000)


async def _consequences(
    visit: Visit, case: operator_pb2.GetIncidentResponse, policy: Policy, done: str
) -> AsyncIterator[Markup]:
    t, incident = visit.words, case.incident
    standing = [block for block in case.blocks if not block.lifted_wall_ms]
    appeals = sum(appeal.state == operator_pb2.APPEAL_STATE_OPEN for appeal in case.appeals)
    if done == "escalate":
        yield t("then.escalated")
        return
    if done == "strike":
        yield t("then.strike", broadcaster=incident.broadcaster)
        yield t("then.strike_block", until=moment(t, await _ladder_until(visit, incident)))
        yield t("then.strike_cut")
        return
    if done == "overturn":
        for block in standing:
            yield t("then.block_lifted", subject=block.subject)
        if case.HasField("strike") and not case.strike.pardoned:
            yield t("then.strike_pardoned", broadcaster=incident.broadcaster)
        if appeals:
            yield t("then.appeals_granted", count=appeals)
        yield t("then.not_known")
        return
    for block in standing:
        until, full = moment(t, block.until_wall_ms), moment(t, block.full_until_wall_ms)
        if block.provisional:
            yield t("then.block_full", subject=block.subject, until=until, full=full)
        else:
            yield t("then.block_stays", subject=block.subject, until=until)
    if not standing:
        yield t("then.no_block")
    review = policy.review
    permanent = any(block.full_until_wall_ms >= PERMANENT_MS for block in standing)
    severe = severity_of(verdict_from_proto(incident.verdict, 0), policy) is Severity.SEVERE
    two = (review.two_person_permanent and permanent) or (review.two_person_severe and severe)
    if two and not incident.first_confirmed_by:
        yield t("then.second_person")
    if appeals:
        yield t("then.appeals_denied", count=appeals)
    yield _banked(t, incident)


async def _policy(visit: Visit, incident: operator_pb2.Incident) -> Policy:
    known = (await visit.gate.reviews.case(incident.id)).incident
    return visit.gate.policy.for_publish(known.publish)


def _banked(t: Words, incident: operator_pb2.Incident) -> Markup:
    if incident.shadow:
        return t("then.not_banked_shadow")
    if not incident.evidence_path:
        return t("then.not_banked_clip")
    if incident.verdict.reason in ("match", "sound"):
        return t("then.not_banked_known")
    if not incident.HasField("stretch"):
        return t("then.not_banked_stretch")
    begin, end = (f"{ms / 1000:.1f}" for ms in (incident.stretch.begin_ms, incident.stretch.end_ms))
    return t("then.banked", begin=begin, end=end)


async def _ladder_until(visit: Visit, incident: operator_pb2.Incident) -> int:
    """When the block of a strike that is given now ends."""
    gate, now = visit.gate, visit.gate.clock.wall_ms()
    earlier = await gate.executor.call(
        gate.ledger.strikes, broadcaster=incident.broadcaster, include_pardoned=False, limit=_STRIKES
    )
    strike = Strike(
        "",
        incident.broadcaster,
        incident.app,
        incident.verdict.category,
        incident.id,
        now,
        None,
        Severity.NORMAL,
    )
    return block_until(earlier, strike, gate.policy.for_app(incident.app).ladder)


def moment(t: Words, wall_ms: int) -> Markup:
    """A time as the browser shows it in its own zone."""
    if wall_ms >= PERMANENT_MS:
        return t("time.permanent")
    return Markup('<time datetime="{0}" data-show="moment">{0}</time>').format(iso(wall_ms))
