"""Cutting at the seventh kind: ``DELETE /publishers/{id}``, looked up in the same API."""

from __future__ import annotations

import re

from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.json_api import ApiAnswer, JsonApi
from tests.servers.seventh_kind.settings import SERVER, SeventhKindSection

PUBLISHER = re.compile(r"p-[0-9]{1,18}")


class SeventhKindConnector:
    """One server of the seventh kind."""

    kind = SERVER

    def __init__(self, settings: SeventhKindSection, *, timeout_s: float = 1.0) -> None:
        self._api = JsonApi(settings.api_url, timeout_s=timeout_s)
        self._headers = {"Authorization": f"Bearer {settings.api_token.get_secret_value()}"}

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        if not PUBLISHER.fullmatch(target.connection):
            return CutAttempt(False, None, "the connection is not a publisher's id")
        answer = await self._call("DELETE", target)
        if answer.status == 200 and answer.get("closed") == target.connection:
            return CutAttempt(True, 1)
        if _absent(answer):
            return CutAttempt(True, 0, "no such publisher")
        return CutAttempt(False, None, answer.problem or f"publishers answered {answer.status}")

    async def is_live(self, target: CutTarget) -> bool | None:
        if not PUBLISHER.fullmatch(target.connection):
            return None
        answer = await self._call("GET", target)
        if _absent(answer):
            return False
        return True if answer.status == 200 and answer.get("id") == target.connection else None

    async def publishes(self, target: CutTarget) -> bool | None:
        answer = await self._call("GET", target)
        if _absent(answer):
            return False
        if answer.status != 200 or answer.get("id") != target.connection:
            return None
        return bool((answer.get("app"), answer.get("name")) == (target.app, target.name))

    async def aclose(self) -> None:
        await self._api.aclose()

    async def _call(self, method: str, target: CutTarget) -> ApiAnswer:
        return await self._api.call(method, f"/publishers/{target.connection}", headers=self._headers)


def _absent(answer: ApiAnswer) -> bool:
    return answer.status == 404 and answer.get("error") == "no such publisher"
