"""The console as an ASGI app: who may see and do what, and the headers of every answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote, urlsplit

import structlog
from pydantic import SecretStr
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.allowance import Allowance
from edge.api.auth import Role, TokenFile
from edge.api.failed_calls import FailedCalls, Turnstile
from edge.api.operator_servicer import OperatorServicer
from edge.config import Settings
from edge.console.exposure import Exposure
from edge.console.forms import FORM, FormBounds, read_form
from edge.console.sessions import Session, Sessions
from edge.console.visit import ROOT, Visit
from edge.console.wellness import Wellness
from edge.console.words import languages, preferred
from edge.errors import (
    CallRefused,
    GateError,
    InvalidInput,
    LedgerUnavailable,
    NotFound,
    NotSignedIn,
    PermissionRefused,
    SignInUnavailable,
)
from edge.places import network_of
from edge.section import is_local
from edge.supervise import Gate
from edge.telemetry.records import ConsoleRefused, ConsoleUnrecorded, ConsoleUsed

COOKIE: Final = "edge-console"
LANGUAGE_COOKIE: Final = "edge-console-language"
VIEW_COOKIE: Final = "edge-console-view"
YEAR_S: Final = 365 * 24 * 3600
CSRF: Final = "x-console-csrf"
"""Header of a request whose body is no form."""
IDLE: Final = "x-console-idle"
"""Header of a request that the script makes by itself: it does not keep a session alive."""
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), autoplay=()",
    "cache-control": "no-store",
}
_WRONG_TOKENS: Final = (1 / 6, 10)
"""Wrong tokens a second from one address, and at once."""

Handler = Callable[[Visit], Awaitable[Response]]
log = structlog.get_logger(__name__)


class Console:
    """What the pages share."""

    def __init__(self, settings: Settings, gate: Gate, tokens: TokenFile) -> None:
        self.section = settings.console
        self.gate = gate
        self.tokens = tokens
        self.operator = OperatorServicer(gate, tokens, Turnstile(FailedCalls(), gate.clock))
        self.sessions = Sessions(self.section.idle_ms, self.section.session_ms)
        self.wrong_tokens = Allowance(*_WRONG_TOKENS)
        self.exposure = Exposure(self.section.break_ms, self.section.limit_ms)

    def page(
        self, handler: Handler, role: Role = Role.VIEWER, most: FormBounds | None = FORM
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that only signed-in people of that role reach. A POST also needs its session's form.

        ``most`` None: the body is no form, so a header has the form's token, and the handler reads the body.
        """

        async def endpoint(request: Request) -> Response:
            visit = None
            try:
                visit = self._visit(request)
                if request.method == "POST":
                    token = {"csrf": request.headers.get(CSRF, "")}
                    visit = replace(visit, form=token if most is None else await read_form(request, most))
                    self.check_origin(request)
                    visit.check_csrf()
                visit.need(role)
                return await handler(visit)
            except NotSignedIn:
                return self._to_sign_in(request)
            except (CallRefused, GateError) as error:
                if isinstance(error, CallRefused) and error.status == 401:
                    return self._to_sign_in(request)
                return _problem(visit, error)
            except Exception:
                log.exception("page failed", path=request.url.path)
                return _problem(visit, CallRefused(500, "internal error"))

        return endpoint

    def _visit(self, request: Request) -> Visit:
        """Raises NotSignedIn and SignInUnavailable."""
        cookie = request.cookies.get(COOKIE, "")
        active = IDLE not in request.headers
        session = self.sessions.find(cookie, self.gate.clock.monotonic_ms(), active=active)
        if session is None:
            raise NotSignedIn
        person = self.tokens.identify(f"Bearer {session.token.get_secret_value()}")
        if person is None or person.role < Role.VIEWER:
            self.sessions.end(cookie)
            raise NotSignedIn
        wellness = Wellness.of(self.section, request.cookies.get(VIEW_COOKIE))
        words = languages()[self.language(request)]
        return Visit(
            request,
            self.gate,
            self.operator,
            self.exposure,
            words,
            wellness,
            session,
            person,
            partial(self._holds, cookie, session),
        )

    def _holds(self, cookie: str, session: Session) -> bool:
        now = self.gate.clock.monotonic_ms()
        if self.sessions.find(cookie, now, active=False) is not session:
            return False
        try:
            return self.tokens.identify(f"Bearer {session.token.get_secret_value()}") is not None
        except SignInUnavailable:
            return False

    def language(self, request: Request) -> str:
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        return chosen if chosen in languages() else preferred(request.headers.get("accept-language", ""))

    def check_origin(self, request: Request) -> None:
        """Raises PermissionRefused for a form of another site's page."""
        own = self.section.origin or f"http://{request.headers.get('host', '')}"
        given = request.headers.get("origin")
        if given is not None and given.lower() != own.lower():
            raise PermissionRefused("the form comes from another site's page")
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise PermissionRefused("the form comes from another site's page")

    def set_cookie(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        """``max_age`` None: it goes with the browser."""
        response.set_cookie(
            name,
            value,
            max_age,
            path=f"{ROOT}/",
            secure=self.section.secure,
            httponly=True,
            samesite="strict",
        )

    async def sign_in(self, request: Request, given: str) -> tuple[str, str]:
        """Returns the name of the person and the session's cookie.

        Raises NotSignedIn for a wrong token, PermissionRefused for one without the role, SignInUnavailable,
        and CallRefused where too many were wrong from that address.
        """
        address = request.client.host if request.client else ""
        now = self.gate.clock.monotonic_ms()
        origin = network_of(address) or address
        if wait_ms := self.wrong_tokens.debt_ms(origin, now):
            raise CallRefused(429, f"too many wrong tokens: wait {wait_ms / 1000:.0f} s")
        person = self.tokens.identify(f"Bearer {given}")
        if person is None:
            self.wrong_tokens.charge(origin, now)
            self.gate.telemetry.report(ConsoleRefused(address))
            raise NotSignedIn
        if person.role < Role.VIEWER:
            raise PermissionRefused(f"role {person.role.name.lower()} may not use the console")
        self.sessions.end(request.cookies.get(COOKIE, ""))
        cookie, _ = self.sessions.begin(person.name, SecretStr(given), now)
        await self._record(person.name, "console_sign_in", address)
        return person.name, cookie

    async def sign_out(self, visit: Visit) -> None:
        """Ends the session at once."""
        self.sessions.end(visit.request.cookies.get(COOKIE, ""))
        await self._record(visit.person.name, "console_sign_out", "")

    async def _record(self, who: str, what: str, subject: str) -> None:
        """Puts it into the audit log. Who cannot reach the ledger has to reach the page that says so."""
        self.gate.telemetry.report(ConsoleUsed(what, subject, who))
        try:
            gate = self.gate
            await gate.executor.person(gate.ledger.record_access, who, what, subject, gate.clock.wall_ms())
        except LedgerUnavailable as error:
            self.gate.telemetry.report(ConsoleUnrecorded(str(error), who))

    def _to_sign_in(self, request: Request) -> Response:
        if request.method != "GET" or "x-console-part" in request.headers:
            return PlainTextResponse("sign in", 401, {"www-authenticate": "Bearer"})
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        response = RedirectResponse(f"{ROOT}/sign-in?next={quote(target)}", 303)
        response.delete_cookie(COOKIE, f"{ROOT}/")
        return response


def _problem(visit: Visit | None, error: GateError) -> Response:
    status = error.status if isinstance(error, CallRefused) else _status(error)
    if visit is None:
        return PlainTextResponse(f"{error}\n", status)
    return visit.show("problem.html", status, problem=str(error))


def _status(error: GateError) -> int:
    for kind, status in (
        (PermissionRefused, 403),
        (NotFound, 404),
        (InvalidInput, 400),
        (SignInUnavailable, 503),
    ):
        if isinstance(error, kind):
            return status
    return 503 if error.retryable else 409


def served(settings: Settings) -> bool:
    """Whether the console is served: on this machine's own address, or where its public one is named."""
    section, listen = settings.console, settings.http.listen
    return bool(section.enabled and listen and (section.origin or is_local(listen)))


def mounted(console: Console, routes: Iterable[BaseRoute]) -> Mount:
    """The console at its place beside the hooks."""
    static = Mount("/static", StaticFiles(packages=[("edge.console", "static")]), name="static")
    return Mount(
        ROOT, routes=[*routes, static], middleware=[Middleware(Guard, origin=console.section.origin)]
    )


class Guard:
    """Refuses names of hosts that are not ours, and adds the headers that keep a browser safe."""

    def __init__(self, app: ASGIApp, origin: str | None) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if scope["path"].startswith(f"{ROOT}/static/"):  # its URLs carry the version
                    headers["cache-control"] = "public, max-age=86400"
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if self._origin is None and not _is_own_name(Request(scope).headers.get("host", "")):
            refusal = PlainTextResponse("the console answers to names of this machine alone\n", 421)
            await refusal(scope, receive, sending)
            return
        try:
            await self._app(scope, receive, sending)
        except HTTPException as error:  # of the router: no such page
            await PlainTextResponse(f"{error.detail}\n", error.status_code)(scope, receive, sending)


def _is_own_name(host: str) -> bool:
    """Without a public address only names of this machine count. Another name may be rebound to it."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_local(f"[{name}]:0" if ":" in name else f"{name}:0")


def endpoint(path: str, call: Callable[[Request], Awaitable[Response]], *methods: str) -> Route:
    return Route(path, call, methods=list(methods) or ["GET"])
