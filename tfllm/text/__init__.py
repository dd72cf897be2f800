"""Tokenizers: text to vocabulary ids and back.

`load(directory)` reads the tokenizer of a Hugging Face directory (tokenizer.json; vocab.txt; vocab.json + merges.txt; a
SentencePiece model). `in_graph_tokenizer(tokenizer)` makes a Keras layer that gives the same ids inside a TensorFlow
graph.
"""

from __future__ import annotations

from tfllm.text.loading import from_files, load
from tfllm.text.tokenizer import Encodings, Tokenizer

__all__ = ["Encodings", "Tokenizer", "from_files", "in_graph_tokenizer", "load"]


def __getattr__(name: str):
    if name == "in_graph_tokenizer":  # it needs TensorFlow: imported when it is first asked for
        from tfllm.text.in_graph import in_graph_tokenizer

        return in_graph_tokenizer
    raise AttributeError(f"module 'tfllm.text' has no attribute {name!r}")
