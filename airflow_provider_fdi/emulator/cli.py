"""The command ``fdi-emulator``."""

from __future__ import annotations

import argparse
import logging
import sys

from airflow_provider_fdi import __version__
from airflow_provider_fdi.emulator.suggest import nearest


def main(argv: list[str] | None = None) -> int:
    """Run the emulator in this process. 0: ended on request, 2: could not start."""
    options = _options(argv)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    try:
        from airflow_provider_fdi.emulator.server.serve import PortInUse, serve
    except ImportError as error:
        return _refuse(
            f"{error.name} is not installed; the extra `emulator` of airflow-provider-fdi is needed"
        )
    from airflow_provider_fdi.emulator.config import Config, load_config

    try:
        config = load_config(options.config) if options.config else Config()
    except OSError as error:
        return _refuse(f"{options.config}: {error.strerror}")
    except ValueError as error:
        return _refuse(f"{options.config}: {error}")
    try:
        serve(config, options.host, options.port, parent_pipe=options.parent_pipe)
    except PortInUse as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        pass
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fdi-emulator",
        description="A local FDI (Huawei Cloud ROMA Connect) and IAM service for development and tests."
        " Its address shows tasks, runs and requests in a browser.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8765, help="port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="JSON or TOML file with data sources, credentials, switches"
    )
    parser.add_argument("--verbose", action="store_true", help="log what happens to runs")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--parent-pipe", type=int, help=argparse.SUPPRESS)
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        word = unknown[0].partition("=")[0]
        meant = nearest(word, ("--host", "--port", "--config", "--verbose", "--version", "--help"))
        parser.error(f"unknown argument {word}" + (f"; did you mean {meant}?" if meant else ""))
    return options


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 65535")
    return int(text)


def _refuse(words: str) -> int:
    print(f"fdi-emulator: {words}", file=sys.stderr)
    return 2
