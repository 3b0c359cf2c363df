"""Process settings: one TOML file, every field with a sane default, environment ``EDGE_…`` on top.

edge-gate serve --config edge.toml
EDGE_GRPC__LISTEN=127.0.0.1:6000 edge-gate serve
"""

from __future__ import annotations

import ipaddress
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, create_model, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError

from edge.containment import ContainmentMode
from edge.errors import ConfigError
from edge.evidence.settings import EvidenceSection
from edge.fleet.settings import FleetSection
from edge.pull_sources import LOOPBACK, PullSource, PullSources
from edge.section import Section, is_local
from edge.servers.kind import AnyKind
from edge.servers.registry import kinds
from edge.servers.settings import ServerSection
from edge.settings_file import read_settings_text
from edge.sharing.settings import ShareSection
from edge.webhook.settings import WebhookSection
from edge.workers.settings import WorkersSection

MAX_CONFIG_BYTES = 256 * 1024


def _with_port(host: str) -> str:
    return host if ":" in host.rpartition("]")[2] else f"{host}:0"


class WithoutSecret(StrEnum):
    """Whose calls of a stream are taken without its admission secret."""

    CONNECTION = "connection"
    """Those of the connection that the stream was admitted over."""
    ADDRESS = "address"
    """Those of the address that the stream was admitted from."""
    DENY = "deny"
    """Nobody's."""


class GrpcSection(Section):
    listen: str = Field(
        "127.0.0.1:50051",
        description="host:port (0: any free port) or unix:/path, which only the gate's own user may open.",
    )
    insecure: bool = Field(
        False,
        description="Allow an address beyond this machine without TLS: tokens and media pass in clear text.",
    )
    tls_cert: Path | None = Field(None, description="Server certificate chain, PEM.")
    tls_key: Path | None = Field(None, description="Server key, PEM.")
    tls_client_ca: Path | None = Field(
        None,
        description="CA certificates, PEM. If set, clients must present a certificate of one of them. "
        "Without, calls of the Gate service need a token of the role `ingest` where `listen` is beyond this "
        "machine.",
    )
    operator_tokens: Path | None = Field(
        None,
        description="File with one line `ROLE NAME TOKEN` a person or ingest server. "
        "Default: DATA_DIR/operator.tokens.",
    )

    without_secret: WithoutSecret = Field(
        WithoutSecret.CONNECTION,
        description="Whose calls of a stream are taken without its `admission_secret`: those of the "
        "`connection` that it was admitted over, of that `address`, or nobody's (`deny`). The name in a "
        "client certificate counts instead of either.",
    )

    @property
    def gate_wants_token(self) -> bool:
        """Whether a call of the Gate service needs a token: others can reach it, and show no certificate."""
        return not is_local(self.listen) and self.tls_client_ca is None

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


class HttpSection(Section):
    listen: str | None = Field(
        "127.0.0.1:8085",
        description="Hooks, /metrics and /healthz; empty: none. Beyond this machine /metrics and the details "
        "of /healthz need `authorization: Bearer TOKEN` of a viewer.",
    )
    hook_secret: SecretStr | None = Field(None, description="Hooks must carry ?secret=…")
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"),
        max_length=64,
        description="Addresses and networks of reverse proxies whose `X-Forwarded-For` says where a browser "
        "is. Wrong tokens at the console count by that address.",
    )
    insecure: bool = Field(False, description="Allow an address beyond this machine without a hook_secret.")

    @property
    def wants_token(self) -> bool:
        """Whether whoever reads metrics needs a token."""
        return self.listen is not None and not is_local(self.listen)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            ipaddress.ip_network(each)  # its ValueError names the value
        return given

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.listen and not is_local(self.listen) and self.hook_secret is None and not self.insecure:
            raise ValueError(
                f"listen {self.listen!r} is reachable from other machines: give hook_secret, "
                "listen on loopback, or set insecure = true"
            )
        return self


