"""Masked language models kept whole: the encoder and the head that names words.

`MaskedLM` keeps the encoder only, which is what fine-tuning with a fresh head needs. Prompting asks
the head itself, and so does continued pre-training. On disk they are transformers' own classes.
"""

from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from repro.errors import UserError
from repro.nn.dropout import make_cheap
from repro.nn.heads import MaskedLMHead, masked_lm_head

# By model type, where transformers keeps what our head calls dense, LayerNorm and bias.
PLACES = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
             "cls.predictions.bias"),
    "electra": ("generator_predictions.dense", "generator_predictions.LayerNorm",
                "generator_lm_head.bias"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
}


def _names(family: str) -> dict[str, str]:
    """Return our head's names -> transformers'. Raises UserError for an unknown family."""
    if family not in PLACES:
        raise UserError(f"masked language model of type {family!r}: expected one of "
                        f"{', '.join(PLACES)}")
    dense, norm, bias = PLACES[family]
    names = {f"transform.{ours}.{kind}": f"{theirs}.{kind}"
             for ours, theirs in (("dense", dense), ("LayerNorm", norm))
             for kind in ("weight", "bias")}
    return names | {"bias": bias}


def whole(encoder: PreTrainedModel, head: MaskedLMHead) -> PreTrainedModel:
    """Return ...ForMaskedLM around the very tensors of an encoder and its head, for saving."""
    names = _names(encoder.config.model_type)
    with torch.device("meta"):
        model = AutoModelForMaskedLM.from_config(encoder.config)
    setattr(model, model.base_model_prefix, encoder)
    ours = dict(head.named_parameters())
    for mine, theirs in names.items():
        owner, _, leaf = theirs.rpartition(".")
        setattr(model.get_submodule(owner), leaf, ours[mine])
    scores = model.get_output_embeddings()
    scores.weight, scores.bias = head.decoder, head.bias
    return model


def folder_of(source: Path, task: str) -> Path:
    """Return the folder of the model that a task starts from: its own, where the stage before
    adapted one to it (`repro.train.adapting`), else the one of that stage."""
    own = source / "models" / task
    return own if own.is_dir() else source / "model"


def load(folder: Path) -> tuple[PreTrainedModel, MaskedLMHead]:
    """Return encoder and head of a model that `whole` saved, in eval mode.

    Raises UserError if the folder holds no model, or one whose head was not kept.
    """
    return _apart(folder, local_files_only=True)


def published_head(encoder: PreTrainedModel, /, *, model: str, revision: str) -> MaskedLMHead:
    """Return the head that was published with a model of the hub, tied to this encoder.

    On the meta device only the shape is made. Raises UserError when the weights are neither in the
    cache nor reachable, or do not fit.
    """
    head = masked_lm_head(encoder)
    if encoder.device.type != "meta":
        _, found = _apart(model, revision=revision)
        _fill(head, dict(found.named_parameters()), model)
    return head


def restore(encoder: PreTrainedModel, head: MaskedLMHead, folder: Path) -> None:
    """Give an encoder and its head the weights of a saved model of the same shape, in place.

    Raises UserError as `load`, and where shapes differ.
    """
    saved, saved_head = load(folder)
    _fill(encoder, dict(saved.named_parameters()), str(folder))
    _fill(head, dict(saved_head.named_parameters()), str(folder))


def _apart(place: Path | str, **options) -> tuple[PreTrainedModel, MaskedLMHead]:
    try:
        model, report = AutoModelForMaskedLM.from_pretrained(
            place, output_loading_info=True, dtype=torch.float32, **options)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{place}: no masked language model can be loaded: {reason}") from error
    names = _names(model.config.model_type)
    if lost := sorted(set(report["missing_keys"]) & set(names.values())):
        raise UserError(f"{place}: holds an encoder whose head was not kept ({lost[0]}); train it "
                        "with repro.losses.whole_masked_lm")
    encoder = make_cheap(model.base_model)
    head = masked_lm_head(encoder)
    tensors = dict(model.named_parameters())
    _fill(head, {ours: tensors[theirs] for ours, theirs in names.items()}, str(place))
    return encoder.eval(), head.eval()


@torch.no_grad()
def _fill(module: torch.nn.Module, tensors: dict[str, torch.Tensor], place: str) -> None:
    """Copy tensors into the parameters of these names; a head's tied decoder is the encoder's."""
    for name, parameter in module.named_parameters():
        if name == "decoder" and isinstance(module, MaskedLMHead):
            continue
        if name not in tensors or tensors[name].shape != parameter.shape:
            found = tuple(tensors[name].shape) if name in tensors else "missing"
            raise UserError(f"{place}: {name} is {found}, expected {tuple(parameter.shape)}")
        parameter.copy_(tensors[name])
