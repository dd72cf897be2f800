"""BERT's WordPiece tokenizer as TensorFlow ops."""

from __future__ import annotations

import functools
import json
import unicodedata
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from tokenizers import normalizers, pre_tokenizers

from tfllm.text.in_graph import UNICODE_SPACE, InGraphTokenizer, refuse
from tfllm.text.int_map import NUM_CODEPOINTS, PagedTable, SequenceMap, character_changes, character_classes
from tfllm.text.special_tokens import Token
from tfllm.text.tokenizer import Tokenizer

_SPACE, _ALONE = 1, 2  # classes of characters: white space, and what is a word by itself


@keras.saving.register_keras_serializable("tfllm")
class InGraphWordPiece(InGraphTokenizer):
    """A WordPiece tokenizer in the graph. See `InGraphTokenizer`.

    tensorflow-text's own BertTokenizer has other tables of accents, control characters, Chinese characters and
    punctuation than the `tokenizers` library, and another limit for long words. So what becomes of each character is
    read off that library when the layer is made, into tables; tensorflow-text splits the words into pieces.
    """

    _space = UNICODE_SPACE

    def __init__(
        self, tokenizer: Tokenizer, max_length: int | None = None, pooled: str = "first", name: str | None = None
    ):
        super().__init__(tokenizer, max_length, pooled, name)
        import tensorflow_text

        spec = json.loads(tokenizer.backend.to_str())
        model = spec["model"]
        refuse(tokenizer, _reasons(spec, tokenizer.added_tokens))
        normalizer = spec["normalizer"]
        strip = normalizer["lowercase"] if normalizer["strip_accents"] is None else normalizer["strip_accents"]
        self._normalize = _normalizer(normalizer["clean_text"], strip, normalizer["lowercase"])
        self._classes = _classes(normalizer["handle_chinese_chars"])
        self._max_chars = model["max_input_chars_per_word"]
        # Stands for a word that is too long: a character that no token has, hence an unknown word.
        used = set("".join(model["vocab"]))
        self._unknown = next(c for c in range(NUM_CODEPOINTS - 3, 0, -1) if chr(c) not in used)
        keys, values = list(model["vocab"]), list(model["vocab"].values())
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values, tf.string, tf.int64), -1)
        self._wordpiece = tensorflow_text.WordpieceTokenizer(
            table,
            suffix_indicator=model["continuing_subword_prefix"],
            max_bytes_per_word=4 * self._max_chars + 1,
            max_chars_per_token=max(map(len, keys)),
            token_out_type=tf.int64,
            unknown_token=model["unk_token"],
        )

    def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        characters = self._normalize(tf.strings.unicode_decode(texts, "UTF-8", errors="replace"))  # (P, None)
        flat = characters.flat_values
        kind = self._classes(flat)
        # A word begins at the start of a text, after white space, and before and after what stands alone.
        before = tf.concat([[_SPACE], kind[:-1]], axis=0)
        starts = characters.row_starts()
        at_start = tf.math.bincount(tf.cast(starts, tf.int32), minlength=tf.size(flat) + 1)[:-1] > 0
        is_word = kind != _SPACE
        begins = is_word & (at_start | (before != 0) | (kind == _ALONE))
        in_word = tf.boolean_mask(flat, is_word)
        word_starts = tf.where(tf.boolean_mask(begins, is_word))[:, 0]
        words = tf.RaggedTensor.from_row_starts(in_word, word_starts, validate=False)  # (W, None)
        too_long = words.row_lengths() > self._max_chars
        spelt = tf.where(too_long, chr(self._unknown), tf.strings.unicode_encode(words, "UTF-8"))
        ids = self._wordpiece.tokenize(spelt)  # (W, None)
        words_before = tf.concat([[0], tf.cumsum(tf.cast(begins, tf.int64))], axis=0)
        splits = tf.gather(ids.row_splits, tf.gather(words_before, characters.row_splits))
        return tf.RaggedTensor.from_row_splits(tf.cast(ids.flat_values, tf.int32), splits, validate=False)


