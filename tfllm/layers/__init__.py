"""Parts of a transformer, tensors in and tensors out. Pure Keras: they run on any Keras backend."""

from tfllm.layers.attention import MultiHeadAttention
from tfllm.layers.embeddings import TokenEmbedding
from tfllm.layers.feed_forward import FeedForward
from tfllm.layers.masks import additive_mask, example_mask
from tfllm.layers.normalization import RMSNorm, make_norm
from tfllm.layers.positions import apply_rotary, rotary_table, sinusoidal_table
from tfllm.layers.transformer_block import TransformerBlock

__all__ = [
    "FeedForward",
    "MultiHeadAttention",
    "RMSNorm",
    "TokenEmbedding",
    "TransformerBlock",
    "additive_mask",
    "apply_rotary",
    "example_mask",
    "make_norm",
    "rotary_table",
    "sinusoidal_table",
]
