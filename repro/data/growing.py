"""Arrays on disk that grow along their first axis, so that memory stays at one part of them."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from repro.errors import UserError


class GrowingArray:
    """Writes a .npy file part by part; `length` is what it holds so far. Rows have one shape."""

    def __init__(self, path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115, closed by `close`
        self.dtype, self.shape, self.length = np.dtype(dtype), shape, 0
        self._header()

    def add(self, part_T: np.ndarray) -> int:
        """Append rows and return where they start. Raises UserError for rows of another shape."""
        if part_T.shape[1:] != self.shape:
            raise UserError(f"{self._file.name}: rows of {part_T.shape[1:]}, expected {self.shape}")
        start = self.length
        self._file.write(np.ascontiguousarray(part_T, dtype=self.dtype).data)
        self.length += len(part_T)
        return start

    def close(self) -> None:
        """Write the final length into the header."""
        self._file.seek(0)
        self._header()
        self._file.close()

    def _header(self) -> None:
        # numpy pads the header for growth of the first axis, so its size does not depend on length.
        np.lib.format.write_array_header_1_0(self._file, {
            "descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False,
            "shape": (self.length, *self.shape)})
