"""The network between Airflow and FDI: a TCP proxy on loopback whose link can be cut, silenced or slowed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Literal

from tests.distributed.servers import lasting_port

Link = Literal["open", "refused", "silent", "slow"]
SLOW = 1.5
"""Seconds by which a slow link delays what it carries, in each direction."""


class Network:
    """Carries connections to `port` on loopback.

    The link is "open"; or "refused": what is connected is reset, and nothing new is accepted; or "silent":
    connections are accepted and nothing arrives until the link is open again, and then what was sent arrives
    late, as it does after an outage of a real network; or "slow": everything takes `SLOW` seconds longer.
    """

    def __init__(self, port: int) -> None:
        self.port = lasting_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._target = port
        self._link: Link = "open"
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self.set("open")

    def set(self, link: Link) -> None:
        """Change the link; returns when it has changed."""
        asyncio.run_coroutine_threadsafe(self._set(link), self._loop).result(10)

    def close(self) -> None:
        """Cut all connections for good."""
        self.set("refused")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _set(self, link: Link) -> None:
        self._link = link
        if link == "silent":
            self._flowing.clear()
        else:
            self._flowing.set()
        if link != "refused":
            if self._server is None:
                self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=512)
            return
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(far_writer)
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
            self._drop(far_writer)
        self._drop(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                if self._link == "slow":
                    await asyncio.sleep(SLOW)
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            # Whoever closed first: the other side hears of it as it does without a proxy.
            writer.close()

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()
