"""Sub-word units of words, by byte-pair merges of letters; a word begins with `▁`."""

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from repro.errors import UserError


def letter_bpe(texts: Sequence[str], /, *, vocab_size: int) -> Tokenizer:
    """Return a BPE tokenizer over the letters of texts, `▁` before each word, no special tokens.

    vocab_size: units, CTC's blank not counted. Raises UserError if it does not hold the letters.
    """
    letters = sorted(Counter("▁".join(texts).replace(" ", "")) | Counter("▁"))
    if vocab_size < len(letters):
        raise UserError(f"letter_bpe.vocab_size = {vocab_size}: the texts have {len(letters)} "
                        "different letters")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=letters,
                                  special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def units_of(tokenizer: Tokenizer) -> list[str]:
    """Return the units of a tokenizer by id."""
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)
