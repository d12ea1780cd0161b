"""Random damage to a file: edits a person makes by mistake, and what disks and strangers do."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

ODD = ["0", "-1", "1", "2", "7", "1.5", "1e-4", "1e999", "-0.0", "nan", "NaN", "true", "null", "~",
       "''", "[]", "{}", "abc", "None", "1_000", "0x10", "08", "${oc.env:HOME}", "%x", "@x", "&a",
       "*a", "!!python/object:os.system x", "../../etc/passwd", "é", "\u202e", "\x07", "\x00", "\t",
       ":", "#", "'", '"', "\\", "\n", "{", "}", "[", "]", ",", " ", "x" * 3000, "9" * 400]
VALUES: list[Any] = [None, True, False, 0, -1, 1, 7, 1.5, 10**40, float("nan"), float("inf"), "",
                     "x", "../../x", "\x1b[2J", [], [1], ["x"], {}, {"x": 1}, [[[]]], "0" * 64]
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(r"[A-Za-z_]{2,}")


@dataclass(frozen=True)
class Mutation:
    """One edit. at, to: where, as fractions; pick: which of several values."""

    kind: str
    at: float
    to: float
    pick: int

    def __str__(self) -> str:
        return f"{self.kind} {self.at:.4f} {self.to:.4f} {self.pick}"


def mutations(kinds: dict[str, Callable]) -> st.SearchStrategy[list[Mutation]]:
    """Return the strategy of one to three edits of these kinds."""
    fraction = st.integers(0, 9999).map(lambda n: n / 10_000)
    one = st.builds(Mutation, st.sampled_from(sorted(kinds)), fraction, fraction,
                    st.integers(0, 10_000))
    return st.lists(one, min_size=1, max_size=3)


def apply(kinds: dict[str, Callable], data: bytes, edits: list[Mutation]) -> bytes:
    """Return the content after the edits."""
    for edit in edits:
        data = kinds[edit.kind](data, edit)
    return data


def _span(size: int, edit: Mutation, most: int = 40) -> tuple[int, int]:
    first = int(edit.at * size)
    return first, min(size, first + 1 + int(edit.to * most))


def flip(data: bytes, edit: Mutation) -> bytes:
    if not data:
        return b"\x00"
    at = int(edit.at * len(data))
    return data[:at] + bytes([data[at] ^ (1 << edit.pick % 8)]) + data[at + 1:]


def cut(data: bytes, edit: Mutation) -> bytes:
    return data[:int(edit.at * len(data))]


def append(data: bytes, edit: Mutation) -> bytes:
    return data + bytes([edit.pick % 256]) * (1 + int(edit.at * 600))


def drop(data: bytes, edit: Mutation) -> bytes:
    first, last = _span(len(data), edit)
    return data[:first] + data[last:]


def zero(data: bytes, edit: Mutation) -> bytes:
    first, last = _span(len(data), edit, 4096)
    return data[:first] + bytes(last - first) + data[last:]


def double(data: bytes, edit: Mutation) -> bytes:
    first, last = _span(len(data), edit)
    return data[:last] + data[first:last] + data[last:]


def _as_text(change: Callable[[str, Mutation], str]) -> Callable[[bytes, Mutation], bytes]:
    def changed(data: bytes, edit: Mutation) -> bytes:
        return change(data.decode("utf-8", "surrogateescape"), edit).encode(
            "utf-8", "surrogateescape")

    return changed


def _replace_match(pattern: re.Pattern[str], text: str, edit: Mutation, new: Callable) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text
    match = found[int(edit.at * len(found))]
    return text[:match.start()] + new(match[0], found) + text[match.end():]


@_as_text
def number(text: str, edit: Mutation) -> str:
    def new(old: str, _: list) -> str:
        nearby = [f"{float(old) * 2:g}", f"-{old.lstrip('-')}", f"{old}0", f"{float(old) + 1:g}"]
        return [*nearby, *ODD][edit.pick % (len(nearby) + len(ODD))]

    return _replace_match(_NUMBER, text, edit, new)


@_as_text
def word(text: str, edit: Mutation) -> str:
    def new(old: str, found: list) -> str:
        at = edit.pick % len(old)
        other = found[int(edit.to * len(found))][0]
        return [old[:at] + old[at + 1:], old[:at] + "x" + old[at:], old[:at] + old[at].swapcase()
                + old[at + 1:], other, ODD[edit.pick % len(ODD)]][edit.pick % 5]

    return _replace_match(_WORD, text, edit, new)


@_as_text
def line(text: str, edit: Mutation) -> str:
    lines = text.split("\n")
    at, to = int(edit.at * len(lines)), int(edit.to * len(lines))
    match edit.pick % 5:
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case 3:
            lines[at] = f"  {lines[at]}"
        case 4:
            lines[at] = lines[at].strip()
    return "\n".join(lines)


@_as_text
def char(text: str, edit: Mutation) -> str:
    at = int(edit.at * len(text))
    return text[:at] + ODD[edit.pick % len(ODD)] + text[at + edit.pick % 2:]


@_as_text
def comment(text: str, edit: Mutation) -> str:
    lines = text.split("\n")
    lines.insert(int(edit.at * len(lines)), "# a remark")
    return "\n".join(lines)


def node(data: bytes, edit: Mutation) -> bytes:
    """Change one value or name of a JSON document."""
    try:
        tree = json.loads(data)
    except ValueError:
        return data
    places = list(_places(tree))
    if not places:
        return data
    holder, key = places[int(edit.at * len(places))]
    match edit.pick % 4:
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        case 2:
            other, name = places[int(edit.to * len(places))]
            if isinstance(other, dict) and name in other or isinstance(other, list):
                holder[key] = json.loads(json.dumps(other[name]))
        case _:
            holder[key] = VALUES[edit.pick // 4 % len(VALUES)]
    return (json.dumps(tree, indent=1) + "\n").encode()


def _places(tree: Any):
    if isinstance(tree, dict):
        for key in tree:
            yield tree, key
            yield from _places(tree[key])
    elif isinstance(tree, list):
        for index in range(len(tree)):
            yield tree, index
            yield from _places(tree[index])


BYTES = {"flip": flip, "cut": cut, "append": append, "drop": drop, "zero": zero, "double": double}
TEXT = {"number": number, "word": word, "line": line, "char": char, "comment": comment,
        "cut": cut, "flip": flip}
JSON = {"node": node, "number": number, "word": word, "char": char, "cut": cut, "flip": flip}
