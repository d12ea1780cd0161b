"""espeak-ng by its C interface: pronunciations of text and synthesised speech with phone times.

The library and its dictionaries are an asset; nothing is installed. There is one in a process.
"""

import ctypes
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from repro.data import assets
from repro.errors import UserError

VERSION = "0.2.4"
RATE = 22050  # samples a second of everything it says
_LIBRARY = "espeakng_loader/libespeak-ng.so"
_SYNCHRONOUS, _PHONEME_EVENTS, _IPA_EVENTS, _DONT_EXIT = 2, 1, 2, 0x8000
_UTF8, _IPA, _SEPARATOR = 1, 0x02, "_"
_END, _PHONEME = 0, 7
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}


class Phone(NamedTuple):
    """One phone that was said: its name in IPA, beginning and end in seconds."""

    name: str
    start: float
    end: float


class Prosody(NamedTuple):
    """rate: words a minute. pitch, range: 0 to 100. volume: 0 to 200."""

    rate: int = 115
    pitch: int = 50
    range: int = 50
    volume: int = 100


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Heard:
    """What one call of the synthesiser gave."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []
        self.marks: list[tuple[str, int]] = []

    def take(self, wave: Callable, count: int, events: Callable) -> int:
        if wave and count > 0:
            self.chunks.append(np.ctypeslib.as_array(wave, shape=(count,)).copy())
        index = 0
        while events and events[index].type != _END:
            event = events[index]
            if event.type == _PHONEME:
                # Eight bytes that need not end in a zero; a longer name is cut inside a character.
                offset = _Event.id.offset + index * ctypes.sizeof(_Event)
                raw = ctypes.string_at(ctypes.addressof(events.contents) + offset, 8)
                name = raw.split(b"\0")[0].decode("utf-8", errors="ignore")
                self.marks.append((name, event.audio_position))
            index += 1
        return 0


class Espeak:
    """The synthesiser. Take it from `espeak()`: there is one in a process."""

    def __init__(self, version: str) -> None:
        folder = assets.path("espeakng-loader", version) / "espeakng_loader"
        assets.read("espeakng-loader", _LIBRARY, version)  # refuses a library that was altered
        self._library = ctypes.CDLL(str(folder / "libespeak-ng.so"))
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        options = _PHONEME_EVENTS | _IPA_EVENTS | _DONT_EXIT
        path = str(folder / "espeak-ng-data").encode()
        if self._library.espeak_Initialize(_SYNCHRONOUS, 0, path, options) != RATE:
            raise UserError(f"asset 'espeakng-loader': {folder} could not be initialised")
        self._heard = _Heard()
        self._callback = _Callback(lambda *said: self._heard.take(*said))
        self._library.espeak_SetSynthCallback(self._callback)

    def pronounce(self, text: str, language: str) -> list[str]:
        """Return the phones of text in IPA as espeak writes them, stress and length marks included.

        "" stands between words. Raises UserError for an unknown language.
        """
        self._choose(language)
        found: list[str] = []
        buffer = ctypes.create_string_buffer(text.encode("utf-8"))
        place = ctypes.c_void_p(ctypes.addressof(buffer))
        mode = _IPA | ord(_SEPARATOR) << 8
        while place.value:  # one clause a call
            clause = self._library.espeak_TextToPhonemes(ctypes.byref(place), _UTF8, mode)
            for word in (clause or b"").decode("utf-8").split():
                found += [phone for phone in word.split(_SEPARATOR) if phone] + [""]
        return found[:-1]

    def say(
        self, text: str, voice: str, prosody: Prosody = Prosody()  # noqa: B008, it is a tuple
    ) -> tuple[np.ndarray, list[Phone]]:
        """Return (wave float32 in -1 to 1 at RATE, phones with times).

        voice: a language, or language+variant (`pl+m3`). Raises UserError for an unknown voice.
        """
        self._choose(voice)
        for name, value in prosody._asdict().items():
            self._library.espeak_SetParameter(_PARAMETERS[name], int(value), 0)
        # Its noise begins from the clock otherwise; now the same calls from the first on give the
        # same bytes in any process.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(zlib.crc32(f"{voice} {text}".encode())))
        self._heard = heard = _Heard()
        raw = text.encode("utf-8")
        self._library.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        wave = np.concatenate([*heard.chunks, np.empty(0, np.int16)]).astype(np.float32) / 32768
        ends = [start for _, start in heard.marks[1:]] + [round(1000 * len(wave) / RATE)]
        phones = [Phone(name, start / 1000, end / 1000)
                  for (name, start), end in zip(heard.marks, ends, strict=True) if name.strip()]
        return wave, phones

    def _choose(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"voice {voice!r}: unknown to espeak")


@lru_cache(maxsize=1)
def espeak(version: str = VERSION) -> Espeak:
    """Return the synthesiser of this process. Raises UserError if its asset is not fetched."""
    return Espeak(version)
