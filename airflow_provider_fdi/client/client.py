"""The client of FDI: credentials, one transport, and the operations of every resource."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_fdi.client.api.composite import CompositeTasks
from airflow_provider_fdi.client.api.datasources import Datasources
from airflow_provider_fdi.client.api.monitoring import Monitoring
from airflow_provider_fdi.client.api.schedules import Schedules
from airflow_provider_fdi.client.api.tasks import Tasks
from airflow_provider_fdi.client.auth import AkSkAuth, FdiAuth, SdkAuth
from airflow_provider_fdi.client.backoff import Backoff
from airflow_provider_fdi.client.errors import FdiArgumentError
from airflow_provider_fdi.client.observer import Observer
from airflow_provider_fdi.client.transport import Authenticate, Gate, Transport
from airflow_provider_fdi.client.wire import Timeout
from airflow_provider_fdi.constants import CONNECT_TIMEOUT, READ_TIMEOUT
from airflow_provider_fdi.validation import path_id

__all__ = ["FdiClient"]


class FdiClient(Tasks, Schedules, CompositeTasks, Monitoring, Datasources):
    """A client of one ROMA Connect instance. Threads may share it; closing it closes its connections.

    Every method raises :class:`~airflow_provider_fdi.client.errors.FdiError`, and nothing else. Bad arguments
    are refused before anything is sent. Times are epoch milliseconds UTC, time limits are seconds.

    :param endpoint: ``https://roma.{region}.myhuaweicloud.com``, or a host
    :param project_id: id of the project that the instance belongs to; a token is bound to the same one
    :param instance_id: id of the ROMA Connect instance
    :param auth: one of ``StaticTokenAuth``, ``TokenAuth``, ``AkSkAuth``, ``SdkAuth``; clients may share it
    :param timeout: connect and read time limit of one request
    :param retry: how often and how long a request is sent again; ``Backoff()`` by default
    :param verify: True, a CA file or directory, or False, which is logged as a warning
    :param proxies: as ``requests`` takes them; by default those of the environment
    :param allow_http: allow plain HTTP to addresses other than loopback
    :param gate: what holds requests back after a 429; one of its own unless shared with other clients
    :param observer: is told of every request, poll and run, for metrics
    """

    def __init__(
        self,
        endpoint: str,
        project_id: str,
        instance_id: str,
        auth: FdiAuth,
        *,
        timeout: Timeout = (CONNECT_TIMEOUT, READ_TIMEOUT),
        retry: Backoff | None = None,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        allow_http: bool = False,
        gate: Gate | None = None,
        observer: Observer | None = None,
    ) -> None:
        project = path_id("project_id", project_id)
        instance = path_id("instance_id", instance_id)
        if not isinstance(auth, FdiAuth):
            rule = "must be an FdiAuth such as TokenAuth, AkSkAuth, StaticTokenAuth or SdkAuth"
            raise FdiArgumentError("auth", type(auth).__name__, rule, owner="FdiClient")
        # The official SDK sends (and signs) the project with signed requests only.
        signs = isinstance(auth, (AkSkAuth, SdkAuth))
        self._transport = Transport(
            endpoint,
            auth,
            timeout=timeout,
            retry=Backoff() if retry is None else retry,
            verify=verify,
            proxies=proxies,
            allow_http=allow_http,
            headers={"X-Project-Id": project} if signs else {},
            gate=gate,
            observer=observer,
        )
        self.auth = auth
        self.gate = self._transport.gate
        self.observer = self._transport.observer
        self.endpoint = self._transport.wire.base
        self.project_id = project_id
        self.instance_id = instance_id
        self._project_path = f"/v2/{project}/fdi"
        self._instance_path = f"{self._project_path}/instances/{instance}"

    def __repr__(self) -> str:
        return (
            f"FdiClient({self.endpoint!r}, project_id={self.project_id!r}, instance_id={self.instance_id!r})"
        )

    def __enter__(self) -> FdiClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def exchange(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes | None = None,
        *,
        authenticate: Authenticate | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of whatever is answered to one request, be it an error.

        Nothing is read, checked or repeated, except that an expired token is renewed once.

        :param path: below the instance, such as ``/tasks``, percent-encoded
        :param query: in canonical form (``signing.canonical_query``)
        :param authenticate: takes the place of the client's own authentication
        :raises FdiError: nothing was answered, or the login failed.
        """
        return self._transport.exchange(
            method, self._instance_path + path, query, body, authenticate=authenticate
        )

    def close(self) -> None:
        """Close the connections, those of the login too; a later call opens new ones."""
        self._transport.close()
