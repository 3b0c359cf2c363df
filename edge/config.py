"""Process settings: one TOML file, every field with a sane default, environment ``EDGE_…`` on top.

edge-gate serve --config edge.toml
EDGE_GRPC__LISTEN=127.0.0.1:6000 edge-gate serve
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from edge.errors import ConfigError, InvalidInput

MAX_CONFIG_BYTES = 256 * 1024


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def is_local(listen: str) -> bool:
    """Whether an address can be reached from this machine only: loopback or a unix socket."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class GrpcSection(_Section):
    listen: str = Field(
        "127.0.0.1:50051",
        description="host:port (0: any free port) or unix:/path, which only the gate's own user may open.",
    )
    insecure: bool = Field(False, description="Allow an address beyond this machine without TLS.")
    tls_cert: Path | None = Field(None, description="Server certificate chain, PEM.")
    tls_key: Path | None = Field(None, description="Server key, PEM.")
    tls_client_ca: Path | None = Field(
        None, description="When given, clients must present a certificate of it."
    )
    operator_tokens: Path | None = Field(
        None, description="File with a line `ROLE NAME TOKEN` a person. Default: DATA_DIR/operator.tokens."
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key")
        if not is_local(self.listen) and self.tls_cert is None and not self.insecure:
            raise ValueError(
                f"listen {self.listen!r} is reachable from other machines: give tls_cert and tls_key, "
                "listen on loopback or unix:, or set insecure = true"
            )
        return self


class HttpSection(_Section):
    listen: str | None = Field("127.0.0.1:8085", description="Hooks, /metrics and /healthz; empty: none.")
    hook_secret: SecretStr | None = Field(None, description="Hooks must carry ?secret=…")
    insecure: bool = Field(False, description="Allow an address beyond this machine without a hook_secret.")

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.listen and not is_local(self.listen) and self.hook_secret is None and not self.insecure:
            raise ValueError(
                f"listen {self.listen!r} is reachable from other machines: give hook_secret, "
                "listen on loopback, or set insecure = true"
            )
        return self


Argument = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_RTMP_PULL: Final = "rtmp://127.0.0.1:1935/{app}/{name}"


class ServerSection(_Section):
    """What the section of every kind of ingest server has; each gives ``pull_url`` a default of its own."""

    pull_url: str = Field(description="Where the gate pulls from; {app} and {name} are filled in.")
    broadcaster_argument: Argument = Field("user", description="URL argument that names the broadcaster.")
    attribute_arguments: tuple[Argument, ...] = Field(
        (),
        max_length=16,
        description="URL arguments that become attributes of the publish (tenant, device …), for blocks, "
        "`ladder.link` and `tenants`. A client writes them: name only what your own hook checks.",
    )
    upstream_url: str = Field("", description="The platform's own hook, asked before the gate; empty: none.")
    upstream_timeout_ms: int = Field(
        2000, ge=50, le=30_000, description="Keep it below the server's own timeout, with room for the gate."
    )
    upstream_failure: Literal["allow", "deny"] = Field(
        "deny", description="Whether a publish is let in when the platform's hook does not answer."
    )

    @model_validator(mode="after")
    def _urls(self) -> Self:
        if self.upstream_url:
            _http_url("upstream_url", self.upstream_url)
        for name in ("api_url", "control_url", "stat_url"):
            if name in type(self).model_fields:
                _http_url(name, getattr(self, name))
        return self


class NginxRtmpSection(ServerSection):
    control_url: str = Field("http://127.0.0.1:18081/control", description="rtmp_control location.")
    stat_url: str = Field("http://127.0.0.1:18081/stat", description="rtmp_stat location.")
    pull_url: str = _RTMP_PULL
    pull_wait_ms: int = Field(
        300, ge=0, le=5000, description="Longest wait in on_publish for the pull to connect."
    )


class NodeMediaServerSection(ServerSection):
    api_url: str = Field("http://127.0.0.1:8000", description="Its http port; the API is under /api/v1.")
    jwt_secret: SecretStr = Field(description="auth.jwt.secret of its configuration.")
    pull_url: str = _RTMP_PULL


class SrsSection(ServerSection):
    api_url: str = Field("http://127.0.0.1:1985", description="Its http_api.")
    api_user: str = Field("", description="Of http_api { auth }; empty: none.")
    api_password: SecretStr = SecretStr("")
    pull_url: str = _RTMP_PULL


class MediaMtxSection(ServerSection):
    api_url: str = Field("http://127.0.0.1:9997", description="Its apiAddress.")
    api_user: str = Field("", description="Whom the hook lets into its API; empty: this machine.")
    api_password: SecretStr = SecretStr("")
    pull_url: str = Field(
        "rtmp://127.0.0.1:1935/{path}", description="Where the gate pulls from; {path} is filled in."
    )


class OvenMediaEngineSection(ServerSection):
    api_url: str = Field("http://127.0.0.1:8081", description="Its API server.")
    access_token: SecretStr = Field(description="<AccessToken> of its API server.")
    secret_key: SecretStr = Field(description="<SecretKey> of <AdmissionWebhooks>; empty: not signed.")
    vhost: str = Field("default", pattern="^[A-Za-z0-9._~-]+$", description="Name of the virtual host.")
    pull_url: str = "http://127.0.0.1:3333/{app}/{name}/ts:playlist.m3u8"


class ZlMediaKitSection(ServerSection):
    api_url: str = Field("http://127.0.0.1:80", description="Its HTTP server.")
    api_secret: SecretStr = Field(description="[api] secret of its configuration.")
    vhost: str = Field("__defaultVhost__", description="Virtual host of the streams.")
    pull_url: str = _RTMP_PULL


def _http_url(field: str, url: str) -> None:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"{field} must be an http:// or https:// URL")