class ConsoleSection(Section):
    """The pages for reviewers, at `/console/` of `http.listen`. Without `origin` they answer on this machine
    alone. People sign in with their operator token."""

    enabled: bool = Field(True, description="Serve the console.")
    origin: str | None = Field(
        None,
        max_length=256,
        pattern=r"^https?://[^/?#@\s]+$",
        description="`https://HOST[:PORT]` under which browsers reach the console through a reverse proxy "
        "with TLS. Needed where `http.listen` is beyond this machine.",
    )
    idle_ms: int = Field(
        30 * 60_000, ge=60_000, le=12 * 3_600_000, description="A session ends when nobody used it for this."
    )
    session_ms: int = Field(
        12 * 3_600_000, ge=60_000, le=7 * 24 * 3_600_000, description="The longest that a session lasts."
    )
    blur: bool = Field(True, description="Evidence is blurred until it is pointed at or held.")
    greyscale: bool = Field(True, description="Evidence has no colours.")
    muted: bool = Field(True, description="Evidence begins without its audio.")
    small: bool = Field(True, description="Evidence is shown small.")
    break_ms: int = Field(
        20 * 60_000,
        ge=60_000,
        le=24 * 3_600_000,
        description="A person is told to take a break whenever they have watched this much evidence.",
    )
    limit_ms: int = Field(
        3 * 3_600_000,
        ge=60_000,
        le=24 * 3_600_000,
        description="Evidence that a person may watch in a day (UTC). Then no clip is shown to them, "
        "and their claim is given back.",
    )

    @property
    def secure(self) -> bool:
        """Whether browsers reach it over TLS."""
        return self.origin is not None and self.origin.startswith("https://")

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.origin and not self.secure and not is_local(_with_port(self.origin.partition("://")[2])):
            raise ValueError(f"origin {self.origin!r} is not of this machine: it must begin with https://")
        return self