class _Normalizer:
    """BERT's normalization of characters (P, None), without the spaces around Chinese ones: they stand alone anyway."""

    def __init__(self, clean_text: bool, strip_accents: bool, lowercase: bool):
        def changes(*steps: normalizers.Normalizer) -> SequenceMap:
            return SequenceMap(NUM_CODEPOINTS, character_changes(normalizers.Sequence(list(steps)).normalize_str))

        self._strips = strip_accents
        if not strip_accents:
            self._change = changes(normalizers.BertNormalizer(clean_text, False, False, lowercase))
            return
        # Marks are put into their canonical order when characters are decomposed, and most of them, not all, are then
        # removed: so the order must be made in between.
        self._decompose = changes(normalizers.BertNormalizer(clean_text, False, False, False), normalizers.NFD())
        self._change = changes(normalizers.BertNormalizer(False, False, True, lowercase))
        self._order = PagedTable(_combining_classes())

    def __call__(self, characters: tf.RaggedTensor) -> tf.RaggedTensor:
        return self._change(self._reorder(self._decompose(characters)) if self._strips else characters)

    def _reorder(self, characters: tf.RaggedTensor) -> tf.RaggedTensor:
        """Canonical order: marks between two characters of class 0 are sorted by their class, stably."""
        flat = characters.flat_values
        order = self._order(flat)
        rows = tf.cast(characters.value_rowids(), tf.int32)
        # A new run begins at each character of class 0, and in each text.
        runs = tf.cumsum(tf.cast(order == 0, tf.int32)) + rows
        out_of_order = (order[:-1] > order[1:]) & (order[1:] > 0) & (rows[:-1] == rows[1:])
        keys = tf.cast(runs, tf.int64) * 256 + tf.cast(order, tf.int64)
        flat = tf.cond(
            tf.reduce_any(out_of_order), lambda: tf.gather(flat, tf.argsort(keys, stable=True)), lambda: flat
        )
        return characters.with_flat_values(flat)


def _combining_classes() -> np.ndarray:
    """The combining class of each code point; 0 for those that the library's older tables do not know as marks."""
    decompose, last = normalizers.NFD().normalize_str, "\u0345"  # of class 240: every other mark is sorted before it
    classes = np.array([unicodedata.combining(chr(c)) for c in range(NUM_CODEPOINTS)])
    for c in np.flatnonzero(classes):
        if chr(c) != last and decompose(f"a{last}{chr(c)}") == f"a{last}{chr(c)}":
            classes[c] = 0
    return classes


# The tables of a normalizer are the same for all vocabularies: they are made once.
_normalizer = functools.cache(_Normalizer)


@functools.cache
def _classes(handle_chinese_chars: bool) -> PagedTable:
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    spaced = normalizers.BertNormalizer(False, handle_chinese_chars, False, False).normalize_str

    def kind(character: str) -> int:
        words = [word for word, _ in split(spaced(f"a{character}a"))]
        return 0 if len(words) == 1 else _SPACE if words == ["a", "a"] else _ALONE

    return PagedTable(character_classes(kind, lambda block: len(split(spaced(block))) == 1))


def _reasons(spec: dict, tokens: Mapping[Token, int]) -> list[str]:
    reasons = []
    kinds = {"model": "WordPiece", "normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer"}
    for part, expected in kinds.items():
        kind = (spec[part] or {}).get("type")
        if kind != expected:
            reasons.append(f"its {part} is {kind}, and only {expected} has been made")
    for token in tokens:
        for flag in ("single_word", "normalized"):
            if getattr(token, flag):
                reasons.append(f"its added token {token.content!r} has {flag}")
        if token.content != token.content.strip():
            reasons.append(f"its added token {token.content!r} has white space at its ends")
    return reasons
