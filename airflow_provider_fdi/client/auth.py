"""The ways to prove who we are: a token, an IAM login, a signature, or the official SDK's credentials.

All are :class:`FdiAuth`. None shows a secret in its repr, and none can be pickled with one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from requests import PreparedRequest
from requests.auth import AuthBase

from airflow_provider_fdi.client.errors import (
    HIDDEN,
    FdiArgumentError,
    FdiAuthError,
    FdiConnectionError,
    FdiError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    clean_text,
)
from airflow_provider_fdi.client.observer import Observer
from airflow_provider_fdi.client.responses import error_from_response, load_json, mask
from airflow_provider_fdi.client.signing import ALGORITHM, sign
from airflow_provider_fdi.client.times import http_date_ms, text_to_ms
from airflow_provider_fdi.client.wire import JSON, USER_AGENT, Timeout, Wire, WireFault, prepare
from airflow_provider_fdi.constants import CONNECT_TIMEOUT, READ_TIMEOUT

__all__ = ["AkSkAuth", "FdiAuth", "SdkAuth", "StaticTokenAuth", "TokenAuth"]

log = logging.getLogger(__name__)

TOKEN_HEADER = "X-Auth-Token"
RENEW_SECONDS = 600.0
RENEW_SHARE = 0.05
UNKNOWN_LIFETIME = 3600.0
# A service that refuses every fresh token must not make us log in with every request.
MAX_RENEWALS_ON_401 = 3
RENEWALS_PERIOD = 60.0
_FREE_TURN: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()


class FdiAuth(AuthBase):
    """Credentials of a client: they prepare its requests and are reported what became of them."""

    @property
    def identity(self) -> str:
        """Who sends the requests, as the service sees it, without a secret; equal for equal credentials."""
        raise NotImplementedError

    def turn(self) -> contextlib.AbstractContextManager[Any]:
        """Held while sending: a lock as long as the service has not accepted these credentials yet."""
        return _FREE_TURN

    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any message, even if the service says it."""
        return ()

    def accepted(self, request: PreparedRequest) -> None:
        """The service answered with anything but 401. Must not fetch credentials: a write may be done."""

    def on_unauthorized(self, request: PreparedRequest, error: FdiResponseError) -> bool:
        """The service answered 401. True if the request may be sent once more, with other credentials."""
        return False

    def close(self) -> None:
        """Close the connections of the login; a later request opens new ones."""

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds credentials and is not pickled")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def _credential(owner: str, field: str, value: object) -> str:
    """A credential that can be sent in a header; the refusal does not show it."""
    if not isinstance(value, str) or not value.strip():
        raise FdiArgumentError(field, HIDDEN, "must be a non-empty string", owner=owner)
    value = value.strip()
    if not value.isascii() or not value.isprintable():
        raise FdiArgumentError(field, HIDDEN, "must be printable ASCII, in one line", owner=owner)
    return value


class StaticTokenAuth(FdiAuth):
    """An IAM token obtained elsewhere; it lasts 24 hours and is not renewed."""

    def __init__(self, token: str) -> None:
        self._token = _credential("StaticTokenAuth", "token", token)

    @property
    def identity(self) -> str:
        return f"token {hashlib.sha256(self._token.encode()).hexdigest()}"

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        r.headers[TOKEN_HEADER] = self._token
        return r

    def secrets(self) -> tuple[str, ...]:
        return (self._token,)


