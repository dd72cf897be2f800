"""Toy language models, a byte tokenizer, and a processor that says what it is told, for the tests of generation."""

from __future__ import annotations

import dataclasses
import json


def toy_config(**changes):
    from tfllm import TransformerConfig

    sizes = {"vocab_size": 31, "hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16}
    return TransformerConfig(
        **{
            **sizes,
            "causal": True,
            "lm_head_transform": False,
            "lm_head_bias": False,
            "max_positions": 64,
            "norm_placement": "pre",
            "final_norm": True,
            "embedding_norm": False,
            "initializer_range": 0.5,
            "pad_id": None,
            "bos_id": 1,
            "eos_id": 2,
            **changes,
        }
    )


def make_byte_tokenizer():
    """Ids 0 to 255 are the bytes, 256 is `<eos>`, 257 `<bos>`."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    from tfllm.text import from_files

    alphabet = _byte_characters()
    backend = tokenizers.Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<eos>", "<bos>"])
    config = {"eos_token": "<eos>", "bos_token": "<bos>"}
    return from_files(
        {"tokenizer.json": backend.to_str().encode(), "tokenizer_config.json": json.dumps(config).encode()}
    )


def _byte_characters() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary (GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


@dataclasses.dataclass(frozen=True)
class Script:
    """A processor under which the model says these tokens, whatever it thinks."""

    tokens: tuple[int, ...]

    def __call__(self, logits, view):
        import tensorflow as tf

        token = tf.gather(list(self.tokens), tf.minimum(view.step, len(self.tokens) - 1))
        return tf.where(tf.range(logits.shape[-1]) == token, logits, float("-inf"))


def says(text: str) -> Script:
    return Script((*text.encode(), 256))
