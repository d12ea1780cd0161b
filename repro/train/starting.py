"""First weights that are not random: functions `start(exported model, folder of the model before)`
for `repro.train.pretraining`."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from repro.errors import UserError


@torch.no_grad()
def weights(model: PreTrainedModel, folder: Path) -> None:
    """Give the model the weights of the stage before. Raises UserError where names or shapes
    differ, or there are none."""
    path = Path(folder) / "model.safetensors"
    if not path.is_file():
        raise UserError(f"{path}: no weights to start from")
    found = load_file(path)
    own = dict(model.named_parameters())
    for name in sorted(own.keys() | found.keys()):
        ours, theirs = (tuple(side[name].shape) if name in side else "none"
                        for side in (own, found))
        if ours != theirs:
            raise UserError(f"{path}: {name} is {theirs}, the model's is {ours}")
    for name, parameter in own.items():
        parameter.copy_(found[name])
