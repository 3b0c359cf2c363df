"""A section of the settings, and the checks that several sections share."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the settings file. Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def is_local(listen: str) -> bool:
    """Returns whether an address is reachable from this machine only: loopback or a unix socket."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def grpc_target(address: str) -> str:
    """Returns how gRPC is told an address.

    It takes the path of a unix socket for part of a URI: it would decode ``%20`` in it and end it at ``#``.
    """
    scheme, path = address[:5], address[5:]
    return scheme + quote(path) if scheme == "unix:" else address


def check_http_url(field: str, url: str) -> None:
    """Raises ValueError that names the field unless the URL begins with ``http://`` or ``https://``."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"{field} must be an http:// or https:// URL")
