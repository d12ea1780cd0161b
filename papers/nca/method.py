"""Neural cellular automata as a source of sequences, each of them under a rule of its own.

A rule is a small random network that says the next colour of a cell from its 3 x 3 neighbourhood on
a torus. A sequence is the frames of one rule as patches; who predicts it must find out the rule.
R rules, T frames, H = W side of the grid, N colours, P patches of a frame, L tokens.
Source: Lee et al. 2026 (arXiv 2603.10055), and the authors' code where the paper is silent.
"""

import gzip
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from repro.context import RunContext
from repro.errors import UserError
from repro.losses.causal_lm import next_tokens
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

# Of a standard normal cut at two standard deviations: what JAX's initialisers divide by.
TRUNCATED_STD = 0.87962566103423978
NEAR, HIDDEN = 4, 16
MOST_DRAWS = 1000
Rows = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Rules:
    """R networks: near (R, 4, N + 2, 3, 3), mix (R, 16, 4), out (R, N, 16), float32, no biases."""

    near: torch.Tensor
    mix: torch.Tensor
    out: torch.Tensor

    def __len__(self) -> int:
        return len(self.out)

    def __getitem__(self, kept: torch.Tensor | slice) -> "Rules":
        return Rules(self.near[kept], self.mix[kept], self.out[kept])


def draw_rules(count: int, colours: int, generator: torch.Generator) -> Rules:
    """Return random rules: LeCun-normal kernels (truncated, as in Flax)."""

    def kernel(*shape: int, fan_in: int) -> torch.Tensor:
        std = math.sqrt(1 / fan_in) / TRUNCATED_STD
        weight = torch.empty(count, *shape)
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        return weight

    seen = colours + 2
    return Rules(kernel(NEAR, seen, 3, 3, fan_in=9 * seen), kernel(HIDDEN, NEAR, fan_in=NEAR),
                 kernel(colours, HIDDEN, fan_in=HIDDEN))


def logits_of(rules: Rules, cells_RHW: torch.Tensor) -> torch.Tensor:
    """Return the scores of each cell's next colour, (R, N, H, W). cells_RHW int64.

    The code wraps the axis of colours as it wraps the grid: the convolution sees the last colour
    again before the first, and the first again after the last.
    """
    count, side = cells_RHW.shape[0], cells_RHW.shape[1:]
    one_hot = F.one_hot(cells_RHW, rules.out.shape[1]).movedim(-1, 1).float()
    seen = torch.cat([one_hot[:, -1:], one_hot, one_hot[:, :1]], dim=1)
    seen = F.pad(seen, (1, 1, 1, 1), mode="circular").flatten(0, 1)[None]
    near = F.conv2d(seen, rules.near.flatten(0, 1), groups=count).view(count, NEAR, -1)
    return (rules.out @ torch.relu(rules.mix @ near)).unflatten(-1, side)


def step(
    rules: Rules, cells_RHW: torch.Tensor, temperature: float, generator: torch.Generator
) -> torch.Tensor:
    """Return the next grids, each cell drawn from softmax(logits / temperature); 0 = arg-max."""
    logits = logits_of(rules, cells_RHW)
    if temperature:
        # Adding Gumbel noise and taking the largest is drawing from the softmax.
        noise = torch.empty_like(logits).exponential_(generator=generator).log_().neg_()
        logits = logits + temperature * noise
    return logits.argmax(dim=1)


