"""The command ``fdi-emulator``."""

from __future__ import annotations

import argparse
import logging
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the emulator in this process. 0: ended on request, 2: could not start."""
    parser = argparse.ArgumentParser(
        prog="fdi-emulator",
        description="A local FDI (Huawei Cloud ROMA Connect) and IAM service for development and tests.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8765, help="port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="JSON or TOML file with data sources, credentials, switches"
    )
    parser.add_argument("--verbose", action="store_true", help="log what happens to runs")
    parser.add_argument("--parent-pipe", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    try:
        from airflow_provider_fdi.emulator.server.serve import PortInUse, serve
    except ImportError as error:
        print(
            f"fdi-emulator: {error.name} is not installed;"
            " the extra `emulator` of airflow-provider-fdi is needed",
            file=sys.stderr,
        )
        return 2
    from airflow_provider_fdi.emulator.config import Config, load_config

    try:
        config = load_config(options.config) if options.config else Config()
    except (OSError, ValueError) as error:
        print(f"fdi-emulator: {options.config}: {error}", file=sys.stderr)
        return 2
    try:
        serve(config, options.host, options.port, parent_pipe=options.parent_pipe)
    except PortInUse as error:
        print(f"fdi-emulator: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0
