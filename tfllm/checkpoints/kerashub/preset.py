"""What is a KerasHub preset, and the files that it holds."""

from __future__ import annotations

import json
import os
from typing import Any

PREFIX = "kerashub:"
# In metadata.json, which KerasHub writes and does not read: what a preset cannot say about a fine-tuned classifier.
METADATA, OUR_KEY = "metadata.json", "tfllm"


def preset_of(model: str | os.PathLike) -> str | None:
    """The preset that a model's name stands for, or `None` if it is none of KerasHub's.

    Args:
        model: `kerashub:` and what `keras_hub`'s `from_preset` takes, or the directory of a preset. A preset's `config.json` is a
            serialized Keras object, where that of a Hugging Face directory has a `model_type`.

    Example:
        >>> preset_of("kerashub:bert_tiny_en_uncased")
        'bert_tiny_en_uncased'
        >>> preset_of("owner/name") is None
        True
    """
    model = os.fspath(model)
    if model.startswith(PREFIX):
        return model.removeprefix(PREFIX)
    try:
        with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError):  # no directory, no such file, no JSON: for others to say what is wrong
        return None
    return model if isinstance(config, dict) and "registered_name" in config else None


def preset_file(preset: str, name: str) -> str | None:
    """The local path of a preset's file, fetched if need be; `None` if the preset has none of that name."""
    from keras_hub.src.utils.preset_utils import get_file  # no public function tells what a preset holds

    try:
        return get_file(preset, name)
    except FileNotFoundError:
        return None


def preset_json(preset: str, name: str) -> dict[str, Any] | None:
    """The JSON object in a preset's file; `None` if the preset has none of that name."""
    path = preset_file(preset, name)
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_details(preset: str) -> dict[str, Any]:
    """What `write_details` wrote; empty for a preset of another origin."""
    return (preset_json(preset, METADATA) or {}).get(OUR_KEY, {})


def write_details(directory: str | os.PathLike, details: dict[str, Any]) -> None:
    """Adds details to the `metadata.json` of a preset that `save_to_preset` has written."""
    path = os.path.join(directory, METADATA)
    with open(path, encoding="utf-8") as file:
        metadata = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**metadata, OUR_KEY: details}, file, indent=4)
