"""Where in a YAML file something stands."""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


def marked(text: str) -> Any:
    """Return YAML as objects that know their lines (`.lc`); {} for a text that only the loader of
    `repro.yaml`, which is more lenient, can read."""
    try:
        return YAML(typ="rt").load(text)
    except (YAMLError, ValueError):
        return {}
