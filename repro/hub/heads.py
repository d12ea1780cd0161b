"""A fine-tuned encoder and head as one of transformers' own classes, so that AutoModelFor* loads it
without any code of ours.

U units (examples or labelled tokens), D hidden size, C outputs.
"""

import copy

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
)

from repro.errors import UserError

# Small enough that tanh(e x) / e is x to float32's rounding for |x| <= 20: the error is (e x)^2 / 3
# of x, 3e-8. A power of two, so that scaling by it rounds nothing.
SMALL = 2.0**-16
PROBLEMS = {"classification": "single_label_classification", "regression": "regression",
            "pair": "single_label_classification"}
State = dict[str, torch.Tensor]


def stock(encoder: PreTrainedModel, head: State, name: str, pooling: str, kind: str,
          labels: list[str]) -> PreTrainedModel:
    """Return the encoder with its head as ...ForSequenceClassification or ...ForTokenClassification
    in eval mode; its logits are those of our classifier, up to rounding.

    head: as `repro.evaluate.classifier.build_head(name)` names its tensors. Raises UserError where
    transformers has no class that computes the same.
    """
    if kind == "tagging":
        return _tagger(encoder, head, name, labels)
    if pooling != "cls":
        raise UserError(f"pooling = {pooling!r}: no class of transformers reads it; load the "
                        "encoder with AutoModel, and head.safetensors yourself")
    model = _with_encoder(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, encoder, kind, labels)
    activation, inner, outer = _places(model)
    linears = [(head[key], head[key.replace("weight", "bias")])
               for key in sorted(head) if key.endswith("weight")]
    if name == f"dense_{activation}":
        (inner.weight.data, inner.bias.data), (outer.weight.data, outer.bias.data) = linears
    elif name == "linear":
        _as_dense(activation, *linears[0], inner, outer)
    else:
        raise UserError(f"head = {name!r}: {type(model).__name__} has a {activation} between two "
                        "layers; load the encoder with AutoModel, and head.safetensors yourself")
    return model.eval()


def _tagger(encoder: PreTrainedModel, head: State, name: str, labels: list[str]) -> PreTrainedModel:
    if name != "linear":
        raise UserError(f"head = {name!r}: transformers' token classifiers have a linear one; load "
                        "the encoder with AutoModel, and head.safetensors yourself")
    model = _with_encoder(MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, encoder, "tagging", labels)
    (weight,) = (tensor for key, tensor in head.items() if key.endswith("weight"))
    (bias,) = (tensor for key, tensor in head.items() if key.endswith("bias"))
    model.classifier.weight.data, model.classifier.bias.data = weight, bias
    return model.eval()


def _with_encoder(mapping: dict[type[PretrainedConfig], type[PreTrainedModel]],
                  encoder: PreTrainedModel, kind: str, labels: list[str]) -> PreTrainedModel:
    """Return the class that a mapping has for an encoder, with the encoder's weights."""
    config = copy.deepcopy(encoder.config)
    if type(config) not in mapping:
        raise UserError(f"{config.model_type}: transformers has no such class with a head")
    if kind == "regression":
        config.num_labels = 1
    else:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = PROBLEMS.get(kind)
    model = mapping[type(config)](config)
    missing, unexpected = getattr(model, model.base_model_prefix).load_state_dict(
        encoder.state_dict(), strict=False)
    if unexpected or any("pooler" not in key for key in missing):
        raise UserError(f"{type(model).__name__}: does not fit the encoder: "
                        f"{[*missing, *unexpected][0]}")
    return model


def _places(model: PreTrainedModel) -> tuple[str, nn.Linear, nn.Linear]:
    """Return the activation of a stock head and the layers before and behind it."""
    if model.config.model_type == "electra":
        return "gelu", model.classifier.dense, model.classifier.out_proj
    pooler = getattr(getattr(model, model.base_model_prefix), "pooler", None)
    if pooler is not None and isinstance(model.classifier, nn.Linear):
        return "tanh", pooler.dense, model.classifier
    raise UserError(f"{type(model).__name__}: its head is not known here; load the encoder with "
                    "AutoModel, and head.safetensors yourself")


@torch.no_grad()
def _as_dense(activation: str, weight_CD: torch.Tensor, bias_C: torch.Tensor,
              inner: nn.Linear, outer: nn.Linear) -> None:
    """Write a linear head W x + b into a head of two layers with an activation between them.

    gelu(y) - gelu(-y) = y, because gelu(y) = y P(y) and P(y) + P(-y) = 1: two inner units an
    output. tanh(e y) / e = y for small e: one inner unit an output.
    """
    classes, hidden = weight_CD.shape
    needed = 2 * classes if activation == "gelu" else classes
    if needed > hidden:
        raise UserError(f"head = 'linear': {classes} outputs need {needed} units of a {activation} "
                        f"layer, which has {hidden}")
    for parameter in (*inner.parameters(), *outer.parameters()):
        parameter.zero_()
    rows = torch.arange(classes)
    if activation == "gelu":
        inner.weight[:classes], inner.bias[:classes] = weight_CD, bias_C
        inner.weight[classes:needed], inner.bias[classes:needed] = -weight_CD, -bias_C
        outer.weight[rows, rows], outer.weight[rows, rows + classes] = 1.0, -1.0
    else:
        inner.weight[:classes], inner.bias[:classes] = SMALL * weight_CD, SMALL * bias_C
        outer.weight[rows, rows] = 1.0 / SMALL
