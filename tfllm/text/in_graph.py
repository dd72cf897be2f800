"""Tokenizers as Keras layers, for use inside a TensorFlow graph (tf.data, a SavedModel)."""

from __future__ import annotations

import abc
import base64
import re
import zlib
from collections.abc import Mapping

import keras
import tensorflow as tf

from tfllm.errors import UserError
from tfllm.text.loading import from_files
from tfllm.text.special_tokens import Token
from tfllm.text.template import Layout, longest_first
from tfllm.text.tokenizer import Tokenizer

# White space as RE2 must be told it: Unicode's White_Space, and with it what Python's `str.strip` takes away besides.
UNICODE_SPACE = r"[\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"
PYTHON_SPACE = r"[\t-\r\x{1C}-\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"


def in_graph_tokenizer(
    tokenizer: Tokenizer, max_length: int | None = None, pooled: str = "first", name: str | None = None
) -> InGraphTokenizer:
    """A Keras layer that gives the same ids as `tokenizer`, made of TensorFlow ops.

    Args:
        tokenizer: a WordPiece or SentencePiece tokenizer of `tfllm.text.load`.
        max_length: `T`; `None` for ragged ids. See `InGraphTokenizer`.
        pooled: which token `head_positions` names, "first" or "last".
        name: of the layer.

    Returns:
        An `InGraphTokenizer`.

    Raises:
        UserError: the tokenizer cannot be made in the graph; the message lists why.

    Example:
        >>> layer = in_graph_tokenizer(tfllm.text.load("path/to/bert"), max_length=8)
        >>> layer(tf.constant(["Hello there"]))["token_ids"].numpy().tolist()
        [[101, 7592, 2045, 102, 0, 0, 0, 0]]
    """
    from tfllm.text.fast import FastTokenizer
    from tfllm.text.in_graph_sentencepiece import InGraphSentencePiece
    from tfllm.text.in_graph_wordpiece import InGraphWordPiece

    layer = InGraphWordPiece if isinstance(tokenizer, FastTokenizer) else InGraphSentencePiece
    return layer(tokenizer, max_length=max_length, pooled=pooled, name=name)


