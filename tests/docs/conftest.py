"""What the tests of several pages share: two databases that FDI knows."""

from __future__ import annotations

from tests.docs.test_examples import world

__all__ = ["world"]
