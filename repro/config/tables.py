"""Settings as short text, and aligned tables."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

_WIDEST = 44


def named(value: Any) -> str:
    """Return a setting in few characters; of a dotted function or class its own name."""
    if isinstance(value, str) and value.startswith(("repro.", "papers.")):
        return value.rpartition(".")[2]
    return short(value)


def short(value: Any) -> str:
    """Return a value of the resolved tree in few characters: a function by its own name."""
    match value:
        case {"_fn": str(target)} | {"_ref": str(target)}:
            return target.rpartition(".")[2]
        case list():
            return f"({', '.join(map(short, value))})"
        case dict():
            return f"{{{', '.join(f'{key}: {short(item)}' for key, item in value.items())}}}"
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case str():
            return value if value else "''"
    return repr(value)


def clip(text: str, width: int = _WIDEST) -> str:
    """Return text shortened in its middle."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head):]}"


def as_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return aligned columns below underlined headings; no trailing blanks."""
    cells = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