class LimitsSection(_Section):
    max_streams: int = Field(1024, ge=1, le=100_000)
    max_streams_per_client: int = Field(
        512,
        ge=1,
        le=100_000,
        description="Streams admitted for a gRPC peer, and its Watch and Attach calls.",
    )
    max_access_unit_bytes: int = Field(4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    max_extradata_bytes: int = Field(64 * 1024, ge=1024, le=1024 * 1024)
    max_app_chars: int = Field(128, ge=1, le=128, description="The upper bounds of names are the ledger's.")
    max_name_chars: int = Field(256, ge=1, le=256)
    max_broadcaster_chars: int = Field(256, ge=1, le=256)
    max_connection_chars: int = Field(256, ge=1, le=256)
    max_attributes: int = Field(32, ge=0, le=256)
    max_attribute_chars: int = Field(512, ge=1, le=512)
    max_url_chars: int = Field(2048, ge=16, le=2048)
    max_reason_chars: int = Field(512, ge=1, le=512, description="Reasons that operators give.")
    max_queue_units: int = Field(240, ge=8, le=10_000, description="Undecoded access units of one stream.")
    max_queue_bytes: int = Field(16 * 1024 * 1024, ge=1024 * 1024, le=1024 * 1024 * 1024)
    max_answers: int = Field(256, ge=8, le=10_000, description="Unread answers of one Watch or Attach call.")
    pull_schemes: tuple[str, ...] = Field(("rtmp", "rtmps", "http", "https", "rtsp", "srt"))
    pull_open_ms: int = Field(
        10_000, ge=100, le=120_000, description="A pull must deliver media within this."
    )
    pull_stall_ms: int = Field(
        10_000, ge=100, le=120_000, description="A pull without media for this long is ended."
    )
    cut_limit_ms: int = Field(5_000, ge=100, le=60_000, description="An unconfirmed cut alarms after this.")
    evidence_min_free_mb: int = Field(
        512,
        ge=0,
        le=1_048_576,
        description="Evidence clips leave so much of their disk free: the ledger is on it, too.",
    )
    unwatched_ms: int = Field(
        30_000,
        ge=100,
        le=600_000,
        description="An admitted stream that nobody watches is forgotten after this.",
    )


class WorkersSection(_Section):
    count: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    restart_backoff_ms: int = Field(200, ge=10, le=60_000)
    heartbeat_ms: int = Field(1000, ge=100, le=60_000)
    hang_ms: int = Field(10_000, ge=500, le=600_000, description="A worker silent for this long is killed.")
    job_ms: int = Field(
        5_000,
        ge=50,
        le=600_000,
        description="A worker whose single job, as decoding one frame, takes longer is killed.",
    )
    spare: int = Field(
        1,
        ge=0,
        le=1,
        description="A process more that waits with its model loaded and takes the place of one that dies at "
        "once; 0: its streams wait for a new process.",
    )
    max_busy: float = Field(
        0.9, gt=0.0, le=1.0, description="No worker takes new streams while each is busier than this."
    )
    spare_load: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="A worker that is busy for a smaller share of its time looks at calm streams more "
        "densely than it must; 0: never.",
    )
    max_resident_mb: int = Field(
        4096, ge=128, le=1_048_576, description="A worker that holds more memory is replaced."
    )
    ready_ms: int = Field(
        30_000, ge=1000, le=600_000, description="A worker must have loaded its model within this."
    )


