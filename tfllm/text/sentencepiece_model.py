"""Tokenizers from a SentencePiece model, in the `sentencepiece` library."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import sentencepiece

from tfllm.errors import CheckpointError
from tfllm.text.albert_text import AlbertText
from tfllm.text.files import ADDED_TOKENS, CONFIG, MODEL_NAMES
from tfllm.text.special_tokens import Token, TokenizerConfig, read_config
from tfllm.text.template import Template
from tfllm.text.tokenizer import Tokenizer, flatten

_UNDERLINE = "\u2581"  # stands for a space in a piece


class SentencePieceTokenizer(Tokenizer):
    """A tokenizer that runs in the `sentencepiece` library.

    Special and added tokens are cut out of the raw text first; what is between them is prepared (ALBERT only) and
    encoded, each part by itself.

    Attributes:
        model: the serialized model.
        processor: the library's object for it.
        piece_ids: the vocabulary id of each of the model's pieces, int32.
        prepare: what is done to a text before, or `None`.
        splits: pieces that are replaced by others: id -> ids.
    """

    def __init__(
        self,
        model: bytes,
        processor: sentencepiece.SentencePieceProcessor,
        *,
        vocabulary: list[str | None],
        piece_ids: np.ndarray,
        added_tokens: Mapping[Token, int],
        prepare: AlbertText | None,
        splits: Mapping[int, tuple[int, ...]],
        config: TokenizerConfig,
        template: Template,
        files: Mapping[str, bytes],
    ):
        self.model, self.processor, self.piece_ids, self.prepare = model, processor, piece_ids, prepare
        self.splits = dict(splits)
        self._vocabulary = vocabulary
        self._ids = {token: i for i, token in reversed(list(enumerate(vocabulary))) if token is not None}
        self._pieces = {i: piece for piece, i in enumerate(piece_ids.tolist())}
        self._token_ids = {token.content: i for token, i in added_tokens.items()}
        self._special = {i for token, i in added_tokens.items() if token.special}
        self._pattern = re.compile(token_pattern(added_tokens)) if added_tokens else None
        self._split_lengths = np.ones(len(vocabulary), np.int64)
        for i, pieces in self.splits.items():
            self._split_lengths[i] = len(pieces)
        super().__init__(
            template=template,
            special_ids={role: self._ids.get(token.content) for role, token in config.roles.items()},
            has_type_ids=any(template.pair.text_types),
            vocab_size=len(vocabulary),
            added_tokens=added_tokens,
            files=files,
            truncation_side=config.truncation_side,
        )

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        parts: list[str | list[int]] = []
        for i in map(int, ids):
            if i in self._special or i not in self._pieces:
                if not (skip_special_tokens and i in self._special):
                    parts.append(self.id_to_token(i) or "")
            elif parts and isinstance(parts[-1], list):
                parts[-1].append(self._pieces[i])
            else:
                parts.append([self._pieces[i]])
        return " ".join(part if isinstance(part, str) else self.processor.decode(part) for part in parts)

    def id_to_token(self, token_id: int) -> str | None:
        return self._vocabulary[token_id] if 0 <= token_id < len(self._vocabulary) else None

    def token_to_id(self, token: str) -> int | None:
        return self._ids.get(token)

    def _encode_texts(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        # A text is one part, or several with the tokens that were found in it between them.
        parts: list[str] = []
        found: dict[int, list[int]] = {}  # text -> the ids between its parts
        for i, text in enumerate(texts):
            if self._pattern is not None and self._pattern.search(text):
                pieces = self._pattern.split(text)  # parts and matches, by turns
                parts += pieces[0::2]
                found[i] = [self._token_ids[match.strip()] for match in pieces[1::2]]
            else:
                parts.append(text)
        if self.prepare is not None:
            parts = [self.prepare(part) for part in parts]
        flat, lengths = flatten(self.processor.encode(parts, out_type=int, num_threads=-1))
        flat, lengths = self._split(self.piece_ids[flat], lengths)
        return (flat, lengths) if not found else _put_between(flat, lengths, found, len(texts))

    def _split(self, flat: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Replaces the pieces that have a replacement."""
        counts = self._split_lengths[flat]
        where = np.flatnonzero(counts != 1)
        if not len(where):
            return flat, lengths
        starts = np.cumsum(counts) - counts
        result = np.repeat(flat, counts)
        for i in where:
            result[starts[i] : starts[i] + counts[i]] = self.splits[int(flat[i])]
        rows = np.repeat(np.arange(len(lengths)), lengths)
        return result, np.bincount(rows, weights=counts, minlength=len(lengths)).astype(np.int64)

    def _identity(self) -> bytes:
        options = (
            self.added_tokens,
            self.prepare,
            sorted(self.splits.items()),
            self.piece_ids.tobytes(),
            len(self._vocabulary),
        )
        return self.model + repr(options).encode()


