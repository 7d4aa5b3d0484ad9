"""A local FDI and IAM service, for development and for tests of one's own DAGs.

Start it from a shell with ``fdi-emulator --port 8765`` or from Python with :class:`FdiEmulator`, which lives
in ``airflow_provider_fdi.emulator.handle`` and needs nothing but the standard library. The server itself
needs the extra ``emulator`` (FastAPI, uvicorn, SQLAlchemy). It shares no code with the client of this
package, so that a misreading of the service's documentation in one of them shows in the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_fdi.emulator.handle import FdiEmulator

__all__ = ["FdiEmulator"]


def __getattr__(name: str) -> Any:
    if name == "FdiEmulator":
        from airflow_provider_fdi.emulator.handle import FdiEmulator

        return FdiEmulator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
