"""The tokenizer within a GGUF file, as the files of a Hugging Face tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from tfllm.checkpoints import GGUFFile
from tfllm.errors import CheckpointError
from tfllm.text.files import CONFIG, TOKENIZER_JSON
from tfllm.text.loading import from_files
from tfllm.text.tokenizer import Tokenizer

_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6  # llama.cpp's types of tokens
_SPACE = "\u2581"  # stands for a space in a SentencePiece vocabulary
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SIGNS_AND_SPACES = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + _SIGNS_AND_SPACES
_QWEN2 = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + _SIGNS_AND_SPACES
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2, _DIGITS = "GPT-2's", "GPT-2's, digits one by one"
# llama.cpp's names of how a text is cut before the merges, to the expression that the pieces match.
_CUTS = {
    **dict.fromkeys(("default", "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion"), _GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "dbrx", "smaug-bpe"), _LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez"), _QWEN2),
    "tekken": _TEKKEN,
    "gpt-4o": _GPT4O,
}
# With these, a piece that is in the vocabulary is not merged from its parts, and texts begin with the token for it.
_WHOLE_PIECES = {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "tekken"}

_WITHOUT = "Give tokenizer=False to load the weights alone."


def has_tokenizer(file: GGUFFile) -> bool:
    """Whether a GGUF file has a tokenizer within it."""
    return file.metadata.get("tokenizer.ggml.model", "none") not in ("none", "no_vocab")


def read_gguf_tokenizer(file: GGUFFile) -> Tokenizer:
    """The tokenizer within a GGUF file. It is saved as a tokenizer.json.

    Raises:
        CheckpointError: there is none, or `tokenizer_files` cannot read it.

    Example:
        >>> read_gguf_tokenizer(GGUFFile("model.gguf")).encode("Hello")     # doctest: +SKIP
        [19556]
    """
    try:
        return from_files(tokenizer_files(file.metadata))
    except CheckpointError as error:
        raise CheckpointError(f"{file.path}: {error}") from error.__cause__


def tokenizer_files(metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """A tokenizer.json and a tokenizer_config.json (with the chat template) for the tokenizer that a GGUF file describes.

    Args:
        metadata: the file's metadata.

    Returns:
        The files' contents by name.

    Raises:
        CheckpointError: no tokenizer, a kind of it that is not known, or one that is not complete.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise CheckpointError(f"tokenizer.ggml.model: expected 'gpt2' or 'llama'. Received: {kind!r}. {_WITHOUT}")
    tokens = _list(metadata, "tokens", str)
    types = _list(metadata, "token_type", int, len(tokens))
    backend = _byte_level(metadata, tokens) if kind == "gpt2" else _sentencepiece(metadata, tokens, types)
    _add_tokens(backend, metadata, tokens, types)
    options = _options(metadata, tokens, kind)
    _add_template(backend, options)
    return {TOKENIZER_JSON: backend.to_str().encode(), CONFIG: json.dumps(options, indent=2).encode()}


def _list(metadata: Mapping[str, Any], key: str, kind: type, length: int | None = None) -> list:
    value = metadata.get(f"tokenizer.ggml.{key}")
    if not isinstance(value, list) or not value or not all(isinstance(item, kind) for item in value):
        raise CheckpointError(
            f"tokenizer.ggml.{key}: expected a list of {kind.__name__}. Received: {value!r:.80}. {_WITHOUT}"
        )
    if length not in (None, len(value)):
        raise CheckpointError(
            f"tokenizer.ggml.{key}: expected one for each of {length} tokens. Received: {len(value)}. {_WITHOUT}"
        )
    return value


