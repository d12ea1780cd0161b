"""A pre-trained encoder with a task head.

B examples, T positions, U units (examples or labelled tokens), D hidden size, C outputs.
"""

import inspect
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from repro.errors import UserError
from repro.evaluate.batching import Batch, evaluation_rows, gather
from repro.evaluate.examples import Examples, Task
from repro.nn.dropout import make_cheap

HeadName = Literal["linear", "dense_gelu", "dense_tanh"]
Pooling = Literal["cls", "mean"]
HEADS = ("linear", "dense_gelu", "dense_tanh")
POOLINGS = ("cls", "mean")
EVALUATION_BATCH = 64


def load_encoder(folder: Path) -> PreTrainedModel:
    """Return the encoder saved in a folder, without a pooler, in eval mode.

    Raises UserError if the folder holds no encoder.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        options = _without_pooler(config)
        encoder = AutoModel.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{folder}: no encoder that can be loaded: {reason}") from error
    return make_cheap(encoder.float()).eval()


def new_encoder(folder: Path) -> PreTrainedModel:
    """Return an encoder of the shape that a config.json says, randomly initialised, in eval mode.

    Raises UserError if there is no readable config.json.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: no readable config.json") from error
    return AutoModel.from_config(config, **_without_pooler(config)).eval()


def save(folder: Path, encoder: PreTrainedModel, weights: dict[str, torch.Tensor]) -> None:
    """Write a fine-tuned classifier: the encoder as AutoModel loads it, and head.safetensors.

    encoder: of the same shape. weights: as `Classifier.state_dict` names them.
    """
    parts: dict[str, dict[str, torch.Tensor]] = {"encoder": {}, "head": {}}
    for name, tensor in weights.items():
        owner, _, rest = name.partition(".")
        parts[owner][rest] = tensor
    encoder.save_pretrained(folder, state_dict=parts["encoder"])
    save_file(parts["head"], folder / "head.safetensors")


def _without_pooler(config) -> dict[str, bool]:
    signature = inspect.signature(MODEL_MAPPING[type(config)].__init__)
    return {"add_pooling_layer": False} if "add_pooling_layer" in signature.parameters else {}


def build_head(name: HeadName, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """Return a freshly initialised head: features_UD -> outputs_UC.

    linear: dropout, linear. dense_gelu: ELECTRA's classification head (dropout, dense, GELU,
    dropout, linear). dense_tanh: BERT's pooler, fresh, then dropout and linear.
    Weights are normal with standard deviation 0.02, biases 0. Raises UserError for another name.
    """
    if name not in HEADS:
        raise UserError(f"head = {name!r}: expected one of {', '.join(HEADS)}")
    dense = nn.Linear(hidden, hidden) if name != "linear" else None
    last = nn.Linear(hidden, outputs)
    for layer in (dense, last):
        if layer is not None:
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    if name == "linear":
        return nn.Sequential(nn.Dropout(dropout), last)
    if name == "dense_tanh":
        return nn.Sequential(dense, nn.Tanh(), nn.Dropout(dropout), last)
    return nn.Sequential(nn.Dropout(dropout), dense, nn.GELU(), nn.Dropout(dropout), last)


class Classifier(nn.Module):
    """Encoder and head. pooling: how a unit that is a whole example is read off the hidden states:
    "cls" at the first position, "mean" over the positions that are not padding."""

    def __init__(self, encoder: PreTrainedModel, head: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise UserError(f"pooling = {pooling!r}: expected one of {', '.join(POOLINGS)}")
        self.encoder, self.head, self.pooling = encoder, head, pooling
        self.has_segments = getattr(encoder.config, "type_vocab_size", 0) > 1

    @property
    def device(self) -> torch.device:
        return next(self.head.parameters()).device

    def features(self, batch: Batch) -> torch.Tensor:
        """Return features_UD of a batch, on the model's device."""
        device = self.device
        keep_BT = None if batch.keep_BT is None else batch.keep_BT.to(device)
        segments = {"token_type_ids": batch.segments_BT.to(device)} if self.has_segments else {}
        hidden_BTD = self.encoder(
            input_ids=batch.input_ids_BT.to(device), attention_mask=keep_BT, **segments
        ).last_hidden_state
        if batch.places_U is not None:
            return hidden_BTD.flatten(0, 1).index_select(0, batch.places_U.to(device))
        if self.pooling == "cls":
            return hidden_BTD[:, 0]
        if keep_BT is None:
            return hidden_BTD.mean(dim=1)
        kept_BT1 = keep_BT.unsqueeze(2).to(hidden_BTD.dtype)
        return (hidden_BTD * kept_BT1).sum(dim=1) / kept_BT1.sum(dim=1)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return outputs_UC of a batch."""
        return self.head(self.features(batch))


def task_loss(outputs_UC: torch.Tensor, targets_U: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the mean loss: squared error for regression, else cross-entropy in nats."""
    targets_U = targets_U.to(outputs_UC.device)
    if kind == "regression":
        return F.mse_loss(outputs_UC.squeeze(1).float(), targets_U)
    return F.cross_entropy(outputs_UC.float(), targets_U)


@torch.no_grad()
def predict(model: Classifier, data: Examples, *, features: bool = False) -> torch.Tensor:
    """Return outputs_UC (features: features_UD) of every unit in its own order, float32, CPU."""
    model.eval()
    result = None
    for rows_B in evaluation_rows(data.lengths_N, EVALUATION_BATCH):
        batch = gather(data, rows_B)
        values = (model.features(batch) if features else model(batch)).float().cpu()
        if result is None:
            result = torch.empty(len(data.targets_U), values.shape[1])
        result[batch.units_U] = values
    return result


def check_fits(encoder: PreTrainedModel, task: Task) -> None:
    """Raise UserError if a task's sequences or ids are beyond what the encoder can read."""
    config = encoder.config
    for part in ("train", "dev", "test"):
        data: Examples = getattr(task, part)
        limits = {
            "max_position_embeddings": int(data.lengths_N.max()),
            "vocab_size": int(data.input_ids_NT.max()) + 1,
            "type_vocab_size": int(data.segments_NT.max()) + 1,
        }
        for setting, needed in limits.items():
            limit = getattr(config, setting, None)
            if limit is not None and needed > max(limit, 1):
                what = "longest sequence" if setting.startswith("max") else "ids need"
                raise UserError(
                    f"task {task.name!r}, {part}: {what} {needed}, the encoder has "
                    f"{setting} = {limit}"
                )
