"""Tokens per second of `repro.train.loop.fit` beside transformers' Trainer, in one run.

    python bench/throughput.py [--repetitions 5] [--steps 8] [--out bench/results/throughput.json]

Both train the same model classes on the same synthetic packed batches: fp32, one thread, CPU, fused
AdamW, linear schedule, gradient clipping at 1, dropout 0.1. Each repetition is a fresh process, the
four of them in turn, so that a busy machine slows all alike. Time runs from the end of the last
warm-up step to the end of the last step, on the wall and as CPU time of the process (the same on an
idle machine; on a busy one the second is the steadier). Memory is the highest resident size.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

SETTING = {
    "name": "4 layers, hidden 128, vocabulary 8,192, 32 x 128 tokens",
    "layers": 4,
    "hidden": 128,
    "heads": 2,
    "intermediate": 512,
    "embedding": 128,
    "generator_hidden": 64,
    "vocabulary": 8192,
    "batch_size": 32,
    "sequence_length": 128,
    "probability": 0.15,
    "dropout": 0.1,
    "precision": "fp32",
    "threads": 1,
}
OBJECTIVES, LOOPS = ("mlm", "rtd"), ("trainer", "ours")
WARMUP = 3
UNITS = ("tokens_per_second", "tokens_per_cpu_second", "peak_mib")
ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}
PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


Instant = tuple[float, float]


def now() -> Instant:
    """Return seconds on the wall and of this process's CPU time."""
    return time.perf_counter(), time.process_time()


def rows(count: int):
    """Return tokens (count, T) int64, [CLS] and [SEP] at the ends, words by a Zipf law."""
    import numpy as np

    words = SETTING["vocabulary"] - len(SPECIAL)
    share = 1.0 / np.arange(1, words + 1)
    tokens = np.random.default_rng(0).choice(
        words, size=(count, SETTING["sequence_length"]), p=share / share.sum()
    ) + len(SPECIAL)
    tokens[:, 0], tokens[:, -1] = CLS, SEP
    return tokens


def sizes(hidden: int) -> dict[str, Any]:
    """Return the settings of an encoder of ours, four times as wide inside its feed-forward."""
    return {
        "hidden": hidden,
        "layers": SETTING["layers"],
        "heads": max(1, hidden // 64),
        "intermediate": 4 * hidden,
        "max_positions": SETTING["sequence_length"],
        "dropout": SETTING["dropout"],
        "attention_dropout": SETTING["dropout"],
    }


def run_ours(objective: str, steps: int) -> list[Instant]:
    """Train with our loop; return the clocks after every update."""
    import torch

    from repro.losses.masked_lm import MaskedLM
    from repro.losses.replaced_token import ReplacedTokenDetection
    from repro.nn.encoders import bert, electra
    from repro.text.tokenizer import VocabInfo
    from repro.train import determinism
    from repro.train.loop import Plan, fit
    from repro.train.optimizers import adamw
    from repro.train.schedules import linear
    from repro.train.streams import Streams

    determinism.configure("portable", SETTING["threads"])
    vocab = VocabInfo(
        size=SETTING["vocabulary"],
        pad=PAD,
        unk=UNK,
        cls=CLS,
        sep=SEP,
        mask=MASK,
        special=(PAD, UNK, CLS, SEP, MASK),
    )
    embedding = {"embedding": SETTING["embedding"]}
    if objective == "mlm":
        method = MaskedLM(encoder=partial(bert, **sizes(SETTING["hidden"])))
    else:
        method = ReplacedTokenDetection(
            encoder=partial(electra, **sizes(SETTING["hidden"]), **embedding),
            generator=partial(electra, **sizes(SETTING["generator_hidden"]), **embedding),
        )
    streams = Streams(0)
    model = method.build(vocab, streams)
    size = SETTING["batch_size"]
    tokens = torch.from_numpy(rows(steps * size))
    keep = torch.ones(size, tokens.shape[1], dtype=torch.bool)
    clock: list[Instant] = []
    fit(
        model,
        lambda index: (tokens[index * size : (index + 1) * size], keep),
        lambda batch, index: method.loss(model, *batch, streams, index),
        adamw(model, lr=1e-3),
        Plan(steps=steps, clip_norm=1.0, log_every=steps),
        streams=streams,
        schedule=linear,
        after_step=lambda _: clock.append(now()),
    )
    return clock


def bert_for_masked_lm():
    """Return the model that the Trainer pre-trains with its own loss."""
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(**shape(SETTING["hidden"])))


def shape(hidden: int) -> dict[str, Any]:
    """Return the arguments of transformers' configurations."""
    ours = sizes(hidden)
    return {
        "vocab_size": SETTING["vocabulary"],
        "hidden_size": hidden,
        "num_hidden_layers": ours["layers"],
        "num_attention_heads": ours["heads"],
        "intermediate_size": ours["intermediate"],
        "max_position_embeddings": ours["max_positions"],
        "hidden_dropout_prob": ours["dropout"],
        "attention_probs_dropout_prob": ours["attention_dropout"],
        "attn_implementation": "sdpa",
    }


