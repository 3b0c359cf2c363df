"""Every address of the console and who may use it."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from edge.api.auth import Role, TokenFile
from edge.config import Settings
from edge.console import (
    banks_page,
    crisis_page,
    decisions,
    evidence,
    health_page,
    incident_page,
    live_page,
    policy_edit,
    policy_page,
    records_pages,
    report_page,
    watch_page,
)
from edge.console.console import Console, Handler, mounted
from edge.console.forms import LARGE_FORM
from edge.console.queue_page import QueuePage
from edge.console.sign_in_page import SignIn
from edge.console.visit import ROOT, Visit
from edge.supervise import Gate


def console_mount(settings: Settings, gate: Gate, tokens: TokenFile) -> Mount:
    """The console, to be put beside the hooks."""
    console = Console(settings, gate, tokens)
    return mounted(console, _routes(console))


def _routes(console: Console) -> Iterator[Route]:
    sign_in = SignIn(console)
    yield Route("/sign-in", sign_in.form, methods=["GET"])
    yield Route("/sign-in", sign_in.sign_in, methods=["POST"])
    yield Route("/language/{language}", sign_in.choose_language, methods=["GET"])
    queue = QueuePage(console)
    live: dict[str, Handler] = {
        "/live/{stream}": watch_page.watch,
        "/live/{stream}/media.mp4": watch_page.media,
        "/live/{stream}/picture.jpg": live_page.picture,
        "/live/{stream}/{done}": live_page.ask,
    }
    pages: dict[str, Handler] = {
        "/": _first,
        "/queue": queue.queue,
        "/incidents": records_pages.incidents,
        "/incidents/{incident}": incident_page.incident,
        "/incidents/{incident}/clip.mp4": evidence.clip,
        "/incidents/{incident}/poster.jpg": evidence.poster,
        "/incidents/{incident}/{done}": decisions.ask,
        "/live": live_page.live,
        "/blocks": records_pages.blocks,
        "/strikes": records_pages.strikes,
        "/appeals": records_pages.appeals,
        "/banks": banks_page.banks,
        "/banks/{bank}": banks_page.bank,
        "/crises": crisis_page.crises,
        "/crises/{crisis}": crisis_page.crisis,
        "/crises/{crisis}/report.html": crisis_page.as_html,
        "/crises/{crisis}/report.json": crisis_page.as_json,
        "/policy": policy_page.policy,
        "/policy/edit": policy_edit.edit,
        "/policy/json": policy_edit.edit_json,
        "/policy/history": policy_page.history,
        "/policy/versions/{version}": policy_page.version,
        "/report": report_page.report,
        "/report.html": report_page.as_html,
        "/report.json": report_page.as_json,
        "/audit": records_pages.audit,
        "/health": health_page.health,
        "/view": sign_in.view,
    }
    actions: dict[str, Handler] = {
        "/queue/next": queue.take_next,
        "/incidents/{incident}/claim": decisions.claim,
        "/incidents/{incident}/undo": decisions.undo,
        "/incidents/{incident}/comment": decisions.comment,
        "/incidents/{incident}/{done}": decisions.decide,
        "/live/{stream}/{done}": live_page.act,
        "/blocks": records_pages.add_block,
        "/blocks/{block}/{done}": records_pages.change_block,
        "/banks/{bank}/mark": banks_page.mark,
        "/crises/{crisis}/url": crisis_page.add_url,
        "/strikes/{strike}/pardon": records_pages.pardon,
        "/appeals/{appeal}/{done}": records_pages.decide_appeal,
    }
    of_policy: dict[str, Handler] = {"/policy/review": policy_edit.review, "/policy": policy_edit.put}
    own: dict[str, Handler] = {
        "/sign-out": sign_in.sign_out,
        "/view": sign_in.choose_view,
        "/queue/saved": queue.save,
        "/incidents/{incident}/watched": evidence.watched,
        "/live/{stream}/watched": watch_page.watched,
    }
    for path, handler in own.items():
        yield Route(path, console.page(handler), methods=["POST"])
    for path, handler in live.items():
        yield Route(path, console.page(handler, Role.REVIEWER), methods=["GET"])
    for path, handler in pages.items():
        yield Route(path, console.page(handler), methods=["GET"])
    for path, handler in actions.items():
        yield Route(path, console.page(handler, Role.REVIEWER), methods=["POST"])
    given = console.page(crisis_page.add_file, Role.REVIEWER, None)
    yield Route("/crises/{crisis}/file", given, methods=["POST"])
    of_admins: dict[str, Handler] = {
        "/crises/{crisis}/confirm": crisis_page.confirm,
        "/crises/{crisis}/end": crisis_page.end,
    }
    for path, handler in of_admins.items():
        yield Route(path, console.page(handler, Role.ADMIN), methods=["POST"])
    yield Route("/crises", console.page(crisis_page.declare, Role.ADMIN, LARGE_FORM), methods=["POST"])
    yield Route("/banks/{bank}/switch", console.page(banks_page.switch, Role.ADMIN), methods=["POST"])
    for path, handler in of_policy.items():
        yield Route(path, console.page(handler, Role.ADMIN, LARGE_FORM), methods=["POST"])


async def _first(visit: Visit) -> Response:
    return RedirectResponse(f"{ROOT}/queue", 303)
