"""Edits of the core and of one paper, with what each can change in electra's mini profile.

An edit is (kind, file, old text, new text, truth). truth names the stages whose own result can
change, with the arms: "" nothing, "pretrain: electra", "data; finetune". What hangs on those by its
inputs follows. It was written by hand from what the code does, not from what the digest says.
"""

DETECT = "electra generator_wider generator_full electra_15"
GENERATE = f"{DETECT} replace_mlm all_tokens_mlm"
MASKED = "scratch bert bert_flops"

RTD = "repro/losses/replaced_token.py"
MLM = "repro/losses/masked_lm.py"
MASKING = "repro/data/masking.py"
LOOP = "repro/train/loop.py"
ADAMW = "repro/train/optimizers.py"
RATES = "repro/train/schedules.py"
METRICS = "repro/evaluate/metrics.py"
VOTES = "repro/evaluate/ensembles.py"
SUBSETS = "repro/data/subsets.py"
PREPARE = "repro/data/preparation.py"
ENCODERS = "repro/nn/encoders.py"
STREAMS = "repro/train/streams.py"
FINETUNE = "repro/evaluate/finetuning.py"
METHOD = "papers/electra/method.py"

SILENT = [  # not executed: nothing may be recomputed
    ("comment", ADAMW, "# Fused: one pass over", "# One fused pass over", ""),
    ("comment", RTD, "# A matrix product instead", "# One matrix product instead", ""),
    ("comment", STREAMS, "# Length-prefixed, so", "# With its length before it, so", ""),
    ("comment", LOOP, "import contextlib\n", "import contextlib  # for the null one\n", ""),
    ("comment", METHOD, "import torch\n", "# what it is made of\nimport torch\n", ""),
    ("docstring", MLM, "Return the mean cross-entropy over", "Return mean cross-entropy over", ""),
    ("docstring", RTD, "Return the mean binary cross-entropy", "Return a binary cross-entropy", ""),
    ("docstring", MASKING, "Choice of the positions a masked", "How positions of a masked", ""),
    ("docstring", RATES, '"""Learning-rate schedules: the', '"""Schedules: the', ""),
    ("docstring", METHOD, "Return a tied MLM head.", "Return an MLM head, tied.", ""),
    ("docstring", METRICS, '"""Task metrics from', '"""Metrics from', ""),
    ("docstring", PREPARE, '"""The data stage: readers', '"""Data stage: readers', ""),
    ("layout", RATES, "    warmup = _warmup(total, warmup_fraction, warmup_steps)\n",
     "\n    warmup = _warmup(\n        total, warmup_fraction, warmup_steps\n    )\n", ""),
    ("layout", VOTES, "return list(members[:size])", "return list((members)[:size])", ""),
    ("layout", ADAMW, "    scales = layer_scales(", "\n\n    scales = layer_scales(", ""),
    ("layout", METRICS, "    return bool(np.all(values_N == values_N[0]))",
     "    return bool(\n        np.all(values_N == values_N[0]),\n    )", ""),
    ("for type checkers", "repro/data/hub.py", "    from datasets import Dataset\n",
     "    from datasets import Dataset, DatasetDict\n", ""),
]

