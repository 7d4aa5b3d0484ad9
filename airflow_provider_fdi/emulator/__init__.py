"""A local FDI and IAM service, for developing and testing DAGs.

Start it from a shell with ``fdi-emulator --port 8765``, or from Python with
:class:`airflow_provider_fdi.emulator.handle.FdiEmulator`, which needs only the standard library. The server
needs the extra ``emulator`` (FastAPI, uvicorn, SQLAlchemy). It shares no code with the client of this
package: if one of the two misreads the service's documentation, a test of the other shows it.
"""