class TokenAuth(FdiAuth):
    """Logs in to IAM with an IAM user's name and password, keeps the token, and renews it in time.

    The token is bound to one project, by id or by name; its id is then known from the answer
    (``project_id``). Threads share one login. A login that IAM refuses is remembered: it is never tried again
    by this object, because bad passwords lock the account.
    """

    def __init__(
        self,
        iam_endpoint: str,
        user_name: str,
        password: str,
        domain_name: str,
        *,
        project_id: str | None = None,
        project_name: str | None = None,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        timeout: Timeout = (CONNECT_TIMEOUT, READ_TIMEOUT),
        allow_http: bool = False,
        observer: Observer | None = None,
    ) -> None:
        owner = "TokenAuth"
        for field, value in (("user_name", user_name), ("password", password), ("domain_name", domain_name)):
            if not isinstance(value, str) or not value:
                shown = HIDDEN if field == "password" else value
                raise FdiArgumentError(field, shown, "must be a non-empty string", owner=owner)
        if not project_id and not project_name:
            rule = "project_id or project_name is needed: FDI takes tokens of a project only"
            raise FdiArgumentError("project_id", project_id, rule, owner=owner)
        self._user_name = user_name
        self._domain_name = domain_name
        self._password = password
        self._token: str | None = None
        self._previous: str | None = None
        self._wire = Wire(
            iam_endpoint,
            timeout=timeout,
            verify=verify,
            proxies=proxies,
            allow_http=allow_http,
            field="iam_endpoint",
            credentials=self.secrets,
            observer=observer,
        )
        scope = {"id": project_id} if project_id else {"name": project_name}
        user = {"name": user_name, "password": password, "domain": {"name": domain_name}}
        identity = {"methods": ["password"], "password": {"user": user}}
        try:
            self._body = json.dumps(
                {"auth": {"identity": identity, "scope": {"project": scope}}}, ensure_ascii=False
            ).encode()
        except UnicodeEncodeError:
            raise FdiArgumentError("user_name", user_name, "must be valid text", owner=owner) from None
        self._project_id = project_id or None
        self.lifetime: float | None = None
        """Seconds for which the present token was issued; None before the login, and if IAM does not say."""
        self._lock = threading.Lock()
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._refused: FdiAuthError | None = None
        self._failed: FdiError | None = None
        self._failed_at = float("-inf")
        self._renewals: list[float] = []

    def __repr__(self) -> str:
        return f"TokenAuth({self._wire.base!r}, user_name={self._user_name!r}, …)"

    @property
    def identity(self) -> str:
        return f"user {self._domain_name!r} {self._user_name!r} at {self._wire.base}"

    @property
    def project_id(self) -> str:
        """Id of the token's project; logs in if it was given by name and no login has reported it yet."""
        if self._project_id is None:
            self._current()
        if self._project_id is None:
            raise _unreadable("IAM did not say the id of the project.", hint="Give project_id.")
        return self._project_id

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        r.headers[TOKEN_HEADER] = self._current()
        return r

    def secrets(self) -> tuple[str, ...]:
        return tuple(s for s in (self._token, self._previous, self._password) if s)

    def on_unauthorized(self, request: PreparedRequest, error: FdiResponseError) -> bool:
        used = request.headers.get(TOKEN_HEADER)
        with self._lock:
            if used == self._token:
                now = time.monotonic()
                self._renewals = [t for t in self._renewals if now - t < RENEWALS_PERIOD]
                if len(self._renewals) >= MAX_RENEWALS_ON_401:
                    return False
                self._renewals.append(now)
                # A new one is fetched when the request is prepared again; others with the old join there.
                self._renew_at = self._ends_at = 0.0
        return True

    def close(self) -> None:
        self._wire.close()

    def _current(self) -> str:
        """A token that is good for a while yet."""
        token = self._token
        if token is not None and time.monotonic() < self._renew_at:
            return token
        asked_at = time.monotonic()
        if token is None or asked_at >= self._ends_at:
            self._lock.acquire()
        elif not self._lock.acquire(blocking=False):
            # Somebody is renewing it, maybe a thread that is interrupted and waits for this one to end.
            return token
        try:
            now = time.monotonic()
            if self._token is not None and now < self._renew_at:
                return self._token
            # Those who waited while a login failed share its failure instead of repeating it one by one.
            failure = self._refused or (self._failed if self._failed_at >= asked_at else None)
            if failure is None:
                try:
                    return self._log_in()
                except FdiError as error:
                    failure = error
                    self._failed, self._failed_at = error, time.monotonic()
                    if isinstance(error, FdiAuthError):
                        self._refused = error
            if self._token is not None and now < self._ends_at and not isinstance(failure, FdiAuthError):
                log.warning("%s. The present token is used until it ends", failure.brief)
                self._renew_at = min(self._ends_at, now + 30)
                return self._token
            # A copy: one object raised in many threads would mix their tracebacks.
            raise failure.replace()
        finally:
            self._lock.release()

    def _log_in(self) -> str:
        headers = {
            "Accept": JSON,
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json;charset=utf8",
        }
        url = f"{self._wire.base}/v3/auth/tokens?nocatalog=true"
        started = time.monotonic()
        try:
            status, answered, body = self._wire.send("login", prepare("POST", url, headers, self._body))
        except WireFault as fault:
            raise FdiConnectionError(
                f"No answer from IAM at {self._wire.base}: {mask(str(fault), self.secrets())}.",
                hint="Check the IAM endpoint of {connection}, network and proxy.",
                operation="login",
                may_have_arrived=False,  # of the operation that needs the token, nothing has
                tls=fault.tls,
            ) from None
        if not 200 <= status < 300:
            raise _login_error(status, answered, body, self.secrets())
        token = answered.get("X-Subject-Token")
        if not token or not token.isascii() or not token.isprintable():
            raise _unreadable(
                f"The answer of {self._wire.base} (HTTP {status}) has no token (X-Subject-Token).",
                hint="Check the IAM endpoint of {connection}, and whether a proxy answers in its place.",
            )
        learned = self._learn(body, answered)
        self.lifetime = learned
        lifetime = UNKNOWN_LIFETIME if learned is None else learned
        self._previous, self._token = self._token, token
        self._ends_at = started + lifetime
        self._renew_at = self._ends_at - min(RENEW_SECONDS, lifetime * RENEW_SHARE)
        self._failed = None
        return token

    def _learn(self, body: bytes, headers: Mapping[str, str]) -> float | None:
        """Seconds the new token lasts, if the answer says so; also takes the project's id from it."""
        try:
            data = load_json(body)
        except ValueError:
            return None
        token = data.get("token") if isinstance(data, dict) else None
        if not isinstance(token, dict):
            return None
        project = token.get("project")
        project_id = project.get("id") if isinstance(project, dict) else None
        if self._project_id is None and isinstance(project_id, str) and project_id:
            self._project_id = project_id
        ends = text_to_ms(token["expires_at"]) if isinstance(token.get("expires_at"), str) else None
        if ends is None:
            return None
        # On IAM's own clock, so that ours may be wrong.
        now = http_date_ms(headers.get("Date"))
        return max(0.0, (ends - (now if now is not None else time.time() * 1000)) / 1000)


