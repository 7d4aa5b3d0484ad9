"""When the poller connects."""

from __future__ import annotations

import asyncio

from airflow_provider_fdi.client.auth import StaticTokenAuth
from airflow_provider_fdi.client.client import FdiClient
from airflow_provider_fdi.emulator.handle import FdiEmulator
from airflow_provider_fdi.runs.poller import Poller
from airflow_provider_fdi.runs.waits import RunEnds


def test_the_connection_is_read_before_the_first_poll_is_due(fdi_emulator: FdiEmulator) -> None:
    async def scenario() -> None:
        connected = asyncio.Event()

        async def connect() -> FdiClient:
            connected.set()
            return FdiClient(
                fdi_emulator.url,
                fdi_emulator.project_id,
                fdi_emulator.instance_id,
                StaticTokenAuth(fdi_emulator.token),
                allow_http=True,
            )

        poller = Poller(connect)
        wait = RunEnds(fdi_emulator.add_task(), "r", 0)
        watched = asyncio.ensure_future(poller.watch(wait, poll_interval=3600, poll_failure_timeout=60))
        await asyncio.wait_for(connected.wait(), 10)
        watched.cancel()
        poller.close()

    asyncio.run(scenario())
    assert fdi_emulator.journal() == []
