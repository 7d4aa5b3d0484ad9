"""``python -m airflow_provider_fdi.emulator``: the same as the console script ``fdi-emulator``."""

from __future__ import annotations

import sys

from airflow_provider_fdi.emulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
