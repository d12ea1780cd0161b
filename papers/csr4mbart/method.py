"""Code-switching: words of a sentence give place to words of the other language, by a lexicon that
no sentence pair was used for; the model restores the sentence (CSR).

T tokens of a sentence, V ids, K translations.
Source: Zan et al. 2022, and the authors' released code where the paper is silent.
"""

from pathlib import Path

import numpy as np

from repro.data.lexicons import NONE
from repro.data.shards import check as check_files
from repro.data.spans import Corrupt, check, choose_spans, covered, insert
from repro.errors import UserError
from repro.text.languages import word_starts
from repro.text.tokenizer import load_vocab


def switch(
    tokens_T: np.ndarray, inside_T: np.ndarray, table_VK: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the tokens with each one inside replaced by a random one of its K translations; a
    token without any stays."""
    choice_T = rng.integers(table_VK.shape[1], size=len(tokens_T))
    drawn_T = table_VK[tokens_T, choice_T]
    return np.where(inside_T & (drawn_T != NONE), drawn_T, tokens_T)


class CodeSwitch:
    """The noise of CSR, a `repro.data.spans.Noise`: spans of words as in text infilling, each piece
    inside one replaced by a translation; a span without words inserts a [MASK].

    lexicon: its name in the data artefact, which begins with the pair (it-en); sentences of the
    first language are switched by its first table, those of the second by its other. rate: share of
    the words. mean_length: of a span, in words. shuffled: the lexicon's rows are dealt out anew
    among the pieces that have one, a control with the same words and no translation.
    """

    def __init__(
        self, *, lexicon: str, rate: float = 0.35, mean_length: float = 3.5,
        shuffled: bool = False, shuffle_seed: int = 42,
    ) -> None:
        check(rate, mean_length)
        self.lexicon, self.rate, self.mean_length = lexicon, rate, mean_length
        self.shuffled, self.shuffle_seed = shuffled, shuffle_seed

    def open(self, folder: Path) -> Corrupt:
        """Return the corruption with the folder's lexicon. Raises UserError if it has none."""
        name = f"lexicons/{self.lexicon}.npy"
        if not (Path(folder) / name).is_file():
            raise UserError(f"CodeSwitch.lexicon = {self.lexicon!r}: {folder} has no {name}")
        check_files(Path(folder), name)
        both = np.load(Path(folder) / name, allow_pickle=False)
        if self.shuffled:
            both = np.stack([dealt_out(table, self.shuffle_seed) for table in both])
        sides = self.lexicon.partition(".")[0].split("-")
        tables = dict(zip(sides, both, strict=True))
        starts_V, mask = word_starts(folder), load_vocab(folder).mask

        def corrupt(tokens_T: np.ndarray, language: str, rng: np.random.Generator) -> np.ndarray:
            spans = choose_spans(
                starts_V[tokens_T], rng, rate=self.rate, mean_length=self.mean_length
            )
            switched_T = switch(tokens_T, covered(spans, len(tokens_T)), tables[language], rng)
            return insert(switched_T, mask, spans.inserts, rng)

        return corrupt


def dealt_out(table_VK: np.ndarray, seed: int) -> np.ndarray:
    """Return the table with its rows permuted among the ids that have translations."""
    having = np.flatnonzero(table_VK[:, 0] != NONE)
    result = table_VK.copy()
    result[having] = table_VK[np.random.default_rng(seed).permutation(having)]
    return result