EXECUTED = [  # their dependents must be recomputed
    ("constant", MLM, "probability: float = 0.15,\n        mask_share: float = 0.8",
     "probability: float = 0.15,\n        mask_share: float = 0.7", f"pretrain: {MASKED}"),
    ("constant", RTD, "SAMPLER_BLOCK = ", "SAMPLER_BLOCK = 2 * ", f"pretrain: {GENERATE}"),
    ("constant", RTD, "largest = 1.0 - 2.0**-53", "largest = 1.0 - 2.0**-52",
     f"pretrain: {GENERATE}"),
    ("constant", MASKING, "masked_fill(~maskable_BT, 2.0)", "masked_fill(~maskable_BT, 3.0)",
     "pretrain"),
    ("constant", STREAMS, ">> 1", ">> 2", "pretrain; finetune"),
    ("constant", LOOP, "LOGGED_DIGITS = 6", "LOGGED_DIGITS = 7", "pretrain; finetune"),
    ("constant", METRICS, "zero_division=0)\n\n    return f1", "zero_division=1)\n\n    return f1",
     "finetune; eval"),
    ("constant", "repro/nn/dropout.py", "_LEVELS = 2**16", "_LEVELS = 2**15",
     "pretrain; finetune"),
    ("constant", "repro/nn/local_attention.py", "GAIN = 2.0", "GAIN = 3.0", "pretrain"),
    ("operator", RATES, "return (step + 1) / warmup\n    return floor",
     "return (step + 2) / warmup\n    return floor", "pretrain; finetune"),
    ("operator", RATES, "(total - step) / max(1, total - warmup)",
     "(total - step) // max(1, total - warmup)", "pretrain; finetune"),
    ("operator", ADAMW, "if parameter.ndim > 1 else", "if parameter.ndim > 0 else",
     "pretrain; finetune"),
    ("operator", ADAMW, "decay ** exponent(name)", "decay * exponent(name)", "pretrain; finetune"),
    ("operator", RTD, "(sums_MN <= target_M1)", "(sums_MN < target_M1)", f"pretrain: {GENERATE}"),
    ("operator", MASKING, "(kind_BT < mask_share)\n", "(kind_BT <= mask_share)\n", "pretrain"),
    ("operator", VOTES, "- np.log(len(log_p_MNC))", "+ np.log(len(log_p_MNC))", "eval"),
    ("operator", METRICS, "logits_N2[:, 1] - logits_N2[:, 0]", "logits_N2[:, 1] + logits_N2[:, 0]",
     "finetune; eval"),
    ("operator", PREPARE, 'text.count(" ") + 1 < min_words', 'text.count(" ") + 1 <= min_words',
     "data"),
    ("operator", SUBSETS, "return Selection(tuple(range(len(pool.documents))))",
     "return Selection(tuple(range(len(pool.documents) - 1)))", "data"),
    ("operator", METHOD, "return masked_lm_loss(logits_MV, corruption.targets_M), {}",
     "return 2 * masked_lm_loss(logits_MV, corruption.targets_M), {}", "pretrain: replace_mlm"),
    ("operator", "repro/losses/cross_entropy.py", "share = gradient / len(targets_N)",
     "share = gradient * len(targets_N)", f"pretrain: {MASKED} {GENERATE}"),
    ("branch", MLM, "    if not len(targets_M):\n", "    if len(targets_M) < 2:\n",
     f"pretrain: {MASKED} {GENERATE}"),
    ("branch", RTD, "    if not logits_BT.numel():\n", "    if logits_BT.numel() < 2:\n",
     f"pretrain: {DETECT}"),
    ("branch", LOOP, "    while run.step < plan.steps:\n",
     "    while run.step < plan.steps and run.step >= 0:\n", "pretrain; finetune"),
    ("branch", ENCODERS, "    if local_heads:\n", "    if local_heads and False:\n", "pretrain"),
    ("branch", FINETUNE, "if task.kind == \"regression\":", "if task.kind != \"tagging\":",
     "finetune"),
    ("branch", PREPARE, "        elif parts:\n", "        elif len(parts) > 1:\n", "data"),
    ("statement", LOOP, "        optimizer.zero_grad(set_to_none=True)\n", "",
     "pretrain; finetune"),
    ("statement", LOOP, "            streams.seed_global(\"dropout\", index)\n", "",
     "pretrain; finetune"),
    ("statement", "repro/train/determinism.py", "    torch.set_flush_denormal(True)\n", "",
     "pretrain; finetune"),
    ("statement", "repro/data/tasks/__init__.py", "", "LOADED = True\n", "data"),
    ("call", MLM, "streams.generator(\"mask\", step)", "streams.generator(\"masks\", step)",
     f"pretrain: {MASKED}"),
    ("asset", "repro/data/assets.yaml", "  sha256: d9de94d7347853af", "  sha256: 09de94d7347853af",
     "data"),
]

HARMLESS = [  # executed, but the result stays: recomputing is allowed, and counted
    ("rename of a local", RATES, "    done = min(1.0, (step", "    d = min(1.0, (step", ""),
    ("rename of a local", VOTES, "    first = targets_M_N[0]\n    for member, targets_N in",
     "    first = targets_M_N[0]\n    for number, targets_N in", ""),
    ("error text", ENCODERS, "must divide hidden", "has to divide hidden", ""),
    ("error text", ADAMW, "expected a positive number", "expected more than 0", ""),
    ("annotation", STREAMS, "def integer(self, name: str, step: int = 0) -> int:",
     "def integer(self, name: str, step: int = 0) -> \"int\":", ""),
    ("unused function", RATES, "def _warmup(", "def unused() -> None:\n    pass\n\n\ndef _warmup(",
     ""),
    ("function not used here", RATES, "math.cos(math.pi * done)", "math.cos(3.0 * done)", ""),
    ("logging", "repro/train/checkpoint.py", "_log = logging.getLogger(__name__)",
     "_log = logging.getLogger(\"repro\")", ""),
]
