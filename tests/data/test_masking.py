"""Masking: who is chosen, what it becomes, and that arms share the places."""

import pytest
import torch

from repro.data.masking import choose_positions, mask_tokens, maskable
from repro.text.tokenizer import VocabInfo

VOCAB = VocabInfo(size=1000, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
ROWS, LENGTH = 64, 66


def full_rows() -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(5, 1000, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    tokens[:, 0], tokens[:, -1] = VOCAB.cls, VOCAB.sep
    return tokens, torch.ones(ROWS, LENGTH, dtype=torch.bool)


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_full_row_gives_the_same_number_of_positions():
    tokens, keep = full_rows()
    masked = mask_tokens(tokens, keep, VOCAB, generator(), probability=0.15)
    per_row = torch.bincount(masked.positions // LENGTH, minlength=ROWS)
    assert per_row.tolist() == [10] * ROWS  # round(0.15 * 64)
    assert torch.equal(masked.targets, tokens.flatten()[masked.positions])
    assert torch.equal(masked.positions, masked.positions.sort().values)


def test_special_tokens_and_padding_are_never_chosen_nor_changed():
    tokens, keep = full_rows()
    tokens[:, 20], tokens[:, 40:] = VOCAB.sep, VOCAB.pad
    keep[:, 40:] = False
    masked = mask_tokens(tokens, keep, VOCAB, generator(), probability=1.0)
    places = masked.positions % LENGTH
    assert set(places.tolist()) == set(range(1, 40)) - {20}
    untouched = ~maskable(tokens, keep, VOCAB)
    assert torch.equal(masked.inputs_BT[untouched], tokens[untouched])


def test_chosen_tokens_are_masked_replaced_and_kept_80_10_10():
    tokens, keep = full_rows()
    counts = torch.zeros(3)
    for seed in range(40):
        masked = mask_tokens(tokens, keep, VOCAB, generator(seed), probability=0.5)
        seen = masked.inputs_BT.flatten()[masked.positions]
        counts[0] += (seen == VOCAB.mask).sum()
        counts[2] += (seen == masked.targets).sum()
        counts[1] += ((seen != VOCAB.mask) & (seen != masked.targets)).sum()
    shares = counts / counts.sum()
    # 81,920 draws: a standard error of at most 0.0014.
    assert torch.allclose(shares, torch.tensor([0.8, 0.1, 0.1]), atol=0.006)


def test_random_tokens_are_ordinary_ones():
    tokens, keep = full_rows()
    masked = mask_tokens(
        tokens, keep, VOCAB, generator(), probability=1.0, mask_share=0.0, random_share=1.0
    )
    seen = masked.inputs_BT.flatten()[masked.positions]
    assert seen.min() >= 5 and seen.max() < 1000
    assert len(seen.unique()) > 900


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.8, 0.1)])
def test_arms_with_other_shares_work_on_the_same_positions(shares):
    tokens, keep = full_rows()
    bert = mask_tokens(tokens, keep, VOCAB, generator())
    other = mask_tokens(
        tokens, keep, VOCAB, generator(), mask_share=shares[0], random_share=shares[1]
    )
    assert torch.equal(bert.positions, other.positions)
    assert torch.equal(bert.targets, other.targets)


def test_pure_masks_for_electra():
    tokens, keep = full_rows()
    masked = mask_tokens(tokens, keep, VOCAB, generator(), mask_share=1.0, random_share=0.0)
    assert (masked.inputs_BT.flatten()[masked.positions] == VOCAB.mask).all()
    assert ((masked.inputs_BT == VOCAB.mask).sum(1) == 10).all()


def test_a_short_row_still_predicts_one_token():
    tokens = torch.tensor([[VOCAB.cls, 17, VOCAB.sep, VOCAB.pad]])
    masked = mask_tokens(tokens, tokens != VOCAB.pad, VOCAB, generator(), probability=0.15)
    assert masked.positions.tolist() == [1] and masked.targets.tolist() == [17]


def test_a_row_without_ordinary_tokens_predicts_none():
    tokens = torch.tensor([[VOCAB.cls, VOCAB.sep], [VOCAB.cls, 9]])
    masked = mask_tokens(tokens, tokens >= 0, VOCAB, generator(), probability=0.5)
    assert masked.positions.tolist() == [3]


def test_every_position_is_chosen_equally_often():
    allowed = torch.ones(4000, 10, dtype=torch.bool)
    chosen = choose_positions(allowed, generator(), probability=0.3)
    assert (chosen.sum(1) == 3).all()
    assert torch.allclose(chosen.float().mean(0), torch.full((10,), 0.3), atol=0.03)


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.5])
def test_probability_outside_its_range_is_an_error(probability):
    tokens, keep = full_rows()
    with pytest.raises(ValueError, match="must be in"):
        mask_tokens(tokens, keep, VOCAB, generator(), probability=probability)


def test_shares_above_one_are_an_error():
    tokens, keep = full_rows()
    with pytest.raises(ValueError, match="above 1"):
        mask_tokens(tokens, keep, VOCAB, generator(), mask_share=0.8, random_share=0.3)
