"""The decoder that pre-training exported, for measures that need more than its perplexity."""

from transformers import AutoModelForCausalLM, PreTrainedModel

from repro.context import RunContext
from repro.errors import UserError


def load(ctx: RunContext) -> PreTrainedModel:
    """Return the model in float32, in evaluation mode. Raises UserError for one that is missing."""
    folder = ctx.input("pretrain") / "model"
    try:
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no readable model; run the stage before again") from error
