"""Numbers and text as cells of markdown tables."""

from typing import Any


def cell(value: Any) -> str:
    """Return a value as one table cell: no line break, no bare `|`; None is a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def number(value: float | None, signed: bool = False) -> str:
    """Return a measurement: three decimals below 10, four digits above; None is a dash."""
    if value is None:
        return "–"
    sign = "+" if signed else ""
    if value != 0 and abs(value) < 0.001:
        return format(value, f"{sign}.1e")
    if abs(value) >= 1e6:
        return format(value, f"{sign}.3e")
    return format(value, f"{sign}.3f" if abs(value) < 10 else f"{sign}.4g")


def spread(mean: float, sd: float) -> str:
    """Return mean ± sd."""
    return f"{number(mean)} ± {number(sd)}"


def interval(estimate: dict[str, Any]) -> str:
    """Return mean [low, high] of an estimate, signed."""
    bounds = f"[{number(estimate['low'], True)}, {number(estimate['high'], True)}]"
    return f"{number(estimate['mean'], True)} {bounds}"


def duration(seconds: float) -> str:
    """Return seconds as `42 s`, `3 min 20 s` or `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def energy(joules: float | None) -> str:
    """Return joules in watt-hours, `16.1 Wh` or `2.3 kWh`; None is a dash."""
    if joules is None:
        return "–"
    hours = joules / 3600
    return f"{hours:.3g} Wh" if hours < 1000 else f"{hours / 1000:.3g} kWh"


def count(value: float) -> str:
    """Return a count with an SI prefix: 12.3 M."""
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"
