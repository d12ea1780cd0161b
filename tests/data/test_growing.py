import numpy as np
import pytest

from repro.data.growing import GrowingArray
from repro.errors import UserError


def test_parts_stand_one_behind_the_other_in_a_plain_npy_file(tmp_path):
    parts = [np.arange(6, dtype=np.uint8).reshape(3, 2), np.full((1, 2), 9, np.uint8)]
    array = GrowingArray(tmp_path / "a.npy", np.uint8, (2,))
    assert [array.add(part) for part in parts] == [0, 3]
    array.close()
    np.save(tmp_path / "b.npy", np.concatenate(parts))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_rows_of_another_shape_are_refused_by_name(tmp_path):
    array = GrowingArray(tmp_path / "a.npy", np.uint8, (2,))
    with pytest.raises(UserError, match=r"a.npy: rows of \(3,\), expected \(2,\)"):
        array.add(np.zeros((1, 3)))
    array.close()
