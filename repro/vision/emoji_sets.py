"""Sets of pictures made of emoji: scenes with captions, single things, and scenes with maps."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from repro.errors import UserError
from repro.vision import captions
from repro.vision.emoji import Drawing
from repro.vision.pictures import Picture, Source, encode
from repro.vision.scenes import Scene, generator, scenes

Drawings = Callable[[], list[Drawing]]


def captioned(
    *, drawings: Drawings, name: str, count: int, wording: str = "train", size: int = 96
) -> Source:
    """Return scenes with their texts: short caption, long caption, its sentences.

    name: which scenes; two sets of different names share none. wording: of the sentences. In the
    wording "test" they stand in the order of the objects, so that the first says where one is.
    Raises UserError for a wording that there is not.
    """
    if wording not in captions.WHERE:
        raise UserError(f"captioned.wording = {wording!r}: one of {sorted(captions.WHERE)}")
    things = drawings()

    def pictures() -> Iterator[Picture]:
        for index, scene in enumerate(scenes(things, name=name, count=count, size=size)):
            rng = generator(0, f"{name}/captions", index)
            short = captions.short_caption(scene, things, rng)
            yield Picture(encode(scene.pixels), (short, *_long(scene, things, rng, wording)))

    return Source(pictures())


def _long(
    scene: Scene, things: Sequence[Drawing], rng: np.random.Generator, wording: str
) -> tuple[str, ...]:
    if wording == "train":
        return captions.long_caption(scene, things, rng)
    said = captions.sentences(scene, things, rng, wording)
    return (" ".join(f"{sentence} ." for sentence in said), *said)


def singles(
    *, drawings: Drawings, name: str, classes: int, each: int = 5, size: int = 96,
    scale: tuple[float, float] = (0.35, 0.5),
) -> Source:
    """Return pictures of one thing alone, labelled: the first `classes` drawings, each so often.

    Raises UserError for more classes than drawings.
    """
    things = drawings()
    if not 2 <= classes <= len(things):
        raise UserError(f"singles.classes = {classes}: expected 2 to {len(things)}")

    def pictures() -> Iterator[Picture]:
        for label, thing in enumerate(things[:classes]):
            settings = {"count": each, "size": size, "objects": (1, 1), "scale": scale}
            for scene in scenes([thing], name=f"{name}/{label}", **settings):
                yield Picture(encode(scene.pixels), label=label)

    names = tuple(thing.name for thing in things[:classes])
    return Source(pictures(), tuple(map(prompts, names)), names)


def mapped(*, drawings: Drawings, name: str, count: int, size: int = 96) -> Source:
    """Return scenes labelled by pixel: class 0 is the background, i + 1 the i-th drawing."""
    things = drawings()

    def pictures() -> Iterator[Picture]:
        for scene in scenes(things, name=name, count=count, size=size):
            classes = np.array([0, *(index + 1 for index in scene.objects)], dtype=np.uint16)
            yield Picture(encode(scene.pixels), label=classes[scene.map])

    names = tuple(thing.name for thing in things)
    return Source(pictures(), (captions.BACKGROUND_PROMPTS, *map(prompts, names)),
                  ("background", *names))


def prompts(name: str) -> tuple[str, ...]:
    """Return what a class is asked for by."""
    return tuple(prompt.format(name=name) for prompt in captions.PROMPTS)
