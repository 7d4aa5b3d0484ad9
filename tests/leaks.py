"""A guard over all tests: no secret of the emulator, nor a token it issued, is ever logged, at any level."""

from __future__ import annotations

import logging
import re

from airflow_provider_fdi.emulator.handle import FdiEmulator

LOGGERS = ("airflow_provider_fdi", "requests", "urllib3", "huaweicloudsdkcore", "HuaweiCloud-SDK")
"""Libraries that are given our credentials."""

SECRETS = (FdiEmulator.token, FdiEmulator.password, FdiEmulator.secret_key)
# Tokens that the emulator issues begin as the real ones do.
_PATTERN = re.compile("|".join([*map(re.escape, SECRETS), r"MII[\w-]{24,}"]))


class Guard(logging.Handler):
    """Reads every record of :data:`LOGGERS`, from DEBUG on, and keeps what holds a secret."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self.read = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.read += 1
        text = self.format(record)
        if _PATTERN.search(text):
            self.found.append(f"{record.name} {record.levelname}: {text}")

    def install(self) -> None:
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.addHandler(self)

    def remove(self) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)

    def take(self) -> list[str]:
        found, self.found = self.found, []
        return found
