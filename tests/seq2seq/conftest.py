"""A toy manual in two languages that differ in their words only, and its data artefact."""

import random
from functools import partial

import pytest

from repro.context import RunContext
from repro.data import bitext, lexicons
from repro.data.parallel import Parallel
from repro.text import languages

NOUNS = {"table": "tavolo", "window": "finestra", "button": "pulsante", "cell": "cella",
         "page": "pagina", "list": "elenco", "image": "figura", "border": "bordo"}
VERBS = {"opens": "apre", "closes": "chiude", "moves": "sposta", "prints": "stampa"}
OTHER = {"the": "il", "and": "e", "then": "poi", "at": "alle", "of": "di"}
WORDS = NOUNS | VERBS | OTHER


def paragraphs(count: int = 700):
    """Each noun has a verb of its own that it likes, so that its company tells it apart."""
    draw = random.Random(7)
    nouns, verbs = list(NOUNS), list(VERBS)
    for index in range(count):
        one, two = draw.sample(range(len(nouns)), 2)
        verb = verbs[one // 2] if draw.random() < 0.9 else draw.choice(verbs)
        hour = str(draw.randrange(4) + 4 * (one // 2))
        english = f"the {nouns[one]} {verb} the {nouns[two]} at {hour}"
        if draw.random() < 0.5:
            english += f" and then the {nouns[one]} of {index}"
        italian = " ".join(WORDS.get(word, word) for word in english.split())
        yield Parallel(f"toy/{index}", {"en": english, "it": italian},
                       "odd" if one % 2 else "even")


@pytest.fixture(scope="session")
def artefact(tmp_path_factory):
    """Return the folder of a data artefact with the pair it-en, half of it monolingual."""
    out = tmp_path_factory.mktemp("data")
    context = RunContext(stage="data", arm="any", seed=0, out=out, checkpoints=out / "ck")
    bitext.prepare(
        context, sources=(paragraphs,), languages=("en", "it"), pairs=("it-en",),
        tokenizer=partial(languages.byte_bpe, languages=("en", "it"), vocab_size=480),
        lexicon=partial(lexicons.unsupervised, seeds="numerals", dimensions=16, window=3,
                        min_count=3, epochs=40),
        lexicons={"it-en": None}, topics=partial(
            bitext.sections, train_per_class=20, dev_per_class=2, test_per_class=5),
        mono_share=0.3, test=30,
    )
    return out


@pytest.fixture
def words():
    """English -> Italian, word by word."""
    return WORDS
