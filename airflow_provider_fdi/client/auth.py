"""The ways to prove who we are: a token, an IAM login, a signature, or the official SDK's credentials.

All are :class:`FdiAuth`. None shows a secret in its repr, and none can be pickled with one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from requests.auth import AuthBase

from airflow_provider_fdi.client import transport
from airflow_provider_fdi.client.errors import (
    FdiAuthError,
    FdiConnectionError,
    FdiError,
    FdiInvalidRequestError,
    FdiProtocolError,
    FdiResponseError,
    FdiServerError,
    clean_text,
    error_from_response,
    http_date_ms,
    load_json,
    mask,
)
from airflow_provider_fdi.client.rules import text_to_ms

if TYPE_CHECKING:
    from requests import PreparedRequest

__all__ = ["AkSkAuth", "FdiAuth", "SdkAuth", "StaticTokenAuth", "TokenAuth", "canonical_query", "signature"]

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
    """Credentials of a client: they prepare its requests and are told what became of them."""

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
        raise FdiInvalidRequestError.local(owner, field, "…", "must be a non-empty string")
    value = value.strip()
    if not value.isascii() or not value.isprintable():
        raise FdiInvalidRequestError.local(owner, field, "…", "must be printable ASCII, in one line")
    return value


class StaticTokenAuth(FdiAuth):
    """An IAM token obtained elsewhere; it lasts 24 hours and is not renewed."""

    def __init__(self, token: str) -> None:
        self._token = _credential("StaticTokenAuth", "token", token)

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
        timeout: transport.Timeout = (10, 60),
        allow_http: bool = False,
    ) -> None:
        owner = "TokenAuth"
        for field, value in (("user_name", user_name), ("password", password), ("domain_name", domain_name)):
            if not isinstance(value, str) or not value:
                shown = "…" if field == "password" else value
                raise FdiInvalidRequestError.local(owner, field, shown, "must be a non-empty string")
        if not project_id and not project_name:
            rule = "project_id or project_name is needed: FDI takes tokens of a project only"
            raise FdiInvalidRequestError.local(owner, "project_id", project_id, rule)
        self._user_name = user_name
        self._password = password
        self._token: str | None = None
        self._previous: str | None = None
        self._wire = transport.Wire(
            owner,
            iam_endpoint,
            timeout=timeout,
            verify=verify,
            proxies=proxies,
            allow_http=allow_http,
            field="iam_endpoint",
            credentials=self.secrets,
        )
        scope = {"id": project_id} if project_id else {"name": project_name}
        user = {"name": user_name, "password": password, "domain": {"name": domain_name}}
        identity = {"methods": ["password"], "password": {"user": user}}
        try:
            self._body = json.dumps(
                {"auth": {"identity": identity, "scope": {"project": scope}}}, ensure_ascii=False
            ).encode()
        except UnicodeEncodeError:
            raise FdiInvalidRequestError.local(owner, "user_name", user_name, "must be valid text") from None
        self._project_id = project_id or None
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
    def project_id(self) -> str:
        """Id of the token's project; logs in if it was given by name and no login has told it yet."""
        if self._project_id is None:
            self._current()
        if self._project_id is None:
            raise _unreadable("the answer does not tell the id of the project. Give project_id.")
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
                log.warning("%s The present token is used until it ends.", failure)
                self._renew_at = min(self._ends_at, now + 30)
                return self._token
            raise _copy(failure)
        finally:
            self._lock.release()

    def _log_in(self) -> str:
        headers = {
            "Accept": transport.JSON,
            "User-Agent": transport.USER_AGENT,
            "Content-Type": "application/json;charset=utf8",
        }
        url = f"{self._wire.base}/v3/auth/tokens?nocatalog=true"
        started = time.monotonic()
        try:
            status, answered, body = self._wire.send(transport.prepare("POST", url, headers, self._body))
        except transport.WireFault as fault:
            raise FdiConnectionError(
                f"log in to IAM: no answer from {self._wire.base} ({mask(str(fault), self.secrets())}). "
                "Check the IAM endpoint, network and proxy.",
                operation="login",
                may_have_arrived=False,  # of the operation that needs the token, nothing has
            ) from fault.__cause__
        if not 200 <= status < 300:
            raise _login_error(status, answered, body, self.secrets())
        token = answered.get("X-Subject-Token")
        if not token or not token.isascii() or not token.isprintable():
            raise _unreadable(
                f"{self._wire.base} answered HTTP {status} without a token (X-Subject-Token). "
                "Check the IAM endpoint, and whether a proxy answers in its place."
            )
        lifetime = self._learn(body, answered)
        self._previous, self._token = self._token, token
        self._ends_at = started + lifetime
        self._renew_at = self._ends_at - min(RENEW_SECONDS, lifetime * RENEW_SHARE)
        self._failed = None
        return token

    def _learn(self, body: bytes, headers: Mapping[str, str]) -> float:
        """Seconds the new token lasts; also takes the project's id from the answer."""
        try:
            data = load_json(body)
        except ValueError:
            return UNKNOWN_LIFETIME
        token = data.get("token") if isinstance(data, dict) else None
        if not isinstance(token, dict):
            return UNKNOWN_LIFETIME
        project = token.get("project")
        project_id = project.get("id") if isinstance(project, dict) else None
        if self._project_id is None and isinstance(project_id, str) and project_id:
            self._project_id = project_id
        ends = text_to_ms(token["expires_at"]) if isinstance(token.get("expires_at"), str) else None
        if ends is None:
            return UNKNOWN_LIFETIME
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
        hint = "Check user name, password, domain (account) name and project; it is not tried again."
    elif status >= 500:
        kind = FdiServerError
    error = error_from_response(
        operation="log in to IAM",
        ids={},
        attempts=0,
        status=status,
        headers=headers,
        body=body,
        secrets=secrets,
        retry_after=transport.retry_after(headers) if status in (429, 503) else None,
        next_step=hint,
        kind=kind,
    )
    error.delivered = False
    return error


