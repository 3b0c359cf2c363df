"""Signing in and out, the language, and how evidence is shown to one person."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from edge import __version__, pages
from edge.console.console import COOKIE, LANGUAGE_COOKIE, VIEW_COOKIE, YEAR_S, Console
from edge.console.forms import read_form
from edge.console.visit import ROOT, Visit
from edge.console.wellness import Wellness
from edge.console.words import languages
from edge.errors import CallRefused, GateError, NotSignedIn, SignInUnavailable

_OWN_PAGE: Final = re.compile(rf"{ROOT}/[\w/.?=&%+-]*", re.ASCII)
_MAX_TOKEN: Final = 1024


class SignIn:
    """The pages that people reach before they have a session."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def form(self, request: Request) -> Response:
        return self._page(request, request.query_params.get("next", ""), "", 200)

    async def sign_in(self, request: Request) -> Response:
        target = ""
        try:
            self._console.check_origin(request)
            form = await read_form(request)
            target = form.get("next", "")
            _, cookie = await self._console.sign_in(request, form.get("token", "").strip()[:_MAX_TOKEN])
        except NotSignedIn:
            return self._page(request, target, "sign_in.wrong", 401)
        except CallRefused:
            return self._page(request, target, "sign_in.wait", 429)
        except SignInUnavailable:
            return self._page(request, target, "sign_in.unavailable", 503)
        except GateError:
            return self._page(request, target, "sign_in.refused", 403)
        response = RedirectResponse(_own(target), 303)
        self._console.set_cookie(response, COOKIE, cookie, None)
        return response

    async def choose_language(self, request: Request) -> Response:
        """Anybody may choose the language of the pages that they see."""
        chosen = request.path_params["language"]
        response = RedirectResponse(_own(request.query_params.get("next", "")), 303)
        if chosen in languages():
            self._console.set_cookie(response, LANGUAGE_COOKIE, chosen, YEAR_S)
        return response

    async def sign_out(self, visit: Visit) -> Response:
        await self._console.sign_out(visit)
        response = RedirectResponse(f"{ROOT}/sign-in", 303)
        response.delete_cookie(COOKIE, f"{ROOT}/")
        return response

    async def view(self, visit: Visit) -> Response:
        today = visit.exposure.today(visit.person.name, visit.gate.clock.wall_ms())
        return visit.show("view.html", today=today, parts=[each.name for each in fields(Wellness)])

    async def choose_view(self, visit: Visit) -> Response:
        chosen = Wellness(**{each.name: each.name in visit.form for each in fields(Wellness)})
        response = visit.done("view.saved", "/view")
        self._console.set_cookie(response, VIEW_COOKIE, chosen.words, YEAR_S)
        return response

    def _page(self, request: Request, target: str, problem: str, status: int) -> Response:
        words = languages()[self._console.language(request)]
        page = pages.render(
            "edge.console",
            "sign_in.html",
            t=words,
            version=__version__,
            languages=languages(),
            wellness=Wellness.of(self._console.section, None),
            person=None,
            part="",
            notice="",
            path=f"{ROOT}/sign-in",
            target=_own(target),
            problem=problem,
        )
        return HTMLResponse(page, status)


def _own(target: str) -> str:
    """A page of the console, or its first one."""
    return target if len(target) <= 512 and _OWN_PAGE.fullmatch(target) else f"{ROOT}/"
