"""Tasks written as cloze questions: one text an example, with a [MASK] where a word answers.

A template is running text with the slots {text}, {mask} and, for pairs, {pair}. Which word answers
for which label (the verbalizer) is kept beside it, in the task's notes.
Source: Schick and Schuetze 2021, Exploiting Cloze Questions, section 3.
"""

from collections import Counter
from collections.abc import Callable
from string import Formatter
from typing import NamedTuple

from repro.data.documents import Example, TaskData
from repro.errors import UserError
from repro.text.tokenizer import MASK

SLOTS = ("text", "pair", "mask")


class Template(NamedTuple):
    """before, after: what stands next to the mask, up to the nearest slot or the end."""

    text: str
    before: str
    after: str


def template_of(text: str) -> Template:
    """Return a template, taken apart. Raises UserError unless it has {text} and {mask} once, {pair}
    at most once, and nothing else in braces."""
    try:
        pieces = [(literal, slot) for literal, slot, _, _ in Formatter().parse(text)]
    except ValueError as error:
        raise UserError(f"template {text!r}: {error}") from error
    slots = Counter(slot for _, slot in pieces if slot is not None)
    if slots["text"] != 1 or slots["mask"] != 1 or slots["pair"] > 1 or set(slots) - set(SLOTS):
        raise UserError(f"template {text!r}: expected {{text}} and {{mask}} once, {{pair}} at most "
                        "once, and no other slot")
    at = [slot for _, slot in pieces].index("mask")
    after = pieces[at + 1][0] if at + 1 < len(pieces) else ""
    return Template(text, pieces[at][0], after)


def written(
    *,
    task: Callable,
    template: str,
    words: dict[str, str],
    max_words: int | None = None,
) -> TaskData:
    """Return a classification or pair task as a cloze task of the same examples in the same order.

    task: its builder. words: label -> the word that answers for it, all different. max_words: keep
    the beginning of each text (of both of a pair). Notes: template, and words in label order.
    Raises UserError for a malformed template, a task of another kind, or words that are not those
    of the labels.
    """
    form = template_of(template)
    data = task()
    if data.kind not in ("classification", "pair"):
        raise UserError(f"cloze: a {data.kind} task; expected one label for each example")
    if ("{pair}" in template) != (data.kind == "pair"):
        raise UserError(f"template {template!r}: {{pair}} is for tasks of pairs, this is a "
                        f"{data.kind} task")
    if set(words) != set(data.labels) or len(set(words.values())) < len(words):
        raise UserError(f"cloze.words: expected one different word for each of {data.labels}")

    def cloze(item: Example) -> Example:
        text, pair = (_cut(part, max_words) for part in (item.text, item.pair or ""))
        filled = form.text.format(text=text, pair=pair, mask=MASK)
        return Example(item.label, filled, sources=item.sources)

    splits = {name: [cloze(item) for item in getattr(data, name)]
              for name in ("train", "dev", "test")}
    notes = data.notes | {"template": template, "words": [words[label] for label in data.labels]}
    return TaskData("classification", data.labels, data.metrics, notes=notes, **splits)


def _cut(text: str, words: int | None) -> str:
    return text if words is None else " ".join(text.split()[:words])
