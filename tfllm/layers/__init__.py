"""Parts of a transformer, tensors in and tensors out. Pure Keras: they run on any Keras backend."""

from tfllm.layers.attention import MultiHeadAttention
from tfllm.layers.dense import Dense
from tfllm.layers.disentangled_attention import DisentangledAttention
from tfllm.layers.embeddings import TokenEmbedding
from tfllm.layers.feed_forward import FeedForward
from tfllm.layers.masks import additive_mask, example_mask
from tfllm.layers.mixture_of_experts import MixtureOfExperts
from tfllm.layers.normalization import RMSNorm, make_norm
from tfllm.layers.positions import RelativePositionBias, alibi_bias, sinusoidal_table
from tfllm.layers.rotary import apply_rotary, rotary_table
from tfllm.layers.transformer_block import TransformerBlock
from tfllm.layers.transformer_stack import TransformerStack

__all__ = [
    "Dense",
    "DisentangledAttention",
    "FeedForward",
    "MixtureOfExperts",
    "MultiHeadAttention",
    "RMSNorm",
    "RelativePositionBias",
    "TokenEmbedding",
    "TransformerBlock",
    "TransformerStack",
    "additive_mask",
    "alibi_bias",
    "apply_rotary",
    "example_mask",
    "make_norm",
    "rotary_table",
    "sinusoidal_table",
]
