"""Wrong hyper-parameters put into `paper` profiles: the deviations ledger names each one."""

from pathlib import Path

import pytest

from repro.config.resolve import resolve
from repro.paper import Paper
from repro.verdict import stated

ROOT = Path(__file__).parents[2]
# paper, the binding that makes it wrong, and the stated key that it offends.
WRONG = (
    ("electra", "pretraining.pretrain.steps = 766000", "*.pretrain.steps"),
    ("electra", "batches.TokenRows.batch_size = 256", "*.pretrain.batches.batch_size"),
    ("electra", "batches.TokenRows.sequence_length = 512", "*.pretrain.batches.sequence_length"),
    ("electra", "optimizers.adamw.lr = 2e-4", "*.pretrain.optimizer.lr"),
    ("electra", "optimizers.adamw.weight_decay = 0.1", "*.pretrain.optimizer.weight_decay"),
    ("electra", "optimizers.adamw.eps = 1e-8", "*.pretrain.optimizer.eps"),
    ("electra", "pretrain/schedules.linear.warmup_steps = 1000",
     "*.pretrain.schedule.warmup_steps"),
    ("electra", "masked_lm.MaskedLM.probability = 0.25", "*.pretrain.objective.probability"),
    ("electra", "encoders.electra.layers = 24", "*.pretrain.objective.encoder.layers"),
    ("electra", "generator/encoders.electra.hidden = 128",
     "*.pretrain.objective.generator.hidden"),
    ("electra", "finetuning.adamw.layer_decay = 0.9", "*.finetune.optimizer.layer_decay"),
    ("electra", "tokenizer.wordpiece.vocab_size = 32000", "*.data.tokenizer.vocab_size"),
    ("tiny_lm", "one_layer/encoders.bert.heads = 12", "shallow.pretrain.objective.encoder.heads"),
    ("tiny_lm", "finetuning.finetune.epochs = 3", "*.finetune.epochs"),
    ("tiny_lm", "small_equal_epochs/pretraining.pretrain.steps = 140650",
     "small_equal_epochs.pretrain.steps"),
    ("sltrain", "decoders.llama.intermediate = 2048",
     "*.pretrain.objective.decoder.decoder.intermediate"),
    ("sltrain", "method.sparse_low_rank.density = 0.01",
     "sltrain.pretrain.objective.decoder.density"),
    ("sltrain", "pretraining.pretrain.accumulation = 1", "*.pretrain.accumulation"),
    ("sltrain", "galore_optimizer.adamw.scale = 1.0", "galore.pretrain.optimizer.scale"),
)


@pytest.mark.parametrize(("slug", "binding", "key"), WRONG, ids=[wrong[2] for wrong in WRONG])
def test_a_wrong_hyper_parameter_is_caught(slug, binding, key):
    paper = Paper.find(slug, ROOT)
    tree = resolve(paper, "paper", numerics="portable", overrides=[binding]).tree
    lines = stated.unexplained(paper, tree)
    assert any(f" {key}: " in line for line in lines), lines
