"""Decoding: the compiled loop, samplers, penalties and constraints, beam search, streaming, chat, and scores of given texts.

`generate(model, texts, **options)` is all that most need; `Generator` keeps compilations and streams. Importing this package is cheap:
each name is imported when it is first used.
"""

from __future__ import annotations

import importlib

_NAMES = {
    "ChatTemplate": "chat",
    "Generation": "results",
    "GenerationOptions": "options",
    "Generator": "generator",
    "Score": "scoring",
    "chat_prompt": "chat",
    "chat_template": "chat",
    "generate": "generator",
    "generator_of": "generator",
    "score": "scoring",
}

__all__ = list(_NAMES)


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(importlib.import_module(f"tfllm.generation.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'tfllm.generation' has no attribute {name!r}")