class WebhookSection(_Section):
    """The platform's endpoint for what the gate decides."""

    url: str = Field("", description="Where events are POSTed to; empty: nowhere.")
    secret: SecretStr = Field(
        SecretStr(""), description="They are signed with it; `edge-gate webhook secret` makes one."
    )
    previous_secret: SecretStr = Field(
        SecretStr(""), description="While the receiver changes over, they are signed with this one, too."
    )
    events: tuple[str, ...] = Field((), description="Types that are sent; empty: all.")
    timeout_ms: int = Field(10_000, ge=100, le=60_000, description="A receiver must have answered by then.")
    first_retry_ms: int = Field(1_000, ge=10, le=3_600_000, description="Doubles with every failure …")
    max_retry_ms: int = Field(3_600_000, ge=10, le=86_400_000, description="… up to this.")
    max_age_ms: int = Field(
        3 * 86_400_000, ge=0, le=30 * 86_400_000, description="An event is given up after this."
    )
    max_waiting: int = Field(
        2_000,
        ge=1,
        le=10_000,
        description="New events that wait for their first try; others wait in the ledger.",
    )
    max_dead_bytes: int = Field(
        16 * 1024 * 1024,
        ge=4096,
        le=1024**3,
        description="Of DATA_DIR/webhook.dead.jsonl, what was given up.",
    )
    concurrency: int = Field(8, ge=1, le=64, description="Requests at a time.")
    ca: Path | None = Field(
        None, description="Certificate authority of the receiver, PEM. Default: the system's."
    )
    public_only: bool = Field(False, description="Refuse receivers inside this machine or private networks.")
    insecure: bool = Field(False, description="Allow http:// beyond this machine.")

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Those that events are signed with, the current one first."""
        return tuple(each for each in (self.secret, self.previous_secret) if each.get_secret_value())

    @model_validator(mode="after")
    def _usable(self) -> Self:
        from edge.webhook.events import TYPES
        from edge.webhook.signing import key_of

        if not self.url:
            return self
        _http_url("url", self.url)
        parts = urlsplit(self.url)
        if parts.username or parts.password:
            raise ValueError("url must not hold a user or a password: receivers check the signature")
        if parts.scheme == "http" and not self.insecure and not is_local(f"{parts.hostname}:0"):
            raise ValueError("url is http:// and not on this machine: use https://, or set insecure = true")
        if not self.secret.get_secret_value():
            raise ValueError("url wants a secret; `edge-gate webhook secret` makes one")
        for name in ("secret", "previous_secret"):
            text = getattr(self, name).get_secret_value()
            if text:
                try:
                    key_of(text)
                except InvalidInput as error:
                    raise ValueError(f"{name} {error.problem}") from None
        for kind in self.events:
            if kind not in TYPES:
                raise ValueError(f"events: {kind!r} is none of {', '.join(TYPES)}")
        return self


class Settings(BaseSettings):
    """All settings of the sidecar."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="EDGE_", env_nested_delimiter="__"
    )

    data_dir: Path = Field(Path("edge-data"), description="Ledger, evidence, banks and tokens live here.")
    gate_name: str = Field(
        "",
        max_length=128,
        description="Its name in a fleet, the same over restarts. Default: the host's name.",
    )
    ledger_url: str | None = Field(None, description="SQLAlchemy URL. Default: sqlite in DATA_DIR.")
    model_dir: Path | None = Field(None, description="Folder with manifest.json. Default: the shipped model.")
    bank_dir: Path | None = Field(
        None,
        description="Folder of banks. Default: DATA_DIR/banks. Banks that are copied into it must appear by "
        "rename: the files of banks in use are mapped, and must not be written to.",
    )
    evidence_dir: Path | None = Field(None, description="Default: DATA_DIR/evidence.")
    messages_dir: Path | None = Field(
        None,
        description="Folder with en.json and ar.json: your own words of what broadcasters are told, such as "
        '{"appeal": "Write to …", "rule.fight": "Rule 4: no violence"}.',
    )
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    grpc: GrpcSection = GrpcSection()
    http: HttpSection = HttpSection()
    nginx_rtmp: NginxRtmpSection | None = None
    node_media_server: NodeMediaServerSection | None = None
    srs: SrsSection | None = None
    mediamtx: MediaMtxSection | None = None
    ovenmediaengine: OvenMediaEngineSection | None = None
    zlmediakit: ZlMediaKitSection | None = None
    webhook: WebhookSection = WebhookSection()
    limits: LimitsSection = LimitsSection()
    workers: WorkersSection = WorkersSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def ledger(self) -> str:
        return self.ledger_url or f"sqlite:///{self.data_dir / 'edge.db'}"

    @property
    def banks(self) -> Path:
        return self.bank_dir or self.data_dir / "banks"

    @property
    def evidence(self) -> Path:
        return self.evidence_dir or self.data_dir / "evidence"

    @property
    def operator_tokens(self) -> Path:
        return self.grpc.operator_tokens or self.data_dir / "operator.tokens"


def load_settings(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read settings from a TOML file (or only defaults), the environment and ``overrides`` on top of it.

    Raises ConfigError that names the file and the field.
    """
    where = "settings"
    if path is not None:
        where = str(path)
        try:
            size = path.stat().st_size
            if size > MAX_CONFIG_BYTES:
                raise ConfigError(f"{where}: {size} bytes is over the limit of {MAX_CONFIG_BYTES} bytes")
            tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{where}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: {error}") from None

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FromFile(**(overrides or {}))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{where}: {problems}") from None
