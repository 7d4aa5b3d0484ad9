"""The nearest right word for a wrong one. Needs only the standard library."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is most like `word`, upper and lower case apart; None if none is."""
    folded = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=cutoff)
    return folded[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a message that refuses `word`: what it was probably meant to be, else all that is known."""
    names = sorted(known)
    meant = nearest(word, names)
    return f"; did you mean {meant!r}?" if meant else f"; known: {', '.join(names)}"
