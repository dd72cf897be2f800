"""Layers assembled into keras Models: backbones, language models and task heads. Pure Keras."""

from tfllm.models.backbones import Decoder, Encoder
from tfllm.models.base import TransformerModel
from tfllm.models.language_models import CausalLM, MaskedLM
from tfllm.models.task_heads import SequenceClassifier, SpanPredictor, TokenClassifier

__all__ = [
    "CausalLM",
    "Decoder",
    "Encoder",
    "MaskedLM",
    "SequenceClassifier",
    "SpanPredictor",
    "TokenClassifier",
    "TransformerModel",
]