class LimitsSection(Section):
    max_streams: int = Field(1024, ge=1, le=100_000, description="Live streams at a time.")
    max_streams_per_client: int = Field(
        512,
        ge=1,
        le=100_000,
        description="Streams admitted for a gRPC peer, and its Watch and Attach calls.",
    )
    max_streams_per_broadcaster: int = Field(
        16, ge=1, le=100_000, description="Live streams of one broadcaster at a time."
    )
    max_streams_per_address: int = Field(
        64,
        ge=1,
        le=100_000,
        description="Live streams from one network (IPv4 /24, IPv6 /64) other than this machine.",
    )
    max_streams_per_app: int | None = Field(
        None, ge=1, le=100_000, description="Live streams of one app. Default: as many as max_streams."
    )
    max_access_unit_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="One encoded frame."
    )
    max_extradata_bytes: int = Field(
        64 * 1024, ge=1024, le=1024 * 1024, description="Decoder configuration of a stream."
    )
    max_picture_long_edge: int = Field(
        4096,
        ge=64,
        le=8192,
        description="The longer edge of a frame, in pixels, whether upright or on its side. A stream with "
        "a larger frame is ended as its publisher's fault.",
    )
    max_picture_short_edge: int = Field(
        2304, ge=64, le=8192, description="The shorter edge of a frame, in pixels."
    )
    max_app_chars: int = Field(
        128, ge=1, le=128, description="Application of a publish. The ledger sets the upper bounds of names."
    )
    max_name_chars: int = Field(256, ge=1, le=256, description="Stream name of a publish.")
    max_broadcaster_chars: int = Field(256, ge=1, le=256, description="Broadcaster of a publish.")
    max_connection_chars: int = Field(
        256, ge=1, le=256, description="The ingest server's reference to a connection."
    )
    max_attributes: int = Field(32, ge=0, le=256, description="Attributes of a publish.")
    max_attribute_chars: int = Field(512, ge=1, le=512, description="The value of an attribute.")
    max_url_chars: int = Field(2048, ge=16, le=2048, description="The URL of a pull.")
    max_crisis_file_mb: int = Field(
        512, ge=1, le=16_384, description="A clip or still that a person adds to a crisis, MiB."
    )
    max_reason_chars: int = Field(512, ge=1, le=512, description="Reasons that operators give.")
    max_lead_ms: int = Field(
        10_000,
        ge=1_000,
        le=120_000,
        description="How far a stream's media may arrive ahead of its time; then the gate reads no faster.",
    )
    max_queue_units: int = Field(240, ge=8, le=10_000, description="Undecoded access units of one stream.")
    max_queue_bytes: int = Field(
        16 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description="Undecoded bytes of one stream.",
    )
    max_media_watchers: int = Field(
        16, ge=0, le=256, description="People who watch live streams of this gate at a time. 0: nobody may."
    )
    max_answers: int = Field(256, ge=8, le=10_000, description="Unread answers of one Watch or Attach call.")
    pull_from: tuple[str, ...] | None = Field(
        None,
        max_length=256,
        description="Where `Attach` may pull from, beside the servers that have a section: "
        "`SCHEME://HOST[:PORT]` with a name, an address or a network, and a port or `*`. The schemes are "
        "`rtmp`, `rtmps`, `http` and `https`. "
        "Default: RTMP of this machine, `rtmp://127.0.0.1` and the like.",
    )
    pull_open_ms: int = Field(
        10_000, ge=100, le=120_000, description="A pull must deliver media within this."
    )
    pull_stall_ms: int = Field(
        10_000, ge=100, le=120_000, description="A pull without media for this long is ended."
    )
    http_request_ms: int = Field(
        5_000,
        ge=100,
        le=120_000,
        description="A call over HTTP must be whole, and its answer read, within this.",
    )
    max_grpc_connections: int = Field(
        1024,
        ge=1,
        le=100_000,
        description="Connections over gRPC; the one that is idle longest goes first.",
    )
    max_grpc_connections_per_address: int = Field(
        256,
        ge=1,
        le=100_000,
        description="The same for a network (IPv4 /24, IPv6 /64) other than this machine.",
    )
    max_http_connections: int = Field(
        1024,
        ge=1,
        le=100_000,
        description="Connections over HTTP; the one that sends nothing longest goes first.",
    )
    max_http_connections_per_address: int = Field(
        256,
        ge=1,
        le=100_000,
        description="The same for a network (IPv4 /24, IPv6 /64) other than this machine.",
    )
    watch_open_ms: int = Field(
        10_000, ge=100, le=120_000, description="A Watch call must bring `open` within this."
    )
    push_stall_ms: int = Field(
        60_000, ge=100, le=600_000, description="A Watch call without media for this long is ended."
    )
    cut_limit_ms: int = Field(5_000, ge=100, le=60_000, description="An unconfirmed cut alarms after this.")
    evidence_min_free_mb: int = Field(
        512,
        ge=0,
        le=1_048_576,
        description="Disk space that evidence clips leave free. The ledger may be on the same disk.",
    )
    evidence_incoming_mb: int = Field(
        2048,
        ge=1,
        le=1_048_576,
        description="Evidence that workers have written and the gate has not taken in. More is removed.",
    )
    journal_reserve_mb: int = Field(
        8,
        ge=0,
        le=65_536,
        description="Disk space that the journal takes at the start, for decisions that a full disk would "
        "refuse. About 200 violations a MB. 0: none.",
    )
    recording_mb: int = Field(
        256,
        ge=16,
        le=65_536,
        description="Memory for media after verdicts, of all clips that are being recorded. Over it the "
        "largest clip ends.",
    )
    unwatched_ms: int = Field(
        30_000,
        ge=100,
        le=600_000,
        description="The gate drops an admitted stream that is not watched for this long.",
    )

    @model_validator(mode="after")
    def _sources(self) -> Self:
        try:
            PullSources.of(self.pull_from or ())
        except ValueError as error:
            raise ValueError(f"pull_from: {error}") from None
        return self


