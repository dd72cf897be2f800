"""A tokenizer's files: reading them from a directory and writing them back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from tfllm.errors import CheckpointError, UserError

TOKENIZER_JSON = "tokenizer.json"
VOCAB_TXT = "vocab.txt"
VOCAB_JSON, MERGES_TXT = "vocab.json", "merges.txt"
# Usual names of a SentencePiece model, best known first.
MODEL_NAMES = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "sentencepiece.model", "spm.model")
CONFIG, SPECIAL_TOKENS_MAP, ADDED_TOKENS = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
_NAMES = {
    TOKENIZER_JSON,
    VOCAB_TXT,
    VOCAB_JSON,
    MERGES_TXT,
    CONFIG,
    SPECIAL_TOKENS_MAP,
    ADDED_TOKENS,
    "chat_template.jinja",
}

LOOKED_FOR = f"{TOKENIZER_JSON}; {VOCAB_TXT}; {VOCAB_JSON} with {MERGES_TXT}; a SentencePiece model (*.model)"


def read_files(directory: str | os.PathLike) -> dict[str, bytes]:
    """The tokenizer files of a directory, by name. Only files of the directory itself are opened, whatever they say.

    Raises:
        CheckpointError: there is no such directory.
    """
    directory = os.fspath(directory)
    if not os.path.isdir(directory):
        found = "a file" if os.path.exists(directory) else "nothing there"
        raise CheckpointError(f"a tokenizer is loaded from a directory. Received: {directory!r} ({found})")
    names = sorted(name for name in os.listdir(directory) if os.path.isfile(os.path.join(directory, name)))
    wanted = [name for name in names if name in _NAMES or name in MODEL_NAMES]
    if not any(name in wanted for name in (TOKENIZER_JSON, VOCAB_TXT, VOCAB_JSON, *MODEL_NAMES)):
        wanted += [name for name in names if name.endswith(".model")]
    files = {}
    for name in wanted:
        with open(os.path.join(directory, name), "rb") as file:
            files[name] = file.read()
    return files


def write_files(files: Mapping[str, bytes], directory: str | os.PathLike, overwrite: bool = False) -> None:
    """Writes tokenizer files, each one atomically, and removes those of another tokenizer if `overwrite` is true."""
    directory = os.fspath(directory)
    os.makedirs(directory, exist_ok=True)
    there = read_files(directory)
    others = sorted(name for name in there if files.get(name) != there[name])
    if others and not overwrite:
        raise UserError(
            f"{directory!r} already has another tokenizer ({', '.join(others)}). Save to a new directory, or give "
            "overwrite=True."
        )
    for name, data in files.items():
        if there.get(name) == data:
            continue
        temporary = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, os.path.join(directory, name))
    for name in others:
        if name not in files:
            os.unlink(os.path.join(directory, name))


def decode_text(data: bytes, name: str) -> str:
    """The text of a UTF-8 file; a `CheckpointError` says where it is damaged."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{name}: expected UTF-8 text. Received: byte 0x{data[error.start]:02x} at {error.start}."
        ) from None


def decode_json(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """The JSON object of a file; empty if there is no such file."""
    if name not in files:
        return {}
    try:
        value = json.loads(decode_text(files[name], name))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{name}: expected JSON; the file is damaged or cut short ({error}).") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{name}: expected a JSON object. Received: a {type(value).__name__}.")
    return value
