"""Optimizers: Keras' own with correct clipping, layer-wise learning rates, compiled updates, and the train step that goes with them."""

from tfllm.training.optimizers.factory import OPTIMIZERS, SGD, Adafactor, AdamW, Lion, optimizer
from tfllm.training.optimizers.layer_scales import layer_scales
from tfllm.training.optimizers.muon import Muon

__all__ = ["OPTIMIZERS", "SGD", "Adafactor", "AdamW", "Lion", "Muon", "layer_scales", "optimizer"]