def electra_pair():
    """Return generator and discriminator with shared embeddings and the usual joint loss."""
    import torch
    from torch import nn
    from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            size = {"embedding_size": SETTING["embedding"]}
            large = ElectraConfig(**shape(SETTING["hidden"]), **size)
            small = ElectraConfig(**shape(SETTING["generator_hidden"]), **size)
            self.discriminator = ElectraForPreTraining(large)
            self.generator = ElectraForMaskedLM(small)
            self.generator.electra.embeddings = self.discriminator.electra.embeddings
            self.generator.tie_weights()

        def forward(self, input_ids, labels, attention_mask=None):
            generated = self.generator(input_ids, attention_mask=attention_mask, labels=labels)
            chosen = labels != -100
            with torch.no_grad():
                scores = generated.logits[chosen]
                samples = torch.multinomial(scores.softmax(-1), 1).squeeze(-1)
                original = torch.where(chosen, labels, input_ids)
                corrupted = input_ids.clone()
                corrupted[chosen] = samples
            found = self.discriminator(
                corrupted, attention_mask=attention_mask, labels=(corrupted != original).long()
            )
            return {"loss": generated.loss + 50.0 * found.loss}

    return Pair()


def run_trainer(objective: str, steps: int) -> list[Instant]:
    """Train with transformers' Trainer and its MLM collator; return the clocks after every step."""
    import tempfile

    import torch
    from tokenizers import Tokenizer, models
    from transformers import (
        DataCollatorForLanguageModeling,
        PreTrainedTokenizerFast,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    torch.set_num_threads(SETTING["threads"])
    words = {name: i for i, name in enumerate(SPECIAL)}
    words |= {f"w{i}": i for i in range(len(SPECIAL), SETTING["vocabulary"])}
    roles = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="[UNK]")),
        **{f"{role}_token": name for role, name in roles.items()},
    )
    pure = {} if objective == "mlm" else {"mask_replace_prob": 1.0, "random_replace_prob": 0.0}
    collator = DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=SETTING["probability"], **pure
    )
    clock: list[Instant] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__) -> None:
            clock.append(now())

    examples = [{"input_ids": row} for row in rows(steps * SETTING["batch_size"])]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            learning_rate=1e-3,
            optim="adamw_torch_fused",
            per_device_train_batch_size=SETTING["batch_size"],
            max_grad_norm=1.0,
            lr_scheduler_type="linear",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            seed=0,
        )
        model = bert_for_masked_lm() if objective == "mlm" else electra_pair()
        Trainer(
            model=model,
            args=arguments,
            train_dataset=examples,
            data_collator=collator,
            callbacks=[Clock()],
        ).train()
    return clock


def work(objective: str, loop: str, steps: int) -> dict[str, float]:
    """Return tokens per second and peak memory of this process, after one training."""
    total = WARMUP + steps
    clock = (run_ours if loop == "ours" else run_trainer)(objective, total)
    tokens = steps * SETTING["batch_size"] * SETTING["sequence_length"]
    wall, cpu = (end - start for end, start in zip(clock[-1], clock[WARMUP - 1], strict=True))
    return {
        "tokens_per_second": tokens / wall,
        "tokens_per_cpu_second": tokens / cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def spawn(objective: str, loop: str, steps: int) -> dict[str, float]:
    """Return what `work` returns, from a fresh process."""
    command = [sys.executable, __file__, "--worker", objective, loop, "--steps", str(steps)]
    done = subprocess.run(
        command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"error: {objective} {loop}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarise(results: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return the medians of both loops and ours over the Trainer's, per objective and unit.

    The ratio is the median over repetitions, each of which measured the two in turn.
    """
    summary: dict[str, Any] = {}
    for objective in OBJECTIVES:
        ours, trainer = results[f"{objective} ours"], results[f"{objective} trainer"]
        entry: dict[str, Any] = {}
        for unit in UNITS:
            ratios = [a[unit] / b[unit] for a, b in zip(ours, trainer, strict=True)]
            entry[unit] = {
                "trainer": statistics.median(result[unit] for result in trainer),
                "ours": statistics.median(result[unit] for result in ours),
                "ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
            }
        summary[objective] = entry
    return summary


def table(summary: dict[str, Any]) -> str:
    """Return the summary as text."""
    lines = [f"{'':26} {'Trainer':>9} {'ours':>9} {'ratio':>6} {'low - high':>12}"]
    for objective, entry in summary.items():
        for unit, value in entry.items():
            spread = f"{value['lowest']:.2f} - {value['highest']:.2f}"
            lines.append(
                f"{objective} {unit:22} {value['trainer']:9,.0f} {value['ours']:9,.0f} "
                f"{value['ratio']:6.2f} {spread:>12}"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="timed updates a repetition")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results/throughput.json"
    )
    parser.add_argument("--worker", nargs=2, metavar=("OBJECTIVE", "LOOP"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(*options.worker, options.steps)))
        return
    results: dict[str, list[dict[str, float]]] = {f"{o} {p}": [] for o in OBJECTIVES for p in LOOPS}
    for repetition in range(options.repetitions):
        for name, measured in results.items():
            measured.append(spawn(*name.split(), options.steps))
            print(
                f"{repetition + 1}/{options.repetitions} {name:12} "
                f"{measured[-1]['tokens_per_second']:10,.0f} tokens/s",
                flush=True,
            )
    import torch
    import transformers

    summary = summarise(results)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    report = {
        "setting": SETTING,
        "versions": versions,
        "steps": options.steps,
        "summary": summary,
        "repetitions": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"\n{SETTING['name']}, fp32, 1 thread, {options.repetitions} repetitions, medians\n"
        f"{table(summary)}"
    )


if __name__ == "__main__":
    main()
