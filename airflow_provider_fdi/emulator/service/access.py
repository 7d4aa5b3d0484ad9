"""Who may call: IAM tokens, access keys (permanent and temporary), and the lock after five bad signatures."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_fdi.emulator.config import Config, Switches
from airflow_provider_fdi.emulator.service import signature
from airflow_provider_fdi.emulator.service.clock import Clock
from airflow_provider_fdi.emulator.service.errors import service_error

LOCK_AFTER = 5
LOCK_MS = 5 * 60 * 1000


@dataclass
class Token:
    """A token of IAM; one of the configuration has no expiry."""

    text: str = field(repr=False)
    project_id: str | None
    expires_ms: int | None
    user: str = ""
    revoked: bool = False
    actions: Sequence[str] | None = None


@dataclass
class Key:
    """An access key; a temporary one has a security token and an expiry."""

    access: str
    secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    expires_ms: int | None = None
    actions: Sequence[str] | None = None


@dataclass(frozen=True)
class Caller:
    """Who sent a request: the project its token is bound to, and the actions it is limited to, if any."""

    project_id: str | None = None
    actions: Sequence[str] | None = None


class Access:
    """The tokens and keys that are accepted."""

    def __init__(self, config: Config, clock: Clock, switches: Switches) -> None:
        self._config = config
        self._clock = clock
        self._switches = switches
        self._lock = threading.Lock()
        self.tokens: dict[str, Token] = {}
        self.keys: dict[str, Key] = {}
        self.failures: dict[str, int] = {}
        self.locked_until: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        """Back to the tokens and keys of the configuration."""
        with self._lock:
            self.tokens = {
                row.token: Token(row.token, None, None, actions=row.actions) for row in self._config.tokens
            }
            self.keys = {
                row.access: Key(row.access, row.secret, actions=row.actions)
                for row in self._config.access_keys
            }
            self.failures.clear()
            self.locked_until.clear()

    def issue_token(self, user: str, project_id: str | None, actions: Sequence[str] | None = None) -> Token:
        """A new token, bound to a project or to none, that permits these actions."""
        ttl_ms = self._switches.token_ttl_s * 1000
        # As long as the real ones, which are several kilobytes of base64.
        text = "MII" + secrets.token_urlsafe(1500)
        token = Token(text, project_id, self._clock.now_ms() + ttl_ms, user, actions=actions)
        with self._lock:
            self.tokens[text] = token
        return token

    def issue_key(self, duration_s: int, actions: Sequence[str] | None = None) -> Key:
        """A new temporary key that permits these actions."""
        key = Key(
            access="HST" + secrets.token_hex(9).upper(),
            secret=secrets.token_urlsafe(30),
            security_token="gQ" + secrets.token_urlsafe(200),
            expires_ms=self._clock.now_ms() + duration_s * 1000,
            actions=actions,
        )
        with self._lock:
            self.keys[key.access] = key
        return key

    def expire_tokens(self, *, include_static: bool = False) -> int:
        """Revoke all tokens that IAM issued, and on request those of the configuration; how many."""
        count = 0
        with self._lock:
            for token in self.tokens.values():
                if (include_static or token.expires_ms is not None) and not token.revoked:
                    token.revoked = True
                    count += 1
        return count

    def lock_key(self, access: str, seconds: int | None = None) -> None:
        """Lock an access key as five bad signatures would; 0 seconds unlocks it."""
        with self._lock:
            self.failures.pop(access, None)
            span = LOCK_MS if seconds is None else seconds * 1000
            self.locked_until[access] = self._clock.now_ms() + span

    def state(self) -> dict[str, object]:
        """Locked keys with the milliseconds left, counted failures, number of valid tokens."""
        now = self._clock.now_ms()
        with self._lock:
            return {
                "locked": {key: until - now for key, until in self.locked_until.items() if until > now},
                "failures": dict(self.failures),
                "tokens": sum(not token.revoked for token in self.tokens.values()),
            }

    def check(
        self, method: str, raw_path: str, raw_query: str, headers: dict[str, str], body: bytes
    ) -> Caller:
        """Who calls. Raises ServiceError 401."""
        token = headers.get("x-auth-token")
        if token is not None:
            return self._check_token(token)
        authorization = headers.get("authorization", "")
        if authorization.startswith(signature.ALGORITHM):
            return self._check_signature(authorization, method, raw_path, raw_query, headers, body)
        raise service_error("APIGW.0301", "x-auth-token not found")

    def _check_token(self, text: str) -> Caller:
        token = self.tokens.get(text)
        if token is None:
            raise service_error("APIGW.0301", "decrypt token fail")
        expired = token.expires_ms is not None and token.expires_ms <= self._clock.now_ms()
        if token.revoked or expired:
            raise service_error("APIGW.0307")
        # The project check refuses a token of IAM without a project, or with another one.
        project_id = None if token.expires_ms is None else token.project_id or ""
        return Caller(project_id, token.actions)

    def _check_signature(
        self,
        authorization: str,
        method: str,
        raw_path: str,
        raw_query: str,
        headers: dict[str, str],
        body: bytes,
    ) -> Caller:
        now = self._clock.now_ms()
        access = ""
        try:
            access, signed, given = signature.parse_authorization(authorization)
            if self.locked_until.get(access, 0) > now:
                raise service_error("APIGW.0301", "AK access failed to reach the limit,forbidden")
            key = self.keys.get(access)
            if key is None:
                raise service_error("APIGW.0301", f"Get secretKey failed,ak:{access},err:ak not exist")
            if not {"host", "x-sdk-date"} <= set(signed):
                raise signature.BadSignature("verify aksk signature fail, host and x-sdk-date must be signed")
            date = headers.get("x-sdk-date", "")
            if self._switches.check_sdk_date:
                signature.check_date(date, now)
            canonical = signature.canonical_request(method, raw_path, raw_query, headers, signed, body)
            if not signature.same(signature.expected_signature(key.secret, date, canonical), given):
                raise signature.BadSignature("verify aksk signature fail")
            if key.security_token is not None:
                if headers.get("x-security-token") != key.security_token:
                    raise signature.BadSignature("verify aksk signature fail, wrong X-Security-Token")
                if key.expires_ms is not None and key.expires_ms <= now:
                    raise service_error("APIGW.0301", "the security token expires")
        except signature.BadSignature as error:
            if access:
                self._count_failure(access, now)
            raise service_error("APIGW.0301", str(error)) from None
        self.failures.pop(access, None)
        return Caller(actions=key.actions)

    def _count_failure(self, access: str, now: int) -> None:
        with self._lock:
            count = self.failures.get(access, 0) + 1
            if count >= LOCK_AFTER:
                self.locked_until[access] = now + LOCK_MS
                count = 0
            self.failures[access] = count
