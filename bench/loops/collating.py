"""What the loops of others read: examples, and collators as one would write them for Trainer.

transformers' own collators where there are any. The others (text infilling, SpecAugment, crops of
images) do what our batches do, with the same functions, so that no loop has less to do.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    SeamlessM4TFeatureExtractor,
)

from loops import material
from loops.setting import CLS, MASK, PAD, SEP, SETTING, SPECIAL
from repro.audio.augment import spec_augment
from repro.data import spans
from repro.vision import crops
from repro.vision.colours import MEAN, STD
from repro.vision.pictures import encode

Example = dict[str, Any]
IGNORED = -100


def examples(task: str, count: int) -> list[Example]:
    """Return what a collator is given, one by one."""
    match task:
        case "seq2seq":
            return [{"input_ids": words_T} for words_T in material.sentences(count)]
        case "ctc":
            return [{"input_features": features, "labels": labels}
                    for features, labels in material.utterances(count)]
        case "contrastive":
            return [{"image": encode(pixels), "input_ids": np.array([CLS, *words, SEP])}
                    for pixels, words in material.pictures(count)]
        case "finetune":
            drawn = zip(material.rows(count), material.lengths(count), material.labels(count),
                        strict=True)
            return [{"input_ids": row_T[:length], "label": int(label)}
                    for row_T, length, label in drawn]
    return [{"input_ids": row_T} for row_T in material.rows(count)]


def processor(task: str) -> Any:
    """Return what Trainer takes the name of the input from, where it groups rows by length."""
    if task == "ctc":
        return SeamlessM4TFeatureExtractor(feature_size=SETTING["mels"])
    return None if task == "contrastive" else _tokenizer()


def length(example: Example) -> int:
    """Return by what a row is sorted."""
    return len(example["input_features"] if "input_features" in example else example["input_ids"])


def collator(task: str) -> Callable[[list[Example]], Example]:
    """Return the collator of a task: masking, and padding to the longest row."""
    match task:
        case "finetune":
            return DataCollatorWithPadding(_tokenizer())
        case "clm":
            return DataCollatorForLanguageModeling(_tokenizer(), mlm=False)
        case "mlm":
            return DataCollatorForLanguageModeling(
                _tokenizer(), mlm_probability=SETTING["probability"])
        case "rtd":
            return DataCollatorForLanguageModeling(
                _tokenizer(), mlm_probability=SETTING["probability"], mask_replace_prob=1.0,
                random_replace_prob=0.0)
        case "seq2seq":
            return Infilling()
        case "ctc":
            return masked_speech
        case "contrastive":
            return cropped_images
    raise ValueError(task)


def units(task: str, batch: Example) -> int:
    """Return what a batch counts for (`loops.setting.UNITS`)."""
    match task:
        case "seq2seq":
            read = int(batch["attention_mask"].sum())
            return read + int((batch["labels"] != IGNORED).sum())
        case "ctc":
            return int(batch["attention_mask"].sum()) * SETTING["stack"]
        case "contrastive":
            return len(batch["pixel_values"])
    return int((batch["input_ids"] != PAD).sum())


class Infilling:
    """mBART's noise: 35 % of the words in spans, each of which gives place to one [MASK]."""

    def __init__(self) -> None:
        self.rng, self.tag = np.random.default_rng(7), SETTING["vocabulary"] - 1

    def __call__(self, features: list[Example]) -> Example:
        end = np.array([SEP, self.tag])
        read, written = [], []
        for one in features:
            words_T = one["input_ids"][: SETTING["sequence_length"] - len(end)]
            read.append(torch.from_numpy(np.concatenate([self.corrupted(words_T), end])))
            written.append(torch.from_numpy(np.concatenate([words_T, end])))
        inputs_BS = pad_sequence(read, batch_first=True, padding_value=PAD)
        labels_BT = pad_sequence(written, batch_first=True, padding_value=IGNORED)
        return {"input_ids": inputs_BS, "attention_mask": (inputs_BS != PAD).long(),
                "labels": labels_BT}

    def corrupted(self, words_T: np.ndarray) -> np.ndarray:
        chosen = spans.choose_spans(np.ones(len(words_T), dtype=bool), self.rng,
                                    rate=material.RATE, mean_length=material.MEAN_LENGTH)
        dropped_T = spans.covered(chosen, len(words_T))
        dropped_T[chosen.starts] = False
        masked_T = words_T.copy()
        masked_T[chosen.starts] = MASK
        return spans.insert(masked_T[~dropped_T], MASK, chosen.inserts, self.rng)


def masked_speech(features: list[Example]) -> Example:
    """Padding, SpecAugment, frames joined by the stack."""
    frames_B = torch.tensor([len(one["input_features"]) for one in features])
    padded_BTM = pad_sequence(
        [torch.from_numpy(one["input_features"]).float() for one in features], batch_first=True)
    masked_BTM = spec_augment(padded_BTM, frames_B, torch.default_generator)
    inputs = masked_BTM.view(len(features), -1, SETTING["mels"] * SETTING["stack"])
    keep_BN = torch.arange(inputs.shape[1]) < (frames_B // SETTING["stack"])[:, None]
    labels = [torch.from_numpy(one["labels"]) for one in features]
    return {"input_features": inputs, "attention_mask": keep_BN.long(),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED)}


def cropped_images(features: list[Example]) -> Example:
    """Random crops, normalised, and padded captions."""
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    pixels = [crops.random(Image.open(io.BytesIO(one["image"])), rng, size=SETTING["image_size"])
              for one in features]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    images_BCSS = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    captions = [torch.from_numpy(one["input_ids"]) for one in features]
    return {"pixel_values": (images_BCSS - mean) / std, "return_loss": True,
            "input_ids": pad_sequence(captions, batch_first=True, padding_value=PAD)}


def _tokenizer() -> PreTrainedTokenizerFast:
    words = {name: i for i, name in enumerate(SPECIAL)}
    words |= {f"w{i}": i for i in range(len(SPECIAL), SETTING["vocabulary"])}
    roles = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="[UNK]")),
        **{f"{role}_token": name for role, name in roles.items()},
    )
