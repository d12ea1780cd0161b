"""What is said of a scene: the short caption it came with, and sentences that each tell a part."""

from collections.abc import Sequence

import numpy as np

from repro.vision.emoji import Drawing
from repro.vision.scenes import Scene

# Wordings to learn from and, made of the same words, others to be measured with.
WHERE = {
    "train": ("a {name} is in the {place}",
              "in the {place} there is a {name}",
              "the {place} of the picture shows a {name}",
              "one can see the {name} in the {place}"),
    "test": ("there is a {name} in the {place} of the picture",
             "the picture shows the {name} in the {place}"),
}
WHAT = {
    "train": ("the {name} is mostly {colour}",
              "it shows a {name} with the colour {colour}",
              "a {name} is a kind of {kind}",
              "the {name} has to do with {keyword}"),
    "test": ("mostly {colour} is the colour of the {name}",
             "a kind of {kind} to see is the {name}"),
}
BEHIND = {
    "train": ("the background is {kind} and {colour}",
              "a {kind} background with the colour {colour}"),
    "test": ("the colour of the {kind} background is {colour}",),
}
BACKGROUND_PROMPTS = ("the background", "a background of one colour")
PROMPTS = ("a {name}", "the picture shows a {name}", "there is a {name}")
JUNK = ("nice picture", "free download", "picture of the day", "my favourite", "wallpaper")
WRONG = 0.15
KEYWORD = 0.3


def sentences(
    scene: Scene, drawings: Sequence[Drawing], rng: np.random.Generator, wording: str
) -> list[str]:
    """Return two sentences an object and one on the background, in that order.

    The first of an object says where it is, the second one fact. wording: "train" or "test".
    """
    found = []
    for index, place in zip(scene.objects, scene.places, strict=True):
        facts = {"name": drawings[index].name, "place": place, "kind": drawings[index].kind,
                 "colour": drawings[index].colour,
                 "keyword": _one(drawings[index].keywords, rng)}
        found += [_one(WHERE[wording], rng).format(**facts),
                  _one(WHAT[wording], rng).format(**facts)]
    kind, *colours = scene.background
    colour = " and ".join(colours)
    return [*found, _one(BEHIND[wording], rng).format(kind=kind, colour=colour)]


def long_caption(
    scene: Scene, drawings: Sequence[Drawing], rng: np.random.Generator
) -> tuple[str, ...]:
    """Return the caption whole, its sentences ended by full stops, and then each of them; their
    order is random."""
    said = sentences(scene, drawings, rng, "train")
    said = [said[i] for i in rng.permutation(len(said))]
    return (" ".join(f"{sentence} ." for sentence in said), *said)


def short_caption(
    scene: Scene, drawings: Sequence[Drawing], rng: np.random.Generator
) -> str:
    """Return what a picture on the web is called: one of its things by name or by a keyword, and
    in 15 % of cases something else."""
    draw = rng.random(2)
    if draw[0] < WRONG:
        wrong = drawings[rng.integers(len(drawings))].name
        return wrong if draw[1] < 0.5 else _one(JUNK, rng)
    chosen = drawings[_one(scene.objects, rng)]
    return _one(chosen.keywords, rng) if draw[1] < KEYWORD else chosen.name


def _one(options: Sequence, rng: np.random.Generator):
    return options[rng.integers(len(options))]
