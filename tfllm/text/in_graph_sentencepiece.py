"""SentencePiece tokenizers as TensorFlow ops."""

from __future__ import annotations

import functools

import keras
import numpy as np
import sentencepiece
import tensorflow as tf

from tfllm.text.albert_text import AlbertText
from tfllm.text.in_graph import PYTHON_SPACE, InGraphTokenizer, refuse
from tfllm.text.int_map import NUM_CODEPOINTS, SequenceMap, character_changes
from tfllm.text.sentencepiece_model import model_proto
from tfllm.text.tokenizer import Tokenizer


@keras.saving.register_keras_serializable("tfllm")
class InGraphSentencePiece(InGraphTokenizer):
    """A SentencePiece tokenizer in the graph, ALBERT's with its treatment of the text. See `InGraphTokenizer`."""

    _space = PYTHON_SPACE

    def __init__(
        self, tokenizer: Tokenizer, max_length: int | None = None, pooled: str = "first", name: str | None = None
    ):
        super().__init__(tokenizer, max_length, pooled, name)
        import tensorflow_text

        unigram = model_proto(tokenizer.model).trainer_spec.model_type == 1
        refuse(
            tokenizer,
            [
                f"sentencepiece {sentencepiece.__version__} decides between segmentations of equal score otherwise "
                f"than the SentencePiece inside tensorflow-text; install sentencepiece<0.2.2"
            ]
            * (unigram and not ties_agree()),
        )
        self._sentencepiece = tensorflow_text.SentencepieceTokenizer(model=tokenizer.model, out_type=tf.int32)
        self._characters = None
        if tokenizer.prepare is not None:
            self._characters = _characters(tokenizer.prepare)
        self._piece_ids = tokenizer.piece_ids
        self._splits = SequenceMap(tokenizer.vocab_size, tokenizer.splits) if tokenizer.splits else None

    def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        if self.tokenizer.prepare is not None:
            texts = self._prepare(texts)
        pieces = self._sentencepiece.tokenize(texts)
        ids = pieces.with_flat_values(tf.gather(tf.constant(self._piece_ids), pieces.flat_values))
        return ids if self._splits is None else self._splits(ids)

    def _prepare(self, texts: tf.Tensor) -> tf.Tensor:
        """`AlbertText` of texts (P,)."""
        if self.tokenizer.prepare.remove_space:
            texts = tf.strings.regex_replace(texts, f"{PYTHON_SPACE}+", " ")
            texts = tf.strings.regex_replace(texts, "^ | $", "")
        texts = tf.strings.regex_replace(texts, "``|''", '"')
        characters = self._characters(tf.strings.unicode_decode(texts, "UTF-8", errors="replace"))
        return tf.strings.unicode_encode(characters, "UTF-8")


@functools.cache
def _characters(prepare: AlbertText) -> SequenceMap:
    return SequenceMap(NUM_CODEPOINTS, character_changes(prepare.map_character))


@functools.cache
def ties_agree() -> bool:
    """Whether the `sentencepiece` library and tensorflow-text choose alike between segmentations of the same score.

    From 0.2.2 on, the library compares sums of scores in float32, where it compared in float64 before and where
    tensorflow-text still does. They part ways only if two sums are equal but for rounding, as with `..` + `.` and `.` +
    `..`.
    """
    import tensorflow_text

    proto = model_proto(b"")
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = False
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.vocab_size = 60
    proto.pieces.add(piece="<unk>", type=2)
    rng = np.random.default_rng(0)
    for piece in [c * n for c in "abcdefghij" for n in (1, 2, 3)]:
        proto.pieces.add(piece=piece, score=-float(rng.uniform(1, 2) + 3 * len(piece)))
    model = proto.SerializeToString()
    texts = ["".join(c * int(rng.integers(1, 8)) for c in rng.permutation(list("abcdefghij"))) for _ in range(50)]
    here = sentencepiece.SentencePieceProcessor(model_proto=model).encode(texts)
    return here == tensorflow_text.SentencepieceTokenizer(model=model).tokenize(texts).to_list()