def _login_error(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[str]
) -> FdiResponseError:
    """Why IAM gave no token: FdiAuthError if the same login can only be refused again."""
    kind: type[FdiResponseError] | None = None
    hint = None
    if 400 <= status < 500 and status not in (408, 429):
        kind = FdiAuthError
        hint = (
            "Check user name, password, domain (account) name and project of {connection}; the login is not"
            " tried again."
        )
    elif status >= 500:
        kind = FdiServerError
    return error_from_response(
        operation="login",
        by=" from IAM",
        ids={},
        attempts=0,
        status=status,
        headers=headers,
        body=body,
        secrets=secrets,
        delivered=False,
        next_step=hint,
        kind=kind,
    )


def _unreadable(reason: str, *, hint: str) -> FdiProtocolError:
    """IAM said success with an answer that is of no use; the operation that needs the token was not sent."""
    return FdiProtocolError(reason, hint=hint, operation="login", delivered=False)


class AkSkAuth(FdiAuth):
    """Signs every request with an access key, byte for byte as the official SDK does.

    Five bad signatures lock the key for everyone who uses it. So the first request goes out alone, and once
    the service has answered 401 this object sends nothing any more.
    """

    def __init__(
        self,
        access_key: str,
        secret_key: str,
        *,
        project_id: str | None = None,
        security_token: str | None = None,
    ) -> None:
        self._access_key = _credential("AkSkAuth", "access_key", access_key)
        self._secret_key = _credential("AkSkAuth", "secret_key", secret_key)
        self._security_token = (
            _credential("AkSkAuth", "security_token", security_token) if security_token else None
        )
        self.project_id = _credential("AkSkAuth", "project_id", project_id) if project_id else None
        self._first_turn: contextlib.AbstractContextManager[Any] = threading.RLock()
        self._refused: FdiError | None = None

    def __repr__(self) -> str:
        return f"AkSkAuth(access_key={self._access_key[:4] + '…'!r}, …)"

    @property
    def identity(self) -> str:
        return f"access key {self._access_key}"

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        if self._refused is not None:
            raise self._refused.replace()
        if self.project_id and "X-Project-Id" not in r.headers:
            r.headers["X-Project-Id"] = self.project_id
        if self._security_token:
            r.headers["X-Security-Token"] = self._security_token
        sign(r, self._access_key, self._secret_key)
        return r

    def turn(self) -> contextlib.AbstractContextManager[Any]:
        return self._first_turn

    def secrets(self) -> tuple[str, ...]:
        return tuple(s for s in (self._secret_key, self._security_token) if s)

    def has_signed(self, request: PreparedRequest) -> bool:
        """Whether the signature of this request is one of this key's."""
        signed = request.headers.get("Authorization") or ""
        return (
            signed.startswith(f"{ALGORITHM} Access={self._access_key},")
            and request.headers.get("X-Security-Token") == self._security_token
        )

    def accepted(self, request: PreparedRequest) -> None:
        self._first_turn = _FREE_TURN

    def on_unauthorized(self, request: PreparedRequest, error: FdiResponseError) -> bool:
        if self._refused is None:
            self._refused = FdiAuthError(
                f"{error.reason.rstrip('.')}, so nothing more was sent.",
                hint="The service refused this access key or its signature before, and five bad signatures"
                " lock the key. Check access key and secret key of {connection}, and this machine's clock.",
                error_code=error.error_code,
                error_msg=error.error_msg,
                status=401,
                delivered=False,
            )
        return False


