"""Whistle: from a recogniser of many languages' phones to one of a new language.

Phones are shared by languages, so much of the output layer is known before the new language is
heard. V units, D hidden.
Source: Yusuyin et al. 2024, crosslingual fine-tuning; released code, step "unpack".
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import Wav2Vec2BertForCTC

from repro.audio.store import BLANK, Spelling, read_spelling
from repro.nn.conformer import take_encoder


def known_rows(old: Spelling, new: Spelling) -> list[tuple[int, int]]:
    """Return (old id, new id) of the units that both inventories have.

    Units of different kinds are different even where one letter writes both; only the blank is
    always the same.
    """
    ids = {unit: index for index, unit in enumerate(old.units)}
    same = old.kind == new.kind
    return [(ids[unit], index) for index, unit in enumerate(new.units)
            if unit in ids and (same or unit == BLANK)]


@torch.no_grad()
def cross_lingual(model: Wav2Vec2BertForCTC, folder: Path, vocab: Spelling) -> None:
    """Set the first weights of a new language's recogniser, in place.

    The encoder is that of the pre-trained model in `folder`. Rows of the output layer that were
    trained there (`known_rows`) are copied; the others stay random, and all of them where
    pre-training had no output layer.
    """
    take_encoder(model, folder)
    state = load_file(folder / "model.safetensors")
    if "lm_head.weight" not in state:
        return
    (path,) = (path for path in folder.glob("*.*.json") if path.name.count(".") == 2)
    old, new = zip(*known_rows(read_spelling(path), vocab), strict=True)
    for name in ("weight", "bias"):
        getattr(model.lm_head, name)[list(new)] = state[f"lm_head.{name}"][list(old)]
