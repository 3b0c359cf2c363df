"""Ingest servers' control APIs as they are documented, over real HTTP on a loopback port.

Each holds sessions and answers in its server's own dialect. ``trouble`` is answered first, one a call,
then ``always`` if there is one; a number there is a pause in seconds before the server's own answer.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from edge.servers.connector import Connector
from edge.servers.mediamtx.connector import MediaMtxConnector
from edge.servers.node_media_server.connector import NodeMediaServerConnector, bearer_token
from edge.servers.ovenmediaengine.connector import OvenMediaEngineConnector
from edge.servers.srs.connector import SrsConnector
from edge.servers.zlmediakit.connector import ZlMediaKitConnector

SECRET = "s3cret"


@dataclass
class Double:
    """``sessions``: connection to the app and name that it publishes."""

    sessions: dict[str, tuple[str, str]] = field(default_factory=dict)
    trouble: list[Response | float] = field(default_factory=list)
    always: Response | float | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""

    kind: ClassVar[str] = ""
    ids: ClassVar[tuple[str, str]] = ("", "")
    """Two connections as this server writes them."""
    unknown: ClassVar[str] = ""

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> Connector:
        raise NotImplementedError

    def answer(self, method: str, path: str, request: Request) -> Response:
        raise NotImplementedError

    async def _handle(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.path}")
        trouble = self.trouble.pop(0) if self.trouble else self.always
        if isinstance(trouble, Response):
            return trouble
        if trouble is not None:
            await asyncio.sleep(trouble)
        return self.answer(request.method, request.url.path, request)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        methods = ["GET", "POST", "DELETE"]
        app = Starlette(routes=[Route("/{path:path}", self._handle, methods=methods)])
        server = uvicorn.Server(
            uvicorn.Config(app, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        )
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield
        finally:
            server.should_exit = True
            await task

    def by_name(self, app: str, name: str) -> str | None:
        return next((c for c, published in self.sessions.items() if published == (app, name)), None)


def _basic(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return base64.b64decode(value).decode() if kind == "Basic" else ""


class NodeMediaServerDouble(Double):
    kind = "node-media-server"
    ids = ("mb8xyz0abc12", "mb8xyz0def34")
    unknown = "mb8xyz0zzz99"

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> Connector:
        return NodeMediaServerConnector(self.url, secret, timeout_s=timeout_s)

    def answer(self, method: str, path: str, request: Request) -> Response:
        # The real server checks the token's signature; here it is enough that its key decides.
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        iat = _issued(token)
        if bearer_token(SECRET, iat) != token:
            return JSONResponse({"success": False, "code": "UNAUTHORIZED"}, 401)
        parts = path.removeprefix("/api/v1/").split("/")
        if method == "DELETE":
            if self.sessions.pop(parts[1], None) is None:
                return JSONResponse({"success": False, "message": "Session not found"}, 404)
            return JSONResponse({"success": True, "data": {"id": parts[1]}})
        if parts == ["sessions"]:
            listed = [{"id": one, "isPublisher": True} for one in self.sessions]
            return JSONResponse({"success": True, "data": {"sessions": listed}})
        publisher = self.by_name(parts[1], parts[2])
        if publisher is None:
            return JSONResponse({"success": False, "message": "Stream not found"}, 404)
        data = {"status": "publishing", "publisher": {"id": publisher}}
        return JSONResponse({"success": True, "data": data})


class SrsDouble(Double):
    kind = "srs"
    ids = ("9308h583", "b6s9j5b9")
    unknown = "0000zzzz"

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> Connector:
        return SrsConnector(self.url, user="gate", password=secret, timeout_s=timeout_s)

    def answer(self, method: str, path: str, request: Request) -> Response:
        if _basic(request) != f"gate:{SECRET}":
            return PlainTextResponse("", 401, {"WWW-Authenticate": 'Basic realm="SRS"'})
        collection, ident = path.removeprefix("/api/v1/").split("/")
        if collection == "streams":
            app, _, name = ident.removeprefix("vid-").partition("-")
            cid = self.by_name(app, name)
            publish: dict[str, Any] = {"active": cid is not None, "cid": cid or "left"}
            return _srs({"stream": {"id": ident, "app": app, "name": name, "publish": publish}})
        if ident not in self.sessions:
            return JSONResponse({"code": 2049})
        if method == "DELETE":
            del self.sessions[ident]
            return _srs({})
        stream = "vid-" + "-".join(self.sessions[ident])
        return _srs({"client": {"id": ident, "stream": stream, "type": "fmle-publish", "publish": True}})


class MediaMtxDouble(Double):
    """With RTMPS switched off: its collection answers 404 in nobody's words. RTSP is refused: it has none."""

    kind = "mediamtx"
    ids = (
        "rtmp/2a9f2d38-5f0c-4a0b-8b0e-1f4a6c1e9d11",
        "srt/7bd3ac3e-27b4-4d8b-8f6f-b5d4a6a0c222",
    )
    unknown = "rtmp/00000000-0000-0000-0000-000000000000"

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> Connector:
        return MediaMtxConnector(self.url, user="gate", password=secret, timeout_s=timeout_s)

    def answer(self, method: str, path: str, request: Request) -> Response:
        if _basic(request) != f"gate:{SECRET}":
            return JSONResponse({"status": "error", "error": "authentication error"}, 401)
        collection, verb, ident = path.removeprefix("/v3/").split("/", 2)
        if collection == "paths":
            app, _, name = ident.rpartition("/")
            source = self.by_name(app, name)
            if source is None:
                return JSONResponse({"status": "error", "error": "path not found"}, 404)
            kind, _, uuid = source.partition("/")
            return JSONResponse({"name": ident, "source": {"type": f"{kind}Conn", "id": uuid}})
        if collection not in {"rtmpconns", "srtconns"}:
            return PlainTextResponse("404 page not found", 404)
        connection = f"{collection.removesuffix('conns')}/{ident}"
        if connection not in self.sessions:
            return JSONResponse({"status": "error", "error": "connection not found"}, 404)
        if (method, verb) == ("POST", "kick"):
            del self.sessions[connection]
            return JSONResponse({"status": "ok"})
        return JSONResponse({"id": ident, "state": "publish"})