def _byte_level(metadata: Mapping[str, Any], tokens: list[str]) -> tokenizers.Tokenizer:
    """Byte-level BPE, as GPT-2's."""
    name = metadata.get("tokenizer.ggml.pre", "default")
    if name not in _CUTS:
        raise CheckpointError(f"tokenizer.ggml.pre: expected one of {sorted(_CUTS)}. Received: {name!r}. {_WITHOUT}")
    merges = [tuple(merge.split(" ")) for merge in _list(metadata, "merges", str)]
    backend = _bpe(tokens, merges, ignore_merges=name in _WHOLE_PIECES)
    cut = _CUTS[name]
    if cut in (_GPT2, _DIGITS):
        steps = [pre_tokenizers.Digits(individual_digits=True)] if cut == _DIGITS else []
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False))
    else:
        steps = [
            pre_tokenizers.Split(Regex(cut), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    backend.decoder = decoders.ByteLevel()
    if cut == _QWEN2:
        backend.normalizer = normalizers.NFC()
    return backend


def _sentencepiece(metadata: Mapping[str, Any], tokens: list[str], types: list[int]) -> tokenizers.Tokenizer:
    """SentencePiece's BPE: the merges follow from the scores. What is not in the vocabulary is spelt in bytes."""
    scores = _list(metadata, "scores", float, len(tokens))
    unknown = metadata.get("tokenizer.ggml.unknown_token_id", types.index(_UNKNOWN) if _UNKNOWN in types else None)
    pieces = {
        token: score for token, score, kind in zip(tokens, scores, types) if kind not in (_UNKNOWN, _CONTROL, _BYTE)
    }
    backend = _bpe(
        tokens,
        _merges(pieces),
        unk_token=_token(tokens, unknown, "unknown_token_id") if unknown is not None else None,
        fuse_unk=True,
        byte_fallback=True,
    )
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    spaces = normalizers.Replace(" ", _SPACE)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), spaces]) if prefix else spaces
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return backend


def _merges(pieces: Mapping[str, float]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece; those that make one of higher score come first."""
    pairs = [
        (score, piece[:i], piece[i:])
        for piece, score in pieces.items()
        for i in range(1, len(piece))
        if piece[:i] in pieces and piece[i:] in pieces
    ]
    pairs.sort(key=lambda pair: (pair[0], len(pair[1]), len(pair[2])), reverse=True)
    return [pair[1:] for pair in pairs]


def _bpe(tokens: list[str], merges: list[tuple[str, ...]], **options) -> tokenizers.Tokenizer:
    vocabulary = {token: i for i, token in enumerate(tokens)}
    try:
        return tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, **options))
    except Exception as error:  # the library raises errors of several kinds
        raise CheckpointError(
            f"tokenizer.ggml.merges: they do not belong to tokenizer.ggml.tokens ({error}). {_WITHOUT}"
        ) from None


def _add_tokens(
    backend: tokenizers.Tokenizer, metadata: Mapping[str, Any], tokens: list[str], types: list[int]
) -> None:
    """Control tokens and those that the user defined are looked for in the raw text, as in llama.cpp."""
    # Those of Phi-3 take the space after them along, but for the ones of Llama 2, which it builds on.
    strips = metadata.get("general.architecture") == "phi3" and metadata["tokenizer.ggml.model"] == "llama"
    plain = {"<unk>", "<s>", "<|endoftext|>"}
    special, defined = [], []
    for token, kind in zip(tokens, types):
        if kind in (_UNKNOWN, _CONTROL) and token:
            special.append(
                tokenizers.AddedToken(token, rstrip=strips and token not in plain, normalized=False, special=True)
            )
        elif kind == _USER_DEFINED and token:
            defined.append(tokenizers.AddedToken(token, normalized=False, special=False))
    backend.add_special_tokens(special)
    backend.add_tokens(defined)


def _options(metadata: Mapping[str, Any], tokens: list[str], kind: str) -> dict[str, Any]:
    begins = kind == "llama" or metadata.get("tokenizer.ggml.pre") in _WHOLE_PIECES
    options = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": bool(metadata.get("tokenizer.ggml.add_bos_token", begins)),
        "add_eos_token": bool(metadata.get("tokenizer.ggml.add_eos_token", False)),
    }
    for role, name in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        token_id = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if token_id is not None:
            options[f"{role}_token"] = _token(tokens, token_id, f"{name}_token_id")
    if "tokenizer.chat_template" in metadata:
        options["chat_template"] = metadata["tokenizer.chat_template"]
    return options


def _token(tokens: list[str], token_id: Any, key: str) -> str:
    if not isinstance(token_id, int) or not 0 <= token_id < len(tokens):
        raise CheckpointError(
            f"tokenizer.ggml.{key}: expected an id below {len(tokens)}. Received: {token_id!r}. {_WITHOUT}"
        )
    return tokens[token_id]


def _add_template(backend: tokenizers.Tokenizer, options: Mapping[str, Any]) -> None:
    bos, eos = (options.get(f"{role}_token") if options[f"add_{role}_token"] else None for role in ("bos", "eos"))
    text = [f"{bos}:0"] * (bos is not None), [f"{eos}:0"] * (eos is not None)
    special = [(token, backend.token_to_id(token)) for token in (bos, eos) if token is not None]
    if special:
        backend.post_processor = processors.TemplateProcessing(
            single=[*text[0], "$A:0", *text[1]],
            pair=[*text[0], "$A:0", *text[1], *text[0], "$B:0", *text[1]],
            special_tokens=list(dict.fromkeys(special)),
        )
