"""Extra losses in training, which add up: `regularize(model, LabelSmoothing(0.1), RDrop(1.0))`."""

from tfllm.training.regularizers.distillation import Distillation
from tfllm.training.regularizers.fgm import FGM
from tfllm.training.regularizers.free_lb import FreeLB
from tfllm.training.regularizers.label_smoothing import LabelSmoothing
from tfllm.training.regularizers.r_drop import RDrop
from tfllm.training.regularizers.regularizer import Pass, Regularizer, regularize, regularized
from tfllm.training.regularizers.smart import SMART

__all__ = [
    "FGM",
    "SMART",
    "Distillation",
    "FreeLB",
    "LabelSmoothing",
    "Pass",
    "RDrop",
    "Regularizer",
    "regularize",
    "regularized",
]
