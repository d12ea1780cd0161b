"""Which stages train. `data` comes first, common to all seeds; `eval` comes last and measures.

What stands between them trains, in the order of paper.yaml: one phase of pre-training or several,
of any names (synthetic data before text, sparse before dense), then fine-tuning where there is any.
A phase begins from the model of the phase before through the `start` of `pretrain`.
"""

DATA, FINETUNE, EVAL = "data", "finetune", "eval"


def trains(stage: str) -> bool:
    """Return whether a stage trains: it has members, checkpoints and a history."""
    return stage not in (DATA, EVAL)


def pretrains(stage: str) -> bool:
    """Return whether a stage is a phase of pre-training, whose work several tasks can share."""
    return trains(stage) and stage != FINETUNE