def token_pattern(tokens: Mapping[Token, int], space: str = r"\s") -> str:
    """A pattern with one group, which finds added tokens, the longest first, with the white space that is theirs."""
    longest_first = sorted(tokens, key=lambda token: len(token.content), reverse=True)
    alternatives = (f"{space}*" * t.lstrip + re.escape(t.content) + f"{space}*" * t.rstrip for t in longest_first)
    return f"({'|'.join(alternatives)})"


def _put_between(
    flat: np.ndarray, lengths: np.ndarray, found: Mapping[int, list[int]], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sets the ids of found tokens between the parts of their texts, and counts by text instead of by part."""
    ends = np.cumsum(lengths)
    result, totals, part = [], np.zeros(count, np.int64), 0
    for i in range(count):
        between = found.get(i, [])
        for k in range(len(between) + 1):
            ids = flat[ends[part] - lengths[part] : ends[part]]
            result.append(ids)
            totals[i] += len(ids)
            if k < len(between):
                result.append(np.asarray([between[k]], np.int32))
                totals[i] += 1
            part += 1
    return np.concatenate(result), totals


# Usual special tokens of the families that do not take the model's own.
_ALBERT = {
    **{"cls": "[CLS]", "sep": "[SEP]", "bos": "[CLS]", "eos": "[SEP]", "pad": "<pad>", "unk": "<unk>"},
    "mask": Token("[MASK]", lstrip=True),
}
_XLM_ROBERTA = {
    **{"cls": "<s>", "sep": "</s>", "bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "<unk>"},
    "mask": Token("<mask>", lstrip=True),
}
_FAMILIES = {"AlbertTokenizer", "LlamaTokenizer", "T5Tokenizer", "XLMRobertaTokenizer"}


def read_sentencepiece(files: Mapping[str, bytes]) -> SentencePieceTokenizer:
    """The tokenizer of a SentencePiece model.

    The family says how it is used, by tokenizer_class or else by the file's name and its pieces:

    - ALBERT: `[CLS] A [SEP] B [SEP]`, with its treatment of the text;
    - T5: `A </s> B </s>`, with its extra ids;
    - Llama: `<s> A`;
    - XLM-RoBERTa: `<s> A </s></s> B </s>`, ids as in fairseq.

    A model of no known family is used as it is, with the special tokens that the options add_bos_token and
    add_eos_token ask for.

    Raises:
        CheckpointError: the model is damaged, or of a family that uses it in another way.
    """
    config = read_config(files)
    name = _model_name(files)
    config.refuse_unless(_FAMILIES, name)
    processor = _processor(files[name], name)
    pieces: list[str | None] = processor.id_to_piece(list(range(processor.vocab_size())))
    family = config.family or _guess_family(name, processor, pieces)
    if family in ("LlamaTokenizer", "T5Tokenizer") and not config.option("legacy", True):
        raise CheckpointError(
            f"{CONFIG}: legacy false cannot be read from {name}. Expected a tokenizer.json beside it."
        )
    vocabulary, piece_ids = list(pieces), np.arange(len(pieces), dtype=np.int32)
    own = {"bos": processor.bos_id(), "eos": processor.eos_id(), "unk": processor.unk_id(), "pad": processor.pad_id()}
    roles: dict[str, Token | str] = {role: pieces[i] for role, i in own.items() if i >= 0}
    family_tokens, prepare, splits = [], None, {}
    if family == "AlbertTokenizer":
        roles = _ALBERT
        names = ("do_lower_case", "remove_space", "keep_accents")
        prepare = AlbertText(**{option: config.option(option, option != "keep_accents") for option in names})
        splits = _split_after_digits(processor, pieces)
    elif family == "XLMRobertaTokenizer":
        roles = _XLM_ROBERTA
        vocabulary, piece_ids = _fairseq_vocabulary(pieces, name)
    elif family == "T5Tokenizer":
        roles.pop("bos", None)  # it has none, whatever the model says
        sentinels = [f"<extra_id_{i}>" for i in reversed(range(config.option("extra_ids", 100, int)))]
        vocabulary += sentinels
        family_tokens = [(None, Token(sentinel, lstrip=True, rstrip=True)) for sentinel in sentinels]
    config = config.with_defaults(roles, vocabulary.__contains__)
    tokens = _add_tokens(vocabulary, config, family_tokens, normalizes=prepare is not None)
    token_ids = {token.content: i for token, i in tokens.items()}
    ids = {role: token_ids[token.content] for role, token in config.roles.items()}
    if family in ("AlbertTokenizer", "XLMRobertaTokenizer"):
        if not {"cls", "sep"} <= ids.keys():
            raise CheckpointError(
                f"{name}: expected a model with the pieces [CLS] and [SEP], as {family} has. Received: none."
            )
        template = (Template.bert if family == "AlbertTokenizer" else Template.roberta)(ids["cls"], ids["sep"])
    else:
        bos = config.option("add_bos_token", family == "LlamaTokenizer")
        eos = config.option("add_eos_token", family == "T5Tokenizer")
        template = Template.bos_eos(ids.get("bos") if bos else None, ids.get("eos") if eos else None)
    return SentencePieceTokenizer(
        files[name],
        processor,
        vocabulary=vocabulary,
        piece_ids=piece_ids,
        added_tokens=tokens,
        prepare=prepare,
        splits=splits,
        config=config,
        template=template,
        files=files,
    )


def _model_name(files: Mapping[str, bytes]) -> str:
    others = sorted(name for name in files if name.endswith(".model"))
    models = [name for name in MODEL_NAMES if name in files] or others
    if len(models) > 1 and models[0] not in MODEL_NAMES:
        raise CheckpointError(
            f"expected one SentencePiece model, or one named {MODEL_NAMES[0]}. Received: {', '.join(models)}."
        )
    return models[0]


def _processor(model: bytes, name: str) -> sentencepiece.SentencePieceProcessor:
    try:
        # A file that is cut between two fields loads without an error, but lacks the specifications that stand last.
        proto = model_proto(model)
        if not (proto.HasField("trainer_spec") and proto.HasField("normalizer_spec")):
            raise ValueError("it has no trainer_spec or no normalizer_spec")
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except Exception as error:  # protobuf and the library raise errors of many kinds
        raise CheckpointError(
            f"{name}: expected a SentencePiece model; the file is damaged or of another kind ({error})."
        ) from None


def model_proto(model: bytes):
    """The parsed model, a protocol buffer."""
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2.ModelProto.FromString(model)


def _guess_family(name: str, processor: sentencepiece.SentencePieceProcessor, pieces: Sequence[str]) -> str | None:
    if name in ("sentencepiece.bpe.model", "spm.model"):
        raise CheckpointError(
            f"{name}: several families have a file of this name and number its pieces in different ways. Expected "
            f"tokenizer_class in {CONFIG}: one of {', '.join(sorted(_FAMILIES))}."
        )
    if name == "spiece.model" and {"[CLS]", "[SEP]"} <= set(pieces):
        return "AlbertTokenizer"
    special_ids = (processor.pad_id(), processor.eos_id(), processor.unk_id(), processor.bos_id())
    if name == "spiece.model" and special_ids == (0, 1, 2, -1):
        return "T5Tokenizer"
    return "LlamaTokenizer" if name == "tokenizer.model" and processor.bos_id() >= 0 else None


def _split_after_digits(
    processor: sentencepiece.SentencePieceProcessor, pieces: Sequence[str]
) -> dict[int, tuple[int, ...]]:
    """ALBERT splits pieces such as `9,`: the comma stands alone, and what is before it is encoded anew."""
    splits = {}
    for i, piece in enumerate(pieces):
        if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
            parts = processor.encode(piece[:-1].replace(_UNDERLINE, ""), out_type=str)
            if piece[0] != _UNDERLINE and parts[0][0] == _UNDERLINE:
                parts = parts[1:] if len(parts[0]) == 1 else [parts[0][1:], *parts[1:]]
            splits[i] = tuple(processor.piece_to_id(part) for part in [*parts, ","])
    return splits


def _fairseq_vocabulary(pieces: Sequence[str], name: str) -> tuple[list[str | None], np.ndarray]:
    """XLM-RoBERTa's numbering: fairseq's four special tokens, the pieces after the model's own three, and the mask."""
    if list(pieces[:3]) != ["<unk>", "<s>", "</s>"]:
        raise CheckpointError(
            f"{name}: expected <unk>, <s>, </s> as the first pieces of XLM-RoBERTa. Received: {pieces[:3]}."
        )
    piece_ids = np.arange(1, len(pieces) + 1, dtype=np.int32)
    piece_ids[:3] = 3, 0, 2
    return ["<s>", "<pad>", "</s>", "<unk>", *pieces[3:], "<mask>"], piece_ids


def _add_tokens(
    vocabulary: list[str | None], config: TokenizerConfig, family_tokens: list[tuple[None, Token]], normalizes: bool
) -> dict[Token, int]:
    """The tokens to look for in a text with their ids; those that the vocabulary lacks are appended to it."""
    declared = config.tokens_to_add()
    with_id = [item for item in declared if item[0] is not None]
    tokens: dict[str, tuple[Token, int]] = {}
    ids = {token: i for i, token in reversed(list(enumerate(vocabulary)))}
    for token_id, token in [*with_id, *family_tokens, *declared]:
        if token.content in tokens or not token.content:
            continue
        if token.single_word or (token.normalized and normalizes) or token.content != token.content.strip():
            raise CheckpointError(
                f"the added token {token.content!r} has single_word, normalized or white space at its ends, which a "
                f"SentencePiece model cannot be read with. Expected a tokenizer.json."
            )
        if token.content not in ids:
            ids[token.content] = len(vocabulary)
            vocabulary.append(token.content)
        found = ids[token.content]
        if token_id not in (None, found):
            raise CheckpointError(
                f"{CONFIG} or {ADDED_TOKENS}: the token {token.content!r} is declared with id {token_id}, but the "
                f"model gives it {found}: the files are not of one tokenizer."
            )
        tokens[token.content] = token, found
    return dict(tokens.values())
