"""The entry of a private eval stage: utility, what the budget bought, what an attack finds.

    <out>/rows.jsonl   as `repro.evaluate.scoring`, and for each task
                       attack_advantage   of the loss threshold attack
                       noise_multiplier   sigma: the noise of each coordinate of a clipped sum, in
                                          clipping norms
                       epsilon            what that noise spends by the reference accountant
                       the last two also for regimes, where the accountant works and nothing trains
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate import membership, rows, scoring
from repro.privacy import accountants
from repro.privacy.accountants import Regime
from repro.train.streams import Streams


def score(
    ctx: RunContext,
    *,
    accountant: Callable[..., float] | None = None,
    reference: Callable[..., float] = accountants.prv,
    regimes: dict[str, Regime] | None = None,
) -> None:
    """Write rows.jsonl from the artefact of `repro.privacy.finetuning.finetune`.

    accountant: the arm's, for regimes (name of a task -> run that is accounted for only); None = an
    arm without privacy: no rows of noise. reference: says what the noise really spends.
    Raises UserError for a missing or unreadable artefact.
    """
    values = scoring.values(ctx)
    folder = ctx.input("finetune")
    for task, note in _read_notes(folder).items():
        losses = [np.load(folder / "losses" / f"{task}.{name}.npy", allow_pickle=False)
                  for name in ("members", "others")]
        streams = Streams(ctx.seed, ctx.member).fork(task)
        values[task, "attack_advantage"] = membership.advantage(*losses, streams)
        if note["noise"] is not None:
            spent = reference(note["noise"], note["rate"], note["steps"], note["delta"])
            values[task, "noise_multiplier"], values[task, "epsilon"] = note["noise"], spent
    for task, regime in (regimes or {}).items() if accountant else ():
        noise = regime.noise(accountant)
        values[task, "noise_multiplier"] = noise
        values[task, "epsilon"] = regime.spent(reference, noise)
    rows.write(ctx.out, values)


def _read_notes(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "privacy.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = "missing or unreadable; run the finetune stage again"
        raise UserError(f"{path}: {reason}") from error