class InGraphTokenizer(keras.layers.Layer, abc.ABC):
    """Texts to token ids inside a TensorFlow graph.

    Call it with a string tensor (N,), or with a pair of such tensors.

    Args:
        tokenizer: whose ids the layer gives, id for id.
        max_length: `T`. Longer inputs are cut as `Tokenizer.encode_batch` does it (a graph cannot count them: choose
            `T` with the tokenizer outside). `None`: nothing is cut, and the ids are ragged.
        pooled: "first" or "last": which token of an input `head_positions` names.
        name: of the layer.

    Returns:
        With `max_length`: the batch contract's dictionary of int32 tensors: `token_ids`, `example_ids`, `position_ids`
        and (if the tokenizer has them) `type_ids`, each (N, T), and `head_positions` (N, 1). Without: a ragged int32
        tensor (N, None).

    Raises:
        UserError: the tokenizer cannot be made in the graph.
    """

    def __init__(
        self, tokenizer: Tokenizer, max_length: int | None = None, pooled: str = "first", name: str | None = None
    ):
        super().__init__(name=name, trainable=False)
        self._convert_input_args = False  # strings are no tensors of the other backends
        self._allow_non_tensor_positional_args = True
        if pooled not in ("first", "last"):
            raise UserError(f'pooled must be "first" or "last". Received: pooled={pooled!r}')
        if max_length is not None:
            tokenizer.room(max_length, tokenizer.template.single.num_specials)
        self.tokenizer, self.max_length, self.pooled = tokenizer, max_length, pooled

    @abc.abstractmethod
    def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids (P, None) int32 of texts (P,) in which no added token is."""

    _space: str  # the white space that belongs to added tokens with lstrip or rstrip

    def call(self, inputs):
        texts = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if len(texts) > 2:
            raise UserError(f"expected a string tensor or a pair of them. Received: {len(texts)}")
        layout = self.tokenizer.template.single if len(texts) == 1 else self.tokenizer.template.pair
        rows = [self._encode(tf.convert_to_tensor(text)) for text in texts]
        if self.max_length is None:
            return self._assemble(rows, layout.specials)
        room = tf.constant(self.tokenizer.room(self.max_length, layout.num_specials), tf.int64)
        lengths = [row.row_lengths() for row in rows]
        keep = [tf.minimum(lengths[0], room)] if len(rows) == 1 else longest_first(*lengths, room, xp=tf)
        return self._batch([self._cut(row, k) for row, k in zip(rows, keep)], layout)

    def compute_output_spec(self, inputs):
        first = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        n = first.shape[0]
        if self.max_length is None:
            return keras.KerasTensor((n, None), dtype="int32", ragged=True)
        shapes = dict.fromkeys(["token_ids", "example_ids", "position_ids"], (n, self.max_length))
        if self.tokenizer.has_type_ids:
            shapes["type_ids"] = (n, self.max_length)
        shapes["head_positions"] = (n, 1)
        return {key: keras.KerasTensor(shape, dtype="int32") for key, shape in shapes.items()}

    def get_config(self) -> dict:
        # The files themselves, so that a saved model needs nothing else.
        files = {name: base64.b64encode(zlib.compress(data, 9)).decode() for name, data in self.tokenizer.files.items()}
        return {"files": files, "max_length": self.max_length, "pooled": self.pooled, "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> InGraphTokenizer:
        config = dict(config)
        files = {name: zlib.decompress(base64.b64decode(data)) for name, data in config.pop("files").items()}
        return cls(from_files(files), **config)

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids (N, None) of texts (N,), added tokens found, without the template's special tokens."""
        tokens = self.tokenizer.added_tokens
        if not tokens:
            return self._tokenize(texts)
        # A byte that is in no UTF-8 text is set around each token, and the text is split there. (tensorflow-text's
        # regex_split would take a NUL for the end of the text.)
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        marked = tf.strings.regex_replace(texts, f"({added_token_pattern(tokens, self._space)})", b"\xff\\1\xff")
        parts = tf.strings.split(marked, b"\xff")
        flat = parts.flat_values
        content = tf.strings.regex_replace(flat, f"^{self._space}+|{self._space}+$", "")
        found = tf.fill(tf.shape(flat), -1)
        for token, token_id in tokens.items():
            found = tf.where(content == token.content, token_id, found)
        is_token = found >= 0
        ids = self._tokenize(tf.where(is_token, "", flat))
        token_rows = tf.RaggedTensor.from_row_lengths(tf.boolean_mask(found, is_token), tf.cast(is_token, tf.int64))
        merged = tf.concat([token_rows, ids.with_row_splits_dtype(tf.int64)], axis=1)  # one of the two is empty
        splits = tf.gather(merged.row_splits, tf.cast(parts.row_splits, tf.int64))
        return tf.RaggedTensor.from_row_splits(merged.flat_values, splits, validate=False)

    def _cut(self, rows: tf.RaggedTensor, keep: tf.Tensor) -> tf.RaggedTensor:
        lengths = rows.row_lengths()
        position = tf.ragged.range(lengths).flat_values
        if self.tokenizer.truncation_side == "left":
            kept = position >= tf.repeat(lengths - keep, lengths)
        else:
            kept = position < tf.repeat(keep, lengths)
        return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(rows.flat_values, kept), keep, validate=False)

    def _assemble(self, rows: list[tf.RaggedTensor], specials: tuple[tuple[int, ...], ...]) -> tf.RaggedTensor:
        n = rows[0].nrows()
        groups = [tf.tile(tf.constant([group], tf.int32, (1, len(group))), [n, 1]) for group in specials]
        parts = [groups[0]]
        for row, group in zip(rows, groups[1:]):
            parts += [row, group]
        return tf.concat(parts, axis=1)

    def _batch(self, rows: list[tf.RaggedTensor], layout: Layout) -> dict[str, tf.Tensor]:
        def dense(ragged, default=0):
            return ragged.to_tensor(default_value=default, shape=(None, self.max_length))

        ids = self._assemble(rows, layout.specials)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        example_ids = tf.sequence_mask(lengths, self.max_length, tf.int32)
        batch = {
            "token_ids": dense(ids, self.tokenizer.pad_id),
            "example_ids": example_ids,
            "position_ids": tf.range(self.max_length) * example_ids,
        }
        if self.tokenizer.has_type_ids:
            types = [
                row.with_flat_values(tf.fill(tf.shape(row.flat_values), t)) for row, t in zip(rows, layout.text_types)
            ]
            batch["type_ids"] = dense(self._assemble(types, layout.special_types))
        last = tf.maximum(lengths - 1, 0)
        batch["head_positions"] = (last if self.pooled == "last" else tf.zeros_like(last))[:, tf.newaxis]
        return batch


def added_token_pattern(tokens: Mapping[Token, int], space: str) -> str:
    """An RE2 pattern that finds added tokens, the longest first, with the white space that belongs to them."""
    longest = sorted(tokens, key=lambda token: len(token.content), reverse=True)
    return "|".join(f"{space}*" * t.lstrip + re.escape(t.content) + f"{space}*" * t.rstrip for t in longest)


def refuse(tokenizer: Tokenizer, reasons: list[str]) -> None:
    """Raises one error with all the reasons why a tokenizer cannot be made in the graph, if there are any."""
    if reasons:
        raise UserError(
            f"{tokenizer!r} has no equal inside a TensorFlow graph: {'; '.join(reasons)}. Tokenize outside of the "
            f"graph with it, which gives the same batches."
        )
