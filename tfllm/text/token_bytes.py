"""The bytes that each token of a vocabulary stands for within a text."""

from __future__ import annotations

import functools
import json

from tfllm.errors import UserError
from tfllm.text.fast import FastTokenizer
from tfllm.text.sentencepiece_model import SentencePieceTokenizer
from tfllm.text.tokenizer import Tokenizer

_SPACE = "\u2581"  # stands for a space in a SentencePiece vocabulary


def token_bytes(tokenizer: Tokenizer) -> list[bytes | None]:
    """The bytes of each token, as they come out in the middle of a text.

    Byte-level BPE (GPT-2, Llama 3, Qwen) and SentencePiece vocabularies (Llama 2, T5, Gemma) are made of such tokens, `<0x0A>` and its
    like among them. Special tokens stand for no text.

    Args:
        tokenizer: any of `tfllm.text`.

    Returns:
        One entry for each id below `tokenizer.vocab_size`, `None` where a token has no text.

    Raises:
        UserError: tokens are not joined by their bytes alone (WordPiece).

    Example:
        >>> token_bytes(tfllm.text.load("path/to/gpt2"))[262]      # doctest: +SKIP
        b' the'
    """
    if isinstance(tokenizer, SentencePieceTokenizer):
        return _pieces(tokenizer)
    if isinstance(tokenizer, FastTokenizer):
        kinds = _decoders(json.loads(tokenizer.backend.to_str()).get("decoder"))
        if "ByteLevel" in kinds:
            return _of_ids(tokenizer, _byte_level)
        if "Metaspace" in kinds or {"Replace", "Fuse"} <= kinds:
            return _of_ids(tokenizer, functools.partial(_piece, fallback="ByteFallback" in kinds))
    raise UserError(
        "expected a tokenizer whose tokens stand for bytes: byte-level BPE or SentencePiece. "
        f"Received: a {type(tokenizer).__name__} of another kind, such as WordPiece."
    )


def _of_ids(tokenizer: FastTokenizer, to_bytes) -> list[bytes | None]:
    special = {i for token, i in tokenizer.added_tokens.items() if token.special}
    if tokenizer.unk_id is not None:
        special.add(tokenizer.unk_id)
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.vocab_size)]
    return [None if i in special or not token else to_bytes(token) for i, token in enumerate(tokens)]


def _pieces(tokenizer: SentencePieceTokenizer) -> list[bytes | None]:
    processor, result = tokenizer.processor, [None] * tokenizer.vocab_size
    special = {i for token, i in tokenizer.added_tokens.items() if token.special}
    for piece, i in enumerate(tokenizer.piece_ids.tolist()):
        wordless = processor.is_control(piece) or processor.is_unknown(piece) or processor.is_unused(piece)
        if i not in special and not wordless:
            result[i] = _piece(processor.id_to_piece(piece), fallback=processor.is_byte(piece)) or None
    return result


def _decoders(decoder: dict | None) -> set[str]:
    """The types of a tokenizer.json's decoder and of those within it."""
    if decoder is None:
        return set()
    return {decoder["type"]}.union(*map(_decoders, decoder.get("decoders", ())))


def _piece(token: str, fallback: bool) -> bytes:
    if fallback and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes.fromhex(token[3:5])
    return token.replace(_SPACE, " ").encode()


def _byte_level(token: str) -> bytes:
    table = _byte_of_character()
    # Added tokens are in the vocabulary as they are spelt: a character outside the table gives them away.
    return bytes(map(table.get, token)) if all(character in table for character in token) else token.encode()


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """GPT-2's table of a printable character for each byte, the other way round."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(256 + i): byte for i, byte in enumerate(others)}}
