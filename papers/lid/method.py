"""LID: policies that are language models, and the gathering of what they learn from.

B states, G tokens of a goal, H of past actions, O objects, N tokens of a name, T positions,
D hidden size, A actions. Source: Li et al. 2022, and the released code (VirtualHome) where named.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

from repro.decisions.babyai import ACTIONS, WORDS, Level
from repro.decisions.encoding import Encoder, Words
from repro.decisions.episodes import Episode
from repro.decisions.rollouts import replay
from repro.errors import UserError
from repro.losses.cross_entropy import mean_cross_entropy
from repro.nn import flops, gpt2, published
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

WEIGHTS = "policy.safetensors"
REACH = 6  # cells that a view of BabyAI goes forward; half of them to each side


class Arbitrary(Words):
    """Every word stands as one arbitrary token that the readable words do not use.

    Which one is drawn from the stream "words", and the same wherever the word stands.
    """

    def open(self, folder: Path, streams: Streams) -> "ArbitraryEncoder":
        """Return the encoder for the vocabulary of a data artefact. Raises UserError."""
        return ArbitraryEncoder(super().open(folder, streams), streams)


class ArbitraryEncoder(Encoder):
    """Gives each word of BabyAI a token of its own, from a random permutation of the vocabulary."""

    def __init__(self, readable: Encoder, streams: Streams) -> None:
        super().__init__(readable.tokenizer, readable.memory)
        used = {*self.vocab.special, *(i for word in WORDS for i in readable.ids(word))}
        order = streams.numpy("words").permutation(self.vocab.size).tolist()
        free = [index for index in order if index not in used]
        self.given = dict(zip(WORDS, free, strict=False))

    def tokenize(self, text: str) -> list[int]:
        """Return one token for each word of a text. Raises UserError for an unknown word."""
        if unknown := [word for word in text.split() if word not in self.given]:
            raise UserError(f"word {unknown[0]!r} of {text!r}: not among those of BabyAI, or the "
                            "vocabulary is too small")
        return [self.given[word] for word in text.split()]


class Policy(nn.Module):
    """Goal, past actions and objects as one sequence of embeddings into a language model.

    Each of the three parts has its own copy of the token embeddings, as in the released code. An
    object is one position: the mean embedding of its name's tokens plus its place. The context is
    the mean of the last hidden states, then a linear layer, ReLU and one score an action.
    pooled: goal, past and objects are one mean each, and one position in all.
    """

    def __init__(
        self, lm: GPT2LMHeadModel | None, vocab: VocabInfo, width: int, side: int, pooled: bool
    ) -> None:
        super().__init__()
        self.lm, self.pad, self.pooled = lm, vocab.pad, pooled
        self.goal, self.past, self.names = (nn.Embedding(vocab.size, width) for _ in range(3))
        self.ahead, self.aside = (nn.Embedding(REACH + 1, side) for _ in range(2))
        self.place = nn.Linear(side, width)
        if pooled:
            self.mix = nn.Linear(3 * width, width)
        self.hidden = nn.Linear(width, width)
        self.verbs = nn.Linear(width, len(ACTIONS))
        for embedding in (self.ahead, self.aside):
            nn.init.normal_(embedding.weight, std=0.1)
        self.share_embeddings()

    @torch.no_grad()
    def share_embeddings(self) -> None:
        """Set the three token embeddings to the language model's, or to one another."""
        if self.lm is None:
            nn.init.normal_(self.names.weight, std=0.02)
        source = self.names if self.lm is None else self.lm.transformer.wte
        for embedding in (self.goal, self.past, self.names):
            embedding.weight.copy_(source.weight)

    def forward(
        self, goals_BG: torch.Tensor, past_BH: torch.Tensor, names_BON: torch.Tensor,
        places_BO2: torch.Tensor,
    ) -> torch.Tensor:
        """Return scores_BA from the tensors of `Encoder.inputs`."""
        parts = [(self.goal(goals_BG), goals_BG != self.pad),
                 (self.past(past_BH), past_BH != self.pad), self.objects(names_BON, places_BO2)]
        if self.pooled:
            means = [_mean(part, kept[..., None], dim=1) for part, kept in parts]
            context_BD = self.mix(torch.cat(means, dim=1))
            if self.lm is None:
                context_BD = F.relu(context_BD)
            else:
                context_BD = gpt2.hidden_states(self.lm, context_BD[:, None])[:, 0]
        else:
            whole_BTD, keep_BT = (torch.cat(one, dim=1) for one in zip(*parts, strict=True))
            whole_BTD, keep_BT = packed(whole_BTD, keep_BT)
            hidden_BTD = gpt2.hidden_states(self.lm, whole_BTD)
            context_BD = _mean(hidden_BTD, keep_BT[..., None], dim=1)
        return self.verbs(F.relu(self.hidden(context_BD)))

    def objects(
        self, names_BON: torch.Tensor, places_BO2: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embeddings of objects, (B, O, D), and which of them are there, (B, O)."""
        named_BON = names_BON != self.pad
        names_BOD = _mean(self.names(names_BON), named_BON[..., None], dim=2)
        ahead_BO, side_BO = places_BO2.unbind(-1)
        place_BOS = self.ahead(ahead_BO) + self.aside(side_BO + REACH // 2)
        return names_BOD + self.place(F.relu(place_BOS)), named_BON.any(dim=2)

    def save_pretrained(self, folder: Path) -> None:
        """Write the policy, and beside it the language model in it, which AutoModel loads."""
        if self.lm is not None:
            self.lm.save_pretrained(folder)
        own = {name: value.contiguous() for name, value in self.state_dict().items()
               if not name.startswith("lm.")}
        save_file(own, folder / WEIGHTS)

    def load(self, folder: Path) -> None:
        """Read what `save_pretrained` left. Raises UserError."""
        try:
            state = load_file(folder / WEIGHTS)
            if self.lm is not None:
                found = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
                published.fill(self.lm, found.state_dict(), str(folder))
            missing = self.load_state_dict(state, strict=False).missing_keys
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = "no readable policy; run the finetune stage again"
            raise UserError(f"{folder}: {reason}") from error
        if wrong := [name for name in missing if not name.startswith("lm.")]:
            raise UserError(f"{folder}: another policy: {wrong[0]} is missing")


def packed(inputs_BTD: torch.Tensor, keep_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same rows with what is kept in front, cut to the longest of them.

    So a position is counted from the row's own beginning, whatever it is batched with.
    """
    longest = max(1, int(keep_BT.sum(dim=1).max()))
    order_BT = (~keep_BT).to(torch.int8).argsort(dim=1, stable=True)[:, :longest]
    index_BTD = order_BT[..., None].expand(-1, -1, inputs_BTD.shape[-1])
    return inputs_BTD.gather(1, index_BTD), keep_BT.gather(1, order_BT)


def _mean(values: torch.Tensor, keep: torch.Tensor, dim: int) -> torch.Tensor:
    """Return the mean of what is kept along dim; 0 where nothing is."""
    return (values * keep).sum(dim=dim) / keep.sum(dim=dim).clamp(min=1)


class Cloning:
    """Cross-entropy of a demonstrated action: a `repro.train.objective.Objective`.

    decoder: factory of the language model, None = none in the policy (form "vector" only). width:
    of the embeddings where there is none. side: of the layer behind an object's place. form:
    "sequence", or "vector", where goal, past and objects are pooled to one position.
    """

    def __init__(
        self, *, decoder: Callable[..., GPT2LMHeadModel] | None, side: int = 256,
        form: Literal["sequence", "vector"] = "sequence", width: int | None = None,
    ) -> None:
        if (decoder is None) != (width is not None):
            raise UserError(f"Cloning.width = {width}: expected one exactly where there is no "
                            "decoder")
        if decoder is None and form == "sequence":
            raise UserError("Cloning.form = 'sequence': needs a decoder")
        self.decoder, self.side, self.form, self.width = decoder, side, form, width

    def build(self, vocab: VocabInfo, streams: Streams) -> Policy:
        """Return the policy, its language model initialised from the stream init.decoder as
        `repro.losses.causal_lm` does, all else from init.policy."""
        lm, width = None, self.width
        if self.decoder is not None:
            streams.seed_global("init.decoder")
            lm = self.decoder(vocab)
            width = lm.config.n_embd
        streams.seed_global("init.policy")
        return Policy(lm, vocab, width, self.side, self.form == "vector")

    def loss(self, model: Policy, *batch_streams_step) -> dict[str, torch.Tensor]:
        """Return {"loss": nats an action, "accuracy": share of actions with the best score}."""
        *inputs, actions_B, _, _ = batch_streams_step
        scores_BA = self.scores(model, *inputs)
        actions_B = actions_B.to(scores_BA.device)
        right = (scores_BA.argmax(dim=1) == actions_B).float().mean()
        return {"loss": mean_cross_entropy(scores_BA, actions_B), "accuracy": right.detach()}

    def scores(self, model: Policy, *inputs: torch.Tensor) -> torch.Tensor:
        """Return scores_BA; inputs as `Encoder.inputs`, on the CPU."""
        device = model.verbs.weight.device
        return model(*(one.to(device) for one in inputs))

    def exported(self, model: Policy) -> Policy:
        """Return the policy itself."""
        return model

    def training_flops(self, model: Policy, batch_size: int, positions: int) -> int:
        """Return the operations of an update, multiply-add = 2."""
        length = 1 if self.form == "vector" else positions
        width = model.hidden.in_features
        total = flops.linear(batch_size, width, width + len(ACTIONS))
        total += flops.linear(batch_size * positions // 3, self.side, width)
        if model.pooled:
            total += flops.linear(batch_size, 3 * width, width)
        if model.lm is not None:
            total += gpt2.trunk_flops(model.lm.config, batch_size, length)
        return flops.training(total)


@torch.no_grad()
def from_language_model(policy: Policy, folder: Path, /) -> None:
    """Set the policy's language model and its token embeddings to those saved in a folder.

    Raises UserError when there is none, or one of another shape.
    """
    try:
        found = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no readable model; run the pretrain stage again") from error
    published.fill(policy.lm, found.state_dict(), str(folder))
    policy.share_embeddings()


def in_hindsight(
    level: Level, episode: Episode, drawn: np.random.Generator, /
) -> Episode | None:
    """Return an episode that reaches what a failed one came to, None where it came to nothing.

    The goal is drawn from the objects that it faced after some action, those held out apart; it is
    cut at the first time, without the actions that led nowhere (`straight`). The new episode is
    played in the environment under the new goal, whose verifier must agree.
    Source: Li et al. 2022, active data gathering: hindsight relabelling.
    """
    game = level.play(episode.seed)
    prints, faced = [game.fingerprint()], {}
    for step, action in enumerate(episode.actions, 1):
        game.step(action)
        prints.append(game.fingerprint())
        name = game.facing()
        if name is not None and name not in level.held_out:
            faced.setdefault(name, step)
    if not faced:
        return None
    goal = sorted(faced)[int(drawn.integers(len(faced)))]
    actions = straight(prints[: faced[goal] + 1], episode.actions[: faced[goal]])
    found = replay(level.play(episode.seed, goal), actions)
    return found if found.success else None


def straight(prints: list[bytes], actions: tuple[int, ...]) -> tuple[int, ...]:
    """Return actions without loops: what lies between two visits of the same state is dropped.

    prints: of the state before each action and after the last.
    """
    last = {mark: place for place, mark in enumerate(prints)}
    kept, place = [], 0
    while (place := last[prints[place]]) < len(actions):
        kept.append(actions[place])
        place += 1
    return tuple(kept)
