"""What a user sees of ``make demo`` and ``make ui``: lines with the seconds since the start, and Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time

SILENCE = 8.0
"""Seconds without a line after which one says what is still being waited for."""


class Narrator:
    """Prints lines with the seconds since the start. Inside `with`, it is never silent for long."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._printed = self._started
        self._doing = ""
        self._over = threading.Event()

    def __call__(self, text: str) -> None:
        self._doing = text.strip()
        self._print(text)

    def __enter__(self) -> Narrator:
        threading.Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _print(self, text: str) -> None:
        now = time.monotonic()
        self._printed = now
        print(f"[{now - self._started:5.1f} s] {text}", flush=True)

    def _break_silence(self) -> None:
        while not self._over.wait(0.5):
            if time.monotonic() - self._printed >= SILENCE:
                self._print(f"  (still: {self._doing})")


def interrupt_once(*_: object) -> None:
    """Stops on the first Ctrl-C and ignores further ones, so that they do not interrupt the clean-up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
