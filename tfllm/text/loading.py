"""Finding a directory's tokenizer and reading it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tfllm.errors import CheckpointError
from tfllm.text import files as names
from tfllm.text.tokenizer import Tokenizer


def load(directory: str | os.PathLike) -> Tokenizer:
    """Loads the tokenizer of a Hugging Face directory, or that within a GGUF file.

    The first of these that is there is read, with the options and special tokens that tokenizer_config.json,
    special_tokens_map.json and added_tokens.json declare: tokenizer.json; vocab.txt (WordPiece); vocab.json with
    merges.txt (byte-level BPE); a SentencePiece model. No code of the directory is run.

    Args:
        directory: path of the directory, or of a GGUF file.

    Returns:
        A `Tokenizer`.

    Raises:
        CheckpointError: there is no tokenizer, a file of it is damaged, or it is of a kind that cannot be read.

    Example:
        >>> tokenizer = tfllm.text.load("path/to/bert")
        >>> tokenizer.decode(tokenizer.encode("Hello there"))
        'hello there'
    """
    if os.path.isfile(directory) and os.fspath(directory).endswith(".gguf"):
        from tfllm.checkpoints import GGUFFile
        from tfllm.text.gguf_tokenizer import read_gguf_tokenizer

        return read_gguf_tokenizer(GGUFFile(directory))
    files = names.read_files(directory)
    try:
        return from_files(files)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(directory)}: {error}") from error.__cause__


def from_files(files: Mapping[str, bytes]) -> Tokenizer:
    """The tokenizer of files that are already in memory, by name. See `load`."""
    if names.TOKENIZER_JSON in files:
        from tfllm.text.fast import read_tokenizer_json as read
    elif names.VOCAB_TXT in files:
        from tfllm.text.wordpiece import read_wordpiece as read
    elif names.VOCAB_JSON in files and names.MERGES_TXT in files:
        from tfllm.text.byte_level_bpe import read_byte_level_bpe as read
    elif any(name.endswith(".model") for name in files):
        from tfllm.text.sentencepiece_model import read_sentencepiece as read
    else:
        raise CheckpointError(
            f"no tokenizer. Expected one of: {names.LOOKED_FOR}. "
            f"Received: {', '.join(sorted(files)) or 'none of these files'}."
        )
    return read(files)
