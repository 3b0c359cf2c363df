"""Publish tokens: what proves to the reference ingest that a publisher is the account that it names.

A token is a JSON Web Token (RFC 7519) with HMAC-SHA256: ``sub`` the account, ``exp`` the end, and ``app`` and
``name`` where it is only good for one application or stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.errors import ConfigError, InvalidInput
from edge.names import check_name, normal_text
from edge.settings_file import read_settings_file

MIN_SECRET: Final = 32
"""In bytes: as many as HMAC-SHA256 puts out (RFC 7518, section 3.2)."""
MAX_SECRET: Final = 4096
_BLANKS: Final = 64
MAX_LIFETIME_S: Final = 366 * 86_400
_ALGORITHM: Final = "HS256"


@dataclass(frozen=True, slots=True)
class PublishTokens:
    """Issues and checks tokens with one secret."""

    secret: bytes = field(repr=False)

    def issue(self, user: str, lifetime_s: int, now_s: int, *, app: str = "", name: str = "") -> str:
        """A token for ``user`` until ``now_s + lifetime_s``. Raises InvalidInput."""
        import jwt  # 0.2 s, which an ingest without tokens need not spend

        user = normal_text(check_name("user", user))
        if not user:
            raise InvalidInput("user", "must not be empty")
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            raise InvalidInput("lifetime", f"must be 1 s to {MAX_LIFETIME_S // 86_400} days")
        limits = {key: value for key, value in (("app", app), ("name", name)) if value}
        return jwt.encode({"sub": user, "exp": now_s + lifetime_s, **limits}, self.secret, _ALGORITHM)

    def user_of(self, token: str, *, app: str, name: str) -> str:
        """The account that may publish ``app/name`` with the token now. Raises InvalidInput."""
        import jwt

        if not token:
            raise InvalidInput("token", "is missing: the publish URL needs &token=…")
        try:
            claims = jwt.decode(token, self.secret, [_ALGORITHM], options={"require": ["exp", "sub"]})
        except jwt.ExpiredSignatureError:
            raise InvalidInput("token", "has expired") from None
        except jwt.InvalidTokenError:
            raise InvalidInput("token", "is not one of this server") from None
        for key, asked in (("app", app), ("name", name)):
            if claims.get(key, asked) != asked:
                raise InvalidInput("token", f"is for another {key}")
        return normal_text(check_name("token", claims["sub"]))


def read_publish_tokens(path: Path) -> PublishTokens:
    """Reads the secret, without blanks around it. Raises ConfigError."""
    secret = read_settings_file(path, MAX_SECRET + _BLANKS, private=True).strip()
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        raise ConfigError(
            f"{path}: must hold {MIN_SECRET} to {MAX_SECRET} bytes, as of `openssl rand -hex 32`"
        )
    return PublishTokens(secret)