class OvenMediaEngineDouble(Double):
    kind = "ovenmediaengine"
    ids = ("192.0.2.1:50001", "2001:db8::1:50002")
    unknown = "192.0.2.1:50009"

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> Connector:
        return OvenMediaEngineConnector(self.url, secret, timeout_s=timeout_s)

    def answer(self, method: str, path: str, request: Request) -> Response:
        if _basic(request) != SECRET:
            return JSONResponse({"statusCode": 401, "message": "[HTTP] Authorization (401)"}, 401)
        _, _, vhost, _, app, _, name = path.strip("/").split("/")
        peer = self.by_name(app, name) if vhost == "default" else None
        if peer is None:
            return JSONResponse({"statusCode": 404, "message": "Could not find the stream (404)"}, 404)
        if method == "DELETE":
            del self.sessions[peer]
            return JSONResponse({"statusCode": 200, "message": "OK"})
        address, _, port = peer.rpartition(":")
        url = f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{peer}"
        source = {"sourceType": "Rtmp", "sourceUrl": url, "tracks": []}
        return JSONResponse({"statusCode": 200, "response": {"name": name, "input": source}})


class ZlMediaKitDouble(Double):
    kind = "zlmediakit"
    ids = ("140437-57", "140438-58")
    unknown = "1-1"

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> Connector:
        return ZlMediaKitConnector(self.url, secret, timeout_s=timeout_s)

    def answer(self, method: str, path: str, request: Request) -> Response:
        query = request.query_params
        if query.get("secret") != SECRET:
            return JSONResponse({"code": -100, "msg": "Incorrect secret"})
        match path.removeprefix("/index/api/"):
            case "kick_session":
                if self.sessions.pop(query["id"], None) is None:
                    return JSONResponse({"code": -500, "msg": "can not find the target"})
                return JSONResponse({"code": 0, "msg": "success"})
            case "getAllSession":
                return _zlm([{"id": one, "peer_ip": "192.0.2.1"} for one in self.sessions])
            case "getMediaList":
                origin = self.by_name(query["app"], query["stream"])
                sock = {"originSock": {"identifier": origin}, "vhost": query["vhost"]}
                return _zlm(
                    [] if origin is None else [{"schema": "rtsp", **sock}, {"schema": "rtmp", **sock}]
                )
        return JSONResponse({"code": -404, "msg": "not found"}, 404)


def _srs(body: dict[str, Any]) -> Response:
    return JSONResponse({"code": 0, "server": "vid-5e3yks6", **body})


def _zlm(data: list[dict[str, Any]]) -> Response:
    return JSONResponse({"code": 0, "data": data} if data else {"code": 0})


def _issued(token: str) -> int:
    claims = token.split(".")[1] if token.count(".") == 2 else ""
    return int(json.loads(base64.urlsafe_b64decode(claims + "==") or b"{}").get("iat", 0))


DOUBLES: tuple[type[Double], ...] = (
    NodeMediaServerDouble,
    SrsDouble,
    MediaMtxDouble,
    OvenMediaEngineDouble,
    ZlMediaKitDouble,
)
