"""What the hooks need to know."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.servers.publish_arguments import PublishArguments
from edge.servers.upstream_hook import Upstream


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Of the hooks of one nginx-rtmp server; the HTTP server around them is the caller's."""

    enabled: bool = True
    """False: nginx-rtmp is not configured, its hooks answer 404."""
    secret: str | None = field(default=None, repr=False)
    """Every hook must carry it as ``?secret=``."""
    pull_url: str = "rtmp://127.0.0.1:1935/{app}/{name}"
    stat_url: str = "http://127.0.0.1:18081/stat"
    arguments: PublishArguments = field(default_factory=PublishArguments)
    pull_wait_ms: int = 300
    """Longest wait for the pull to be connected before a publish is answered."""
    upstream: Upstream | None = None
    """The platform's own hook, asked first."""