def _unreadable(words: str) -> FdiProtocolError:
    """IAM said success with an answer that is of no use; the operation that needs the token was not sent."""
    error = FdiProtocolError(f"log in to IAM: {words}", operation="login")
    error.delivered = False
    return error


def _copy(error: FdiError) -> FdiError:
    """The same failure as a new exception: one object raised in many threads would mix their tracebacks."""
    twin = type(error)(*error.args)
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin


# Signatures

ALGORITHM = "SDK-HMAC-SHA256"
_DATE = "%Y%m%dT%H%M%SZ"
_SIGNED = ("content-type", "host", "x-project-id", "x-sdk-content-sha256", "x-sdk-date", "x-security-token")
_UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


def _encode(text: str) -> str:
    return quote(text, safe="~")


def canonical_query(pairs: Iterable[tuple[str, Any]]) -> str:
    """Query in the form that is signed and sent: sorted, percent-encoded, a space as ``%20``."""
    out = []
    for key, value in sorted(pairs):
        if isinstance(value, list):
            out += [f"{_encode(key)}={_encode(str(v))}" for v in sorted(value)]
        elif isinstance(value, bool):
            out.append(f"{_encode(key)}={str(value).lower()}")
        else:
            out.append(f"{_encode(key)}={_encode(str(value))}")
    return "&".join(out)


def signature(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, secret_key: str
) -> tuple[str, str]:
    """Signed header names (joined by ``;``) and the signature in hex.

    ``query`` is in canonical form, ``headers`` are exactly those to be signed, ``X-Sdk-Date`` among them.
    """
    values = {name.lower(): str(value).strip() for name, value in headers.items()}
    names = sorted(values)
    signed = ";".join(names)
    uri = "/".join(_encode(part) for part in unquote(path).split("/"))
    payload = values.get("x-sdk-content-sha256") if body else None
    canonical = "\n".join(
        (
            method.upper(),
            uri if uri.endswith("/") else uri + "/",
            query,
            "".join(f"{name}:{values[name]}\n" for name in names),
            signed,
            payload or hashlib.sha256(body).hexdigest(),
        )
    )
    to_sign = f"{ALGORITHM}\n{values['x-sdk-date']}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return signed, hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def sign(
    request: PreparedRequest, access_key: str, secret_key: str, *, now: dt.datetime | None = None
) -> None:
    """Sign a request in place; nothing about it may change afterwards.

    The query is brought into canonical form and the body into bytes, because what is signed is what is sent.
    ``Host``, ``X-Sdk-Date`` and ``Authorization`` are set.
    """
    parts = urlsplit(str(request.url))
    query = canonical_query(parse_qsl(parts.query, keep_blank_values=True))
    request.url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
    body = request.body or b""
    if isinstance(body, str):
        request.body = body = body.encode()
        request.headers["Content-Length"] = str(len(body))
    if not isinstance(body, bytes):
        raise FdiInvalidRequestError.local("AkSkAuth", "body", type(body).__name__, "must be bytes or text")
    headers = request.headers
    kind = headers.get("Content-Type") or ""
    if kind and not kind.startswith(("application/json", "application/bson")):
        headers["X-Sdk-Content-Sha256"] = _UNSIGNED_PAYLOAD
    headers["X-Sdk-Date"] = (now or dt.datetime.now(dt.timezone.utc)).strftime(_DATE)
    headers["Host"] = parts.netloc.rpartition("@")[2]
    signed_headers = {name: headers[name] for name in _SIGNED if name in headers}
    names, hexdigest = signature(
        str(request.method), parts.path or "/", query, signed_headers, body, secret_key
    )
    headers["Authorization"] = (
        f"{ALGORITHM} Access={access_key}, SignedHeaders={names}, Signature={hexdigest}"
    )


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

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        if self._refused is not None:
            raise _copy(self._refused)
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
            said = f"{error.error_code} {error.error_msg}".strip()
            self._refused = FdiAuthError(
                f"nothing was sent: the service refused this access key or its signature before ({said}), "
                "and five bad signatures lock the key. Check access key, secret key and clock.",
                error_code=error.error_code,
                error_msg=error.error_msg,
                status=401,
            )
            self._refused.delivered = False
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
        from huaweicloudsdkcore.exceptions.exceptions import SdkException

        words = "the official SDK found no credentials"
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
        f"{words}. Set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, or give the machine an agency.",
        error_msg=words,
    )


def _default_chain() -> Any:
    try:
        from huaweicloudsdkcore.auth.provider import CredentialProviderChain
    except ImportError as error:
        raise FdiInvalidRequestError.local(
            "SdkAuth",
            "auth_type",
            "sdk",
            "the extra 'sdk' of airflow-provider-fdi is needed (huaweicloudsdkcore)",
        ) from error
    return CredentialProviderChain.get_basic_credential_provider_chain()
