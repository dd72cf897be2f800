"""Layers assembled into keras Models: backbones, language models and task heads. Pure Keras."""

from tfllm.models.backbones import Decoder, Encoder, backbone_class
from tfllm.models.base import TransformerModel
from tfllm.models.embedder import TextEmbedder
from tfllm.models.encoder_decoder import EncoderDecoder
from tfllm.models.language_models import CausalLM, MaskedLM, ReplacedTokenDetector, Seq2SeqLM
from tfllm.models.task_heads import MultipleChoice, SequenceClassifier, SpanPredictor, TokenClassifier

__all__ = [
    "CausalLM",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "MaskedLM",
    "MultipleChoice",
    "ReplacedTokenDetector",
    "Seq2SeqLM",
    "SequenceClassifier",
    "SpanPredictor",
    "TextEmbedder",
    "TokenClassifier",
    "TransformerModel",
    "backbone_class",
]
