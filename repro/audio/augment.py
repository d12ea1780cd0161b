"""SpecAugment: bands of mel channels and stretches of frames set to zero, the features' mean.

B utterances, T frames, M mels. Source: Park et al. 2019, without time warping.
"""

import torch


def spec_augment(
    features_BTM: torch.Tensor,
    frames_B: torch.Tensor,
    generator: torch.Generator,
    *,
    frequency_masks: int = 2,
    frequency_width: float = 0.35,
    time_masks: int = 10,
    time_width: float = 0.05,
) -> torch.Tensor:
    """Return a copy with masks of its own in every utterance.

    frequency_width, time_width: the widest mask, as a share of the channels, or of the utterance's
    frames; each width is uniform from 0 to it, each place uniform where it fits.
    """
    rows, frames, mels = features_BTM.shape
    mels_B = torch.full((rows,), mels)
    bands_BM = _spans(mels_B, mels, frequency_masks, frequency_width, generator)
    times_BT = _spans(frames_B, frames, time_masks, time_width, generator)
    return features_BTM.masked_fill(bands_BM[:, None, :] | times_BT[:, :, None], 0.0)


def _spans(
    sizes_B: torch.Tensor, longest: int, count: int, width: float, generator: torch.Generator
) -> torch.Tensor:
    """Return (B, longest) bool: which places some span covers."""
    draws_2BC = torch.rand(2, len(sizes_B), count, generator=generator)
    sizes_B1 = sizes_B[:, None]
    widths_BC = (draws_2BC[0] * (width * sizes_B1 + 1)).floor().long()
    starts_BC = (draws_2BC[1] * (sizes_B1 - widths_BC + 1)).floor().long()
    places = torch.arange(longest)
    inside = (places >= starts_BC[..., None]) & (places < (starts_BC + widths_BC)[..., None])
    return inside.any(dim=1)
