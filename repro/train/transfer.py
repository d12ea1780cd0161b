"""What a phase of training takes over from the model of the phase before: the `start` of pretrain.
"""

import re
from pathlib import Path

import torch
from transformers import PreTrainedModel

from repro.errors import UserError

VOCABULARY = ("model.embed_tokens.weight", "lm_head.weight")


@torch.no_grad()
def carry_over(
    model: PreTrainedModel, folder: Path, /, *, fresh: tuple[str, ...] = VOCABULARY
) -> None:
    """Copy into model every parameter of the model of its class that was saved in folder.

    fresh: regular expressions of whole names; the parameters they fit keep their first values, as
    embeddings and head do between phases whose vocabularies differ. Raises UserError for an
    expression that fits no parameter, a folder without a readable model, and a parameter that the
    earlier model lacks or has in another shape.
    """
    own = dict(model.named_parameters())
    for pattern in fresh:
        if not any(re.fullmatch(pattern, name) for name in own):
            raise UserError(f"carry_over.fresh: no parameter is called {pattern!r}")
    try:
        earlier = type(model).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no readable model of the phase before") from error
    given = dict(earlier.named_parameters())
    for name, parameter in own.items():
        if any(re.fullmatch(pattern, name) for pattern in fresh):
            continue
        if name not in given or given[name].shape != parameter.shape:
            there = tuple(given[name].shape) if name in given else "missing"
            raise UserError(f"carry_over: {name} is {tuple(parameter.shape)}, in the phase before "
                            f"{there}: name it under `fresh`, or train models of one shape")
        parameter.copy_(given[name])
