"""Colours: the constants that images are normalised by, and names for what is seen."""

import numpy as np

# Mean and deviation of CLIP's training images, in [0, 1]: what its released models expect.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
NAMES: dict[str, tuple[int, int, int]] = {
    "black": (20, 20, 20), "white": (250, 250, 250), "gray": (140, 140, 140),
    "red": (225, 50, 50), "orange": (240, 140, 40), "yellow": (250, 215, 70),
    "green": (85, 165, 75), "blue": (70, 145, 220), "purple": (150, 95, 190),
    "pink": (245, 160, 185), "brown": (135, 90, 55),
}
# Gray is a long stretch: between its middle and white lie colours that are nearer to pink.
_SHADES = [*NAMES.values(), (85, 85, 85), (180, 180, 180), (210, 210, 210)]
_OWNER = np.array([*range(len(NAMES)), *3 * [list(NAMES).index("gray")]])


def nearest(pixels_N3: np.ndarray) -> np.ndarray:
    """Return for each colour (uint8) the index of the nearest of NAMES."""
    apart_NK3 = pixels_N3[:, None].astype(np.int64) - np.array(_SHADES)
    return _OWNER[(apart_NK3**2).sum(axis=2).argmin(axis=1)]


def main(pixels_HW4: np.ndarray) -> str:
    """Return the name of the commonest colour of a drawing, outlines (black) counted only where
    there is nothing else. pixels_HW4 uint8; what is transparent does not count."""
    seen_N3 = pixels_HW4[pixels_HW4[..., 3] > 127][:, :3]
    counts = np.bincount(nearest(seen_N3), minlength=len(NAMES))
    outline = list(NAMES).index("black")
    others = counts.copy()
    others[outline] = 0
    return list(NAMES)[int(others.argmax() if others.any() else outline)]
