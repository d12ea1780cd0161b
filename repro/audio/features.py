"""Log-mel filterbanks as Kaldi and transformers make them. S samples, T frames, M mels."""

from functools import lru_cache

import numpy as np
from transformers.audio_utils import mel_filter_bank, window_function

from repro.errors import UserError

RATE = 16000  # samples a second of all speech that features are made of
HOP, WIDTH, FFT = 160, 400, 512  # a frame every 10 ms, of 25 ms
_SCALE = 2.0**15  # Kaldi counts samples as 16-bit integers
_PREEMPHASIS, _FLOOR = 0.97, 1.192092955078125e-07


def log_mel(wave_S: np.ndarray, mels: int = 80) -> np.ndarray:
    """Return log filterbank energies, (T, M) float32, of float samples in -1 to 1 at RATE.

    T = 1 + (S - 400) // 160. Povey window, pre-emphasis 0.97, mean of a frame removed, power
    spectrum, mel filters of Kaldi's scale from 20 Hz: what `SeamlessM4TFeatureExtractor` computes
    frame by frame. Raises UserError for less than one frame.
    """
    if len(wave_S) < WIDTH:
        raise UserError(f"log_mel: {len(wave_S)} samples, a frame needs {WIDTH}")
    scaled_S = wave_S.astype(np.float64) * _SCALE
    frames_TW = np.lib.stride_tricks.sliding_window_view(scaled_S, WIDTH)[::HOP]
    frames_TW = frames_TW - frames_TW.mean(axis=1, keepdims=True)
    before_TW = np.concatenate([frames_TW[:, :1], frames_TW[:, :-1]], axis=1)
    window_W, filters_FM = _tables(mels)
    spectrum_TF = np.abs(np.fft.rfft((frames_TW - _PREEMPHASIS * before_TW) * window_W, FFT)) ** 2
    return np.log(np.maximum(spectrum_TF @ filters_FM, _FLOOR)).astype(np.float32)


def normalised(features_TM: np.ndarray) -> np.ndarray:
    """Return features with mean 0 and variance 1 in every mel channel of the utterance, float32."""
    mean_M = features_TM.mean(axis=0)
    variance_M = features_TM.var(axis=0, ddof=1) if len(features_TM) > 1 else 0.0
    return ((features_TM - mean_M) / np.sqrt(variance_M + 1e-7)).astype(np.float32)


@lru_cache(maxsize=4)
def _tables(mels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return window and mel filters."""
    filters_FM = mel_filter_bank(
        num_frequency_bins=FFT // 2 + 1,
        num_mel_filters=mels,
        min_frequency=20,
        max_frequency=RATE // 2,
        sampling_rate=RATE,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return window_function(WIDTH, "povey", periodic=False), filters_FM