def roll_out(
    rules: Rules, side: int, frames: int, burn_in: int, temperature: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return frames burn_in, ..., burn_in + frames - 1 of each rule, (R, T, H, W) int64.

    The first grid of a rule has independent cells of one random categorical distribution, the
    softmax of N standard normals.
    """
    colours = rules.out.shape[1]
    shares_RN = torch.randn(len(rules), colours, generator=generator).softmax(dim=1)
    cells = torch.multinomial(shares_RN, side * side, replacement=True, generator=generator)
    cells = cells.view(-1, side, side)
    kept = []
    for index in range(burn_in + frames):
        if index >= burn_in:
            kept.append(cells)
        if index < burn_in + frames - 1:
            cells = step(rules, cells, temperature, generator)
    return torch.stack(kept, dim=1)


def patches(frames_RTHW: torch.Tensor, colours: int, patch: int) -> torch.Tensor:
    """Return the token of each patch, row by row: sum over its cells j of cell_j N^j, (R, T, P)."""
    *first, height, width = frames_RTHW.shape
    cells = frames_RTHW.view(*first, height // patch, patch, width // patch, patch)
    cells = cells.transpose(-3, -2).reshape(*first, -1, patch * patch)
    return (cells * colours ** torch.arange(patch * patch)).sum(dim=-1)


def gzip_ratio(tokens: torch.Tensor) -> float:
    """Return compressed over original size (gzip, level 9) of tokens as 32-bit integers.

    It depends on the width of the integers, their number and the vocabulary: bounds for one size of
    grid mean nothing for another. Compressors other than zlib 1.2 and 1.3 may differ by bytes.
    """
    raw = tokens.to(torch.int32).numpy().tobytes()
    return len(gzip.compress(raw, compresslevel=9, mtime=0)) / len(raw)


class Automata:
    """Rules of one kind, and what their grids are as tokens.

    colours; side, patch: in cells; burn_in: frames not shown; temperature: of the draw of a cell,
    0 = none. A rule is taken when least < gzip ratio < most, over rated_frames frames after the
    burn-in, from another first grid than that of the frames that are shown.
    """

    def __init__(
        self,
        *,
        colours: int = 10,
        side: int = 12,
        patch: int = 2,
        burn_in: int = 10,
        temperature: float = 1e-4,
        least: float = 0.5,
        most: float = 1.0,
        rated_frames: int = 10,
    ) -> None:
        if colours < 2 or patch < 1 or side % patch:
            raise UserError(f"colours = {colours}, side = {side}, patch = {patch}: expected two "
                            "colours or more, and patches that fill a side")
        if not 0 <= least < most or temperature < 0:
            raise UserError(f"least = {least}, most = {most}, temperature = {temperature}: "
                            "expected bounds in order and a temperature of at least 0")
        self.colours, self.side, self.patch = colours, side, patch
        self.burn_in, self.temperature = burn_in, temperature
        self.least, self.most, self.rated_frames = least, most, rated_frames
        self.words = colours ** (patch * patch)
        self.frame_length = (side // patch) ** 2 + 2

    @property
    def vocab(self) -> VocabInfo:
        """Patches, then <grid> (also `cls`) and </grid> (also `sep`, and `pad`, never needed)."""
        start, end = self.words, self.words + 1
        return VocabInfo(self.words + 2, pad=end, unk=end, cls=start, sep=end, mask=end,
                         special=(start, end))

    def sequences(self, count: int, frames: int, generator: torch.Generator) -> torch.Tensor:
        """Return frames of `count` rules of the band, each between <grid> and </grid>: tokens
        (R, T, P + 2) int64, no two rows of one rule."""
        tokens_RTP = self.tokens_of(self.rules(count, generator), frames, generator)
        edge = tokens_RTP.new_full((count, frames, 1), self.words)
        return torch.cat([edge, tokens_RTP, edge + 1], dim=-1)

    def rules(self, count: int, generator: torch.Generator) -> Rules:
        """Return rules whose gzip ratio lies in the band. Raises UserError if hardly any does."""
        kept: list[Rules] = []
        for _ in range(MOST_DRAWS):
            drawn = draw_rules(count, self.colours, generator)
            ratios = self.ratios(drawn, generator)
            kept.append(drawn[(ratios > self.least) & (ratios < self.most)])
            if sum(map(len, kept)) >= count:
                parts = zip(*((r.near, r.mix, r.out) for r in kept), strict=True)
                return Rules(*(torch.cat(part)[:count] for part in parts))
        raise UserError(f"least = {self.least}, most = {self.most}: of {MOST_DRAWS * count} rules "
                        f"{sum(map(len, kept))} have such a gzip ratio")

    def ratios(self, rules: Rules, generator: torch.Generator) -> torch.Tensor:
        """Return the gzip ratio of a roll-out of each rule, (R,) float."""
        rated = self.tokens_of(rules, self.rated_frames, generator)
        return torch.tensor([gzip_ratio(row) for row in rated])

    def tokens_of(self, rules: Rules, frames: int, generator: torch.Generator) -> torch.Tensor:
        """Return patch tokens (R, T, P) of new roll-outs."""
        cells = roll_out(rules, self.side, frames, self.burn_in, self.temperature, generator)
        return patches(cells, self.colours, self.patch)


class CellularRows:
    """Rows of automata made as they are asked for: a `repro.train.objective.Batches`.

    batch_size: rows B, each of a rule of its own. sequence_length: tokens L of a row, frames after
    one another, the last one cut. The tokens of the first frame are given, not predicted.
    shuffled: the patches of a row in random order, a control without dynamics.
    """

    files = ()

    def __init__(
        self, *, automata: Automata, batch_size: int, sequence_length: int, shuffled: bool = False
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size = {batch_size}: must be at least 1")
        if sequence_length <= automata.frame_length:
            raise UserError(f"sequence_length = {sequence_length}: a frame takes "
                            f"{automata.frame_length} tokens, and the first is not predicted")
        self.automata, self.shuffled = automata, shuffled
        self.vocab = automata.vocab
        self.shape = {"batch_size": batch_size, "sequence_length": sequence_length}

    @property
    def tokens(self) -> int:
        """Positions in a batch."""
        return self.shape["batch_size"] * self.shape["sequence_length"]

    def open(self, folder: Path, streams: Streams) -> tuple[VocabInfo, Callable[[int], Rows]]:
        """Return the vocabulary and batch(index) -> (tokens_BL int64, keep_BL bool, False = given).

        Drawn from the stream "cells" of the index; folder is not read.
        """
        (size, length), given = self.shape.values(), self.automata.frame_length
        frames = math.ceil(length / given)

        def batch(index: int) -> Rows:
            generator = streams.generator("cells", index)
            tokens_BL = self.automata.sequences(size, frames, generator).flatten(1)[:, :length]
            if self.shuffled:
                tokens_BL = shuffled_patches(tokens_BL, self.automata.words, generator)
            keep_BL = torch.ones(tokens_BL.shape, dtype=torch.bool)
            keep_BL[:, :given] = False
            return tokens_BL, keep_BL

        return self.vocab, batch

    def example(self, vocab: VocabInfo) -> Rows:
        """Return a batch of random tokens, for measuring."""
        shape = tuple(self.shape.values())
        return torch.randint(vocab.size, shape), torch.ones(shape, dtype=torch.bool)


def shuffled_patches(
    tokens_BL: torch.Tensor, words: int, generator: torch.Generator
) -> torch.Tensor:
    """Return each row with its patches in random order, the delimiters where they were."""
    tokens_BL = tokens_BL.clone()
    for row in tokens_BL:
        places = (row < words).nonzero()[:, 0]
        row[places] = row[places[torch.randperm(len(places), generator=generator)]]
    return tokens_BL


@torch.inference_mode()
def in_context(
    ctx: RunContext, *, automata: Automata, frames: int, context: int, count: int = 256,
    stage: str = "prepretrain",
) -> dict[str, float]:
    """Return how well the model of a phase predicts a frame of a new rule: token_accuracy, nll.

    Of frames 0, ..., frames - 1 the last is predicted, each patch from the true ones before it and
    from `context` frames before that one: the targets are the same whatever the context. count:
    rules, from the stream "eval.cells". Raises UserError for a context that is not there.
    """
    if not 1 <= context < frames:
        raise UserError(f"context = {context}: expected 1 to {frames - 1}")
    model = AutoModelForCausalLM.from_pretrained(ctx.input(stage) / "model", local_files_only=True)
    generator = Streams(ctx.seed).generator("eval.cells")
    tokens = automata.sequences(count, frames, generator)[:, -context - 1 :].flatten(1)
    keep = torch.zeros(tokens.shape, dtype=torch.bool)
    keep[:, -automata.frame_length + 1 : -1] = True
    nll, right, total = 0.0, 0, 0
    for part, kept in zip(tokens.split(32), keep.split(32), strict=True):
        hidden_ND, targets_N = next_tokens(model, part, kept)
        logits_NV = model.lm_head(hidden_ND)
        nll += F.cross_entropy(logits_NV, targets_N, reduction="sum").item()
        right += int((logits_NV.argmax(dim=1) == targets_N).sum())
        total += len(targets_N)
    return {"token_accuracy": right / total, "nll": nll / total}
