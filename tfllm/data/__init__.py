"""From a source to static-shape batches: source -> `Examples` -> tokens, cached on disk -> batches.

examples = tfllm.data.read_tsv("train.tsv", text="sentence", label="label")
tokens = tfllm.data.tokenize(examples, tokenizer, max_length=128)
batches = tfllm.data.Batches(tokens, batch_size=16, layout="packed", shuffle=True)
"""

from __future__ import annotations

import importlib

# Where each public name lives: importing this package imports none of it.
_NAMES = {
    "Batches": "tfllm.data.batches",
    "Columns": "tfllm.data.columns",
    "Examples": "tfllm.data.examples",
    "ReadReport": "tfllm.data.examples",
    "TokenizedExamples": "tfllm.data.tokenized",
    "from_memory": "tfllm.data.sources",
    "read_csv": "tfllm.data.sources",
    "read_jsonl": "tfllm.data.sources",
    "read_tfds": "tfllm.data.sources_tfds",
    "read_tsv": "tfllm.data.sources",
    "tokenize": "tfllm.data.tokenized",
}

__all__ = list(_NAMES)


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
