"""Where a statement stands, and the list of what is wrong in a paper's configuration."""

import bisect
from dataclasses import dataclass

from repro.errors import UserError


@dataclass(frozen=True, order=True)
class Place:
    """A file and line; line 0 = the file alone (or a key of params.yaml)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Problems:
    """Collects problems, each once, in the order of file and line; raises them together."""

    def __init__(self) -> None:
        self._found: list[tuple[Place, str]] = []

    def add(self, place: Place, text: str) -> None:
        if (place, text) not in self._found:
            bisect.insort(self._found, (place, text))

    def __bool__(self) -> bool:
        return bool(self._found)

    def check(self) -> None:
        """Raise UserError if there is any problem: one line each, the first readable alone."""
        if self._found:
            raise UserError("\n".join(f"{place}: {text}" for place, text in self._found))