class SdkAuth(FdiAuth):
    """Signs with the credentials that the official SDK's chain finds.

    The chain: OIDC, environment, profile file, ECS metadata, pod identity. Temporary credentials are renewed
    by the SDK when less than 40 minutes are left. Needs the extra ``sdk``.
    """

    def __init__(self, *, project_id: str | None = None, provider: Any = None) -> None:
        """:param provider: another provider of the SDK than its default chain."""
        self._provider = provider if provider is not None else _default_chain()
        self._given_project_id = project_id
        self._lock = threading.RLock()
        self._credentials: Any = None
        self._http_client: Any = None
        self._inner: AkSkAuth | None = None
        self._key: tuple[str, str, str | None] | None = None

    @property
    def identity(self) -> str:
        # Not the key: where credentials are temporary, that changes.
        return f"official SDK, {type(self._provider).__name__}"

    @property
    def project_id(self) -> str | None:
        """As given, or as the credentials say."""
        if self._given_project_id is None:
            self._signer()
        found = self._given_project_id or getattr(self._credentials, "project_id", None)
        return found if isinstance(found, str) and found else None

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        return self._signer()(r)

    def turn(self) -> contextlib.AbstractContextManager[Any]:
        return self._signer().turn()

    def secrets(self) -> tuple[str, ...]:
        return self._inner.secrets() if self._inner is not None else ()

    def accepted(self, request: PreparedRequest) -> None:
        inner = self._inner
        # The answer to a key that was renewed meanwhile says nothing about the new one.
        if inner is not None and inner.has_signed(request):
            inner.accepted(request)

    def on_unauthorized(self, request: PreparedRequest, error: FdiResponseError) -> bool:
        """Asks the chain once more; the request goes out again only if it has other credentials now."""
        with self._lock:
            refused = self._inner
            if refused is None:
                return False
            if not refused.has_signed(request):  # another thread was refused first, and asked
                return True
            refused.on_unauthorized(request, error)
            self._credentials = None
            try:
                return self._signer() is not refused
            except FdiError:
                return False

    def close(self) -> None:
        client, self._http_client = self._http_client, None
        if client is not None:
            client.close()

    def _signer(self) -> AkSkAuth:
        with self._lock:
            key = self._fetch()
            if self._inner is None or key != self._key:
                access_key, secret_key, security_token = key
                project_id = self._given_project_id or getattr(self._credentials, "project_id", None)
                self._inner = AkSkAuth(
                    access_key, secret_key, project_id=project_id, security_token=security_token
                )
                self._key = key
            return self._inner

    def _fetch(self) -> tuple[str, str, str | None]:
        """Access key, secret key and security token as of now; the SDK renews temporary ones on its own."""
        # The extra "sdk" is optional, and its import costs much.
        from huaweicloudsdkcore.exceptions.exceptions import SdkException

        words = "The official SDK found no credentials"
        try:
            if self._credentials is None:
                self._credentials = self._provider.get_credentials()
            credentials = self._credentials
            credentials.process_sts(self._sdk_http_client())
        except (SdkException, OSError, ValueError, LookupError, TypeError) as error:
            said = f"{words}: {clean_text(mask(str(error), self.secrets()), 300)}"
            # The SDK renews 40 minutes ahead: until the end a failure to do so costs nothing.
            ends = getattr(self._credentials, "_expire_at", 0) or 0
            if self._key is not None and isinstance(ends, (int, float)) and ends > time.time():
                log.warning("%s. The present credentials are used until they end.", said)
                return self._key
            raise _no_credentials(said) from None
        if not credentials.ak or not credentials.sk:
            raise _no_credentials(words)
        return str(credentials.ak), str(credentials.sk), credentials.security_token or None

    def _sdk_http_client(self) -> Any:
        client = self._http_client
        if client is None:
            # As above: only where the extra is used.
            from huaweicloudsdkcore.exceptions.exception_handler import DefaultExceptionHandler
            from huaweicloudsdkcore.http.http_client import HttpClient
            from huaweicloudsdkcore.http.http_config import HttpConfig
            from huaweicloudsdkcore.http.http_handler import HttpHandler

            client = self._http_client = HttpClient(
                HttpConfig.get_default_config(),
                HttpHandler(),
                DefaultExceptionHandler(),
                logging.getLogger("HuaweiCloud-SDK"),
            )
        return client


def _no_credentials(words: str) -> FdiAuthError:
    return FdiAuthError(
        f"{words}.",
        hint="Set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, or give the machine an agency.",
        error_msg=words,
    )


def _default_chain() -> Any:
    try:
        from huaweicloudsdkcore.auth.provider import CredentialProviderChain
    except ImportError as error:
        rule = "the extra 'sdk' of airflow-provider-fdi is needed (huaweicloudsdkcore)"
        raise FdiArgumentError("auth_type", "sdk", rule, owner="SdkAuth") from error
    return CredentialProviderChain.get_basic_credential_provider_chain()
