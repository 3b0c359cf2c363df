"""The settings of where evidence is kept, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from edge.errors import ConfigError
from edge.retention import EvidenceAge, RetentionRules
from edge.section import Section, check_http_url, is_local
from edge.settings_file import read_settings_text

_MOST_BYTES: Final = 4096
_DAY_MS: Final = 86_400_000


class EvidenceSection(Section):
    """Where evidence is kept beside the folder of this gate."""

    url: str = Field(
        "",
        description="Bucket that all gates of a fleet share, `s3://BUCKET` or `s3://BUCKET/PREFIX`, of any "
        "S3-compatible server. Empty: each gate keeps its evidence in its own folder. Needs the extra `s3`.",
    )
    endpoint: str = Field(
        "", description="URL of the S3-compatible server, such as https://s3.example.org. Empty: AWS."
    )
    region: str = Field("us-east-1", min_length=1, max_length=64, description="Region of the bucket.")
    credentials: Path | None = Field(
        None,
        description="File with one line `ACCESS_KEY_ID SECRET_ACCESS_KEY`, which only its owner can read. "
        "Default: the variables `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or the machine's role.",
    )
    insecure: bool = Field(False, description="Allow an endpoint with http:// beyond this machine.")
    timeout_ms: int = Field(10_000, ge=100, le=120_000, description="Time limit of one request to it.")
    local_hours: int = Field(
        24,
        ge=0,
        le=87_600,
        description="How long files stay in this gate's folder, too, once they are in the bucket.",
    )

    keep_days_open: int = Field(
        90, ge=0, le=36_500, description="Days that evidence is kept while nobody decides. 0: for ever."
    )
    keep_days_confirmed: int = Field(
        365, ge=0, le=36_500, description="Days from the confirmation on. 0: for ever."
    )
    keep_days_overturned: int = Field(
        30, ge=0, le=36_500, description="Days from the overturning on. 0: for ever."
    )
    keep_days_appealed: int = Field(
        365, ge=0, le=36_500, description="Days from the decision of an appeal on. 0: for ever."
    )
    quota_mb: int = Field(
        0,
        ge=0,
        le=2**40,
        description="Most evidence. Over it the oldest goes that people have decided, and nothing else. "
        "0: no limit. Of one gate; with a bucket, of the fleet.",
    )

    @property
    def rules(self) -> RetentionRules:
        days = {
            EvidenceAge.OPEN: self.keep_days_open,
            EvidenceAge.CONFIRMED: self.keep_days_confirmed,
            EvidenceAge.OVERTURNED: self.keep_days_overturned,
            EvidenceAge.APPEALED: self.keep_days_appealed,
        }
        keep_ms = {age: number * _DAY_MS for age, number in days.items() if number}
        return RetentionRules(keep_ms, (self.quota_mb << 20) or None)

    @property
    def bucket(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def prefix(self) -> str:
        return urlsplit(self.url).path.strip("/")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not self.url:
            if self.endpoint or self.credentials is not None:
                raise ValueError("endpoint and credentials want a url, s3://BUCKET/PREFIX")
            return self
        parts = urlsplit(self.url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"url {self.url!r} is not s3://BUCKET or s3://BUCKET/PREFIX")
        if self.endpoint:
            check_http_url("endpoint", self.endpoint)
            server = urlsplit(self.endpoint)
            if server.username or server.password:
                raise ValueError("endpoint must not hold a user or a password: credentials names a file")
            if server.scheme == "http" and not self.insecure and not is_local(f"{server.hostname}:0"):
                raise ValueError(
                    "endpoint is http:// and not on this machine: use https://, or set insecure = true"
                )
        return self

    def keys(self) -> tuple[str, SecretStr] | None:
        """Reads the file of credentials. None: there is none. Raises ConfigError that names it."""
        if self.credentials is None:
            return None
        words = read_settings_text(self.credentials, _MOST_BYTES, private=True).split()
        if len(words) != 2:
            raise ConfigError(
                f"evidence.credentials: {self.credentials}: expected ACCESS_KEY_ID SECRET_ACCESS_KEY"
            )
        return words[0], SecretStr(words[1])
