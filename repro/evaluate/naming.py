"""Hints for misspelt names."""

import difflib
from collections.abc import Iterable


def hint(name: str, allowed: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for a near name, else "one of: ...", or "there is none"."""
    known = sorted(allowed)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"one of: {', '.join(known)}" if known else "there is none"
