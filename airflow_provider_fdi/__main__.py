"""``python -m airflow_provider_fdi``: the same commands as ``airflow fdi``, on every version of Airflow."""

from __future__ import annotations

import sys

from airflow_provider_fdi.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
