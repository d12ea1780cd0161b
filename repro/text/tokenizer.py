"""Sub-word vocabularies: trained here or read from a folder, the same bytes every time.

A vocabulary is a `tokenizers.Tokenizer`; saved, the folder loads with AutoTokenizer offline.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from repro.errors import UserError

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# What `save` leaves and AutoTokenizer reads.
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


@dataclass(frozen=True)
class VocabInfo:
    """Sizes and ids a model needs. special: every id that is never masked and never sampled."""

    size: int
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int
    special: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned type that holds every id."""
        return np.dtype(np.uint16 if self.size <= 2**16 else np.uint32)


def vocab_info(tokenizer: Tokenizer) -> VocabInfo:
    """Return the sizes and ids of a tokenizer. Raises UserError when a special token is missing."""
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    missing = [token for token, index in ids.items() if index is None]
    if missing:
        raise UserError(f"tokenizer: no {', '.join(missing)} in its vocabulary")
    return VocabInfo(
        size=tokenizer.get_vocab_size(),
        pad=ids[PAD],
        unk=ids[UNK],
        cls=ids[CLS],
        sep=ids[SEP],
        mask=ids[MASK],
        special=tuple(sorted(ids.values())),
    )


def wordpiece(
    texts: Sequence[str],
    /,
    *,
    vocab_size: int = 4096,
    lowercase: bool = True,
    alphabet_size: int = 256,
    min_frequency: int = 2,
) -> Tokenizer:
    """Return a WordPiece tokenizer trained on texts, cut at spaces and punctuation as BERT's.

    The library numbers continuation characters (`##a`) in hash order, which differs from process to
    process and breaks ties between merges differently. Here they get fixed places instead: the
    `alphabet_size` most frequent characters, in code point order.
    Raises UserError if the texts are empty or the vocabulary cannot hold the alphabet.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = _alphabet(tokenizer.normalizer, texts, alphabet_size)
    fixed = [*SPECIAL_TOKENS, *(f"##{character}" for character in alphabet)]
    if vocab_size < len(fixed) + len(alphabet):
        raise UserError(
            f"wordpiece.vocab_size = {vocab_size}: smaller than the {len(fixed) + len(alphabet)} "
            f"entries of the alphabet (lower alphabet_size = {alphabet_size})"
        )
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=fixed,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    trained = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token=UNK))
    trained.normalizer = tokenizer.normalizer
    trained.pre_tokenizer = tokenizer.pre_tokenizer
    trained.decoder = decoders.WordPiece()
    return with_template(trained)


def byte_bpe(
    texts: Sequence[str], /, *, vocab_size: int = 4096, min_frequency: int = 2
) -> Tokenizer:
    """Return a byte-level BPE tokenizer trained on texts: no text has an unknown token.

    Raises UserError if the texts are empty or vocab_size does not hold the 256 bytes.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < len(alphabet) + len(SPECIAL_TOKENS):
        raise UserError(f"byte_bpe.vocab_size = {vocab_size}: smaller than the 261 entries needed")
    if not any(text.strip() for text in texts):
        raise UserError("byte_bpe: no text to train a vocabulary on")
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    return with_template(tokenizer)


def pretrained(
    texts: Sequence[str], /, *, name: str = "google-bert/bert-base-uncased", revision: str = "main"
) -> Tokenizer:
    """Return a published tokenizer from a local folder or the Hugging Face hub; texts are unused.

    Raises UserError when it is neither in the local cache nor reachable.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, revision=revision).backend_tokenizer
    except (OSError, ValueError) as error:
        raise UserError(
            f"tokenizer {name} at revision {revision} is neither in the hub cache nor reachable: "
            f"run `hf download {name} --revision {revision}` on a machine with network"
        ) from error


def with_template(tokenizer: Tokenizer) -> Tokenizer:
    """Make the tokenizer frame its output: [CLS] a [SEP], or [CLS] a [SEP] b [SEP]."""
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)],
    )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, *, model_max_length: int = 512) -> None:
    """Write tokenizer.json and the two files that let AutoTokenizer load the folder offline."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = dict(zip(ROLES, SPECIAL_TOKENS, strict=True))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model_max_length,
        "clean_up_tokenization_spaces": False,
        **tokens,
    }
    text = tokenizer.to_str(pretty=False)
    (folder / FILES[0]).write_text(text, encoding="utf-8")
    for name, content in zip(FILES[1:], (config, tokens), strict=True):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Tokenizer:
    """Return the tokenizer saved in a folder. Raises UserError naming a missing or broken file."""
    path = Path(folder) / FILES[0]
    if not path.is_file():
        raise UserError(f"{path}: missing; is {folder} a data artefact?")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception on unreadable JSON
        raise UserError(f"{path}: not a tokenizer: {error}") from error


@lru_cache(maxsize=16)
def load_vocab(folder: Path) -> VocabInfo:
    """Return the sizes and ids of the tokenizer saved in a folder."""
    return vocab_info(load(folder))


def encode(tokenizer: Tokenizer, texts: Iterable[str]) -> list[list[int]]:
    """Return the ids of every text, without [CLS] and [SEP]."""
    return [item.ids for item in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _alphabet(normalizer: normalizers.Normalizer, texts: Sequence[str], size: int) -> list[str]:
    """Characters are normalised one by one: the normaliser's steps do not look at neighbours."""
    raw: Counter[str] = Counter()
    for text in texts:
        raw.update(text)
    counts: Counter[str] = Counter()
    for character, count in raw.items():
        for part in normalizer.normalize_str(character):
            counts[part] += count
    characters = [character for character in counts if not character.isspace()]
    if not characters:
        raise UserError("wordpiece: no text to train a vocabulary on")
    characters.sort(key=lambda character: (-counts[character], character))
    return sorted(characters[:size])
