"""Progress of a run that is made of equal parts, one after the other."""

from collections.abc import Callable
from typing import Any


def part(report: Callable[..., None], index: int, count: int) -> Callable[..., None]:
    """Return the report of part `index` of `count`: its steps as steps of the whole."""

    def shifted(*, step: int, total: int, **values: Any) -> None:
        report(step=index * total + step, total=count * total, **values)

    return shifted