class Settings(BaseSettings):
    """The settings of the sidecar. ``settings_model`` adds a section for each kind of ingest server."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="EDGE_", env_nested_delimiter="__"
    )

    data_dir: Path = Field(Path("edge-data"), description="Folder of ledger, evidence, banks and tokens.")
    gate_name: str = Field(
        "",
        max_length=128,
        description="Its name in a fleet, the same over restarts. Default: the host's name.",
    )
    ledger_url: str | None = Field(None, description="SQLAlchemy URL. Default: sqlite in DATA_DIR.")
    model_dir: Path | None = Field(None, description="Folder with manifest.json. Default: the shipped model.")
    first_policy: Path | None = Field(
        None,
        description="JSON file with the fields in which the policy of a first start differs from the "
        'default, such as {"mode": "enforce"}. It has no effect once the ledger has a policy.',
    )
    bank_dir: Path | None = Field(
        None,
        description="Folder of banks. Default: DATA_DIR/banks. Copy a bank elsewhere and rename it into the "
        "folder. Workers read verified copies, which the gate keeps in DATA_DIR/bank-copies.",
    )
    evidence_dir: Path | None = Field(None, description="Default: DATA_DIR/evidence.")
    messages_dir: Path | None = Field(
        None,
        description="Folder with en.json and ar.json: your own texts for broadcasters, such as "
        '{"appeal": "Write to …", "rule.fight": "Rule 4: no violence"}.',
    )
    containment: ContainmentMode = Field(
        ContainmentMode.TRY,
        description="Processes that touch media drop what they do not need. `try`: log, `/healthz` and "
        "metrics say what the kernel lacks. `require`: the gate does not start where it lacks something.",
    )
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        "info", description="Lowest level that is logged: debug, info, warning or error."
    )
    grpc: GrpcSection = GrpcSection()
    http: HttpSection = HttpSection()
    console: ConsoleSection = ConsoleSection()
    webhook: WebhookSection = WebhookSection()
    evidence: EvidenceSection = EvidenceSection()
    fleet: FleetSection = FleetSection()
    share: ShareSection = ShareSection()
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
        """Orders the sources: command line over environment over file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def servers(self) -> list[tuple[AnyKind, ServerSection]]:
        """Returns the ingest servers that have a section: kind and section."""
        sections = ((kind, getattr(self, kind.section, None)) for kind in kinds())
        return [(kind, section) for kind, section in sections if section is not None]

    @property
    def pull_sources(self) -> PullSources:
        """The places that may be pulled: those of the ingest servers, and those that are named."""
        own = self.limits.pull_from
        servers = (PullSource.of_template(section.pull_url) for _, section in self.servers())
        return PullSources((*servers, *PullSources.of(LOOPBACK if own is None else own).allowed))

    def warnings(self) -> list[str]:
        """Effects of what is left out, one text each."""
        return [
            f"{kind.section}: nothing checks the names in publish URLs, so a violation blocks stream key and "
            "address, and not the account: set upstream_url to your platform's hook, or trust_broadcaster = "
            "true where something else checks them, or trust_broadcaster = false to end this warning"
            for kind, section in self.servers()
            if section.unproven_by_default
        ]

    @property
    def ledger(self) -> str | Path:
        """The ledger's URL, or the path of its SQLite file. A URL cannot say every path."""
        return self.ledger_url or self.data_dir / "edge.db"

    @property
    def banks(self) -> Path:
        return self.bank_dir or self.data_dir / "banks"

    @property
    def bank_copies(self) -> Path:
        """The verified copies that workers read."""
        return self.data_dir / "bank-copies"

    @property
    def share_logs(self) -> Path:
        """What of the banks is shared, and the order of its changes."""
        return self.data_dir / "share"

    @property
    def models(self) -> Path:
        """The verified copies of models that workers read."""
        return self.data_dir / "models"

    @property
    def evidence_folder(self) -> Path:
        return self.evidence_dir or self.data_dir / "evidence"

    @property
    def operator_tokens(self) -> Path:
        return self.grpc.operator_tokens or self.data_dir / "operator.tokens"


def settings_model(toml_file: Path | None = None) -> type[Settings]:
    """Returns ``Settings`` with a section for each kind of ingest server in the registry.

    A server without a section in the settings is not used. ``toml_file`` is read beside the environment.
    """
    sections: dict[str, Any] = {kind.section: (kind.settings | None, None) for kind in kinds()}
    return create_model("Settings", __base__=Settings, __cls_kwargs__={"toml_file": toml_file}, **sections)


def load_settings(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Reads settings: ``overrides`` over the environment over a TOML file or the defaults.

    Raises ConfigError that names the file and the field.
    """
    where = "settings"
    if path is not None:
        where = str(path)
        text = read_settings_text(path, MAX_CONFIG_BYTES)
        if text.startswith("\ufeff"):
            raise ConfigError(f"{where}: begins with a byte order mark: save it as UTF-8 without one")
        try:
            tomllib.loads(text)
        except RecursionError:
            raise ConfigError(f"{where}: its values are nested too deeply") from None
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None

    try:
        return settings_model(path)(**(overrides or {}))
    except SettingsError as error:
        raise ConfigError(
            f"{where}: {error}; a section in the environment is JSON: {error.__cause__}"
        ) from None
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{where}: {problems}") from None
