"""Finding a checkpoint: a Hugging Face directory and its `config.json`, or a GGUF file."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from tfllm.errors import CheckpointError

# What is fetched from a hub repository: weights as safetensors, and text. Never code.
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model", "README.md", "LICENSE*"]
_WITHOUT_SAFETENSORS = ["pytorch_model*.bin"]  # old repositories have these alone; their reader runs no code either
GGUF = ".gguf"
GENERATION_CONFIG = "generation_config.json"
_HANDLE = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?")


def resolve_directory(path_or_handle: str | os.PathLike) -> str:
    """A local directory (or GGUF file) as it is; a handle `owner/name` or `owner/name@revision` is fetched through huggingface_hub.

    Raises:
        CheckpointError: neither a directory nor a handle, or the hub could not be reached.
    """
    path = os.fspath(path_or_handle)
    if os.path.isdir(path) or (os.path.isfile(path) and path.endswith(GGUF)):
        return path
    if os.path.exists(path):
        raise CheckpointError(
            f"A checkpoint is a directory with config.json and *.safetensors, or a .gguf file. Received a file: {path}."
        )
    if not _HANDLE.fullmatch(path):
        raise CheckpointError(
            f"Expected a checkpoint directory or a hub handle such as 'owner/name'. Received: {path!r}, which is neither."
        )
    import huggingface_hub

    handle, _, revision = path.partition("@")
    try:
        directory = huggingface_hub.snapshot_download(handle, revision=revision or None, allow_patterns=_WANTED)
        if not any(name.endswith(".safetensors") for name in os.listdir(directory)):
            huggingface_hub.snapshot_download(handle, revision=revision or None, allow_patterns=_WITHOUT_SAFETENSORS)
        return directory
    except Exception as error:  # the hub's client raises many kinds: all mean that there is nothing to load
        raise CheckpointError(
            f"{path!r} is no directory here, and fetching it from the hub failed ({type(error).__name__}: {error}). "
            "Check the spelling and the network, or download it and give the directory."
        ) from error


def find_gguf(path: str) -> str | None:
    """A GGUF file as it is, and that of a directory with one and no weights in another format; else `None`.

    Raises:
        CheckpointError: there are several.
    """
    if not os.path.isdir(path):
        return path if path.endswith(GGUF) else None
    names = sorted(os.listdir(path))
    files = [name for name in names if name.endswith(GGUF)]
    if not files or any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names):
        return None
    if len(files) > 1:
        raise CheckpointError(f"{path}: expected one {GGUF} file. Found: {files[:8]}. Give the path of one of them.")
    return os.path.join(path, files[0])


def read_config(directory: str) -> dict[str, Any]:
    """The directory's `config.json`.

    Raises:
        CheckpointError: it is missing or no JSON object.
    """
    config = _read_object(os.path.join(directory, "config.json"))
    if config is None:
        raise CheckpointError(
            f"{directory}: expected a config.json there. Found: {sorted(os.listdir(directory))[:20]}."
        )
    return config


def read_generation_config(directory: str) -> dict[str, Any] | None:
    """The directory's `generation_config.json`; `None` where there is none.

    Raises:
        CheckpointError: it is no JSON object.
    """
    return _read_object(os.path.join(directory, GENERATION_CONFIG))


def _read_object(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: expected JSON. {error}.") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: expected a JSON object. Received: {type(config).__name__}.")
    return config
