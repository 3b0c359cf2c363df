"""One request of a signed-in person, and what the pages need to answer it."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from edge import __version__, pages
from edge.api.auth import Person, Role
from edge.api.operator_servicer import OperatorServicer
from edge.api.status import Context
from edge.console import calls
from edge.console.exposure import Exposure
from edge.console.forms import REASONS, reason_of
from edge.console.sessions import Session
from edge.console.wellness import Wellness
from edge.console.words import Words, iso, languages
from edge.contract.gen import operator_pb2
from edge.domain import PERMANENT_MS
from edge.errors import InvalidInput, PermissionRefused
from edge.supervise import Gate

ROOT: Final = "/console"
PART: Final = "x-console-part"
"""Header of the console's own script: it wants one part of a page."""
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class Visit:
    """A request with who made it, in which language, and how evidence is shown to them."""

    request: Request
    gate: Gate
    operator: OperatorServicer
    exposure: Exposure
    words: Words
    wellness: Wellness
    session: Session
    person: Person
    still_signed_in: Callable[[], bool]
    """Whether the session and its token hold now. An answer that goes on for long asks again."""
    form: Mapping[str, str] = field(default_factory=dict)
    """Fields of a POST; empty for a GET."""

    @property
    def part(self) -> str:
        """The part of a page that is wanted; empty for the whole."""
        return self.request.headers.get(PART, "")

    @property
    def spent(self) -> bool:
        """Whether this person has watched as much evidence as anybody may in a day."""
        return self.exposure.spent(self.person.name, self.gate.clock.wall_ms())

    def may(self, role: Role) -> bool:
        return self.person.role >= role

    async def call(self, method: Callable[[Asked, Context], Awaitable[Answered]], request: Asked) -> Answered:
        """Calls the Operator service as this person. Raises CallRefused."""
        return await calls.call(method, request, self.session.token)

    async def live_streams(self, *, with_scores: bool = False) -> list[operator_pb2.Stream]:
        """Every live stream of this gate. Raises CallRefused."""
        return await calls.live_streams(
            self.operator.ListStreams, self.session.token, with_scores=with_scores
        )

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """Answers with a page, or with the wanted part of it."""
        notice, undo = self.session.notice, self.session.undo
        if not self.part:
            self.session.notice = self.session.undo = ""
        page = pages.render(
            "edge.console",
            template,
            t=self.words,
            version=__version__,
            languages=languages(),
            wellness=self.wellness,
            person=self.person,
            role=self.person.role.name.lower(),
            reviewer=self.may(Role.REVIEWER),
            csrf=self.session.csrf,
            part=self.part,
            notice=notice if not self.part else "",
            undo=undo if not self.part else "",
            reasons=REASONS,
            path=self.request.url.path,
            crises=self.gate.crises.in_force,
            now_ms=self.gate.clock.wall_ms(),
            permanent_ms=PERMANENT_MS,
            iso=iso,
            **values,
        )
        return HTMLResponse(page, status)

    def done(self, notice: str, where: str, undo: str = "") -> Response:
        """Answers an action: the page ``where`` says what was done. ``undo``: the incident whose decision can
        be undone there."""
        self.session.notice, self.session.undo = notice, undo
        return RedirectResponse(f"{ROOT}{where}", 303)

    def reason(self, done: str) -> str:
        """The reason of the form, for the record. Raises InvalidInput."""
        return reason_of(self.form, done, languages()["en"].texts)

    def need(self, role: Role) -> None:
        """Raises PermissionRefused unless the person has the role."""
        if not self.may(role):
            raise PermissionRefused(
                f"role {self.person.role.name.lower()} may not do this: {role.name.lower()} is needed"
            )

    def check_csrf(self) -> None:
        """Raises InvalidInput unless the form is of this session."""
        if not hmac.compare_digest(self.form.get("csrf", "").encode(), self.session.csrf.encode()):
            raise InvalidInput("csrf", "the form is not of this session: load the page again")
