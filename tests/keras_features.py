"""What some of the supported versions of Keras do not have. (Python 3.10 has Keras 3.12 at the newest.)"""

from __future__ import annotations

import inspect

import keras
import pytest

NEEDS_MUON = pytest.mark.skipif(
    "rms_rate" not in inspect.signature(keras.optimizers.Muon.__init__).parameters, reason="Muon needs Keras 3.13"
)
NEEDS_QUANTIZED_KERNELS = pytest.mark.skipif(
    not hasattr(keras.quantizers, "Int4QuantizationConfig"), reason="quantized kernels need Keras 3.15"
)
NEEDS_DISTRIBUTION = pytest.mark.skipif(
    tuple(map(int, keras.__version__.split(".")[:2])) <= (3, 12),
    reason="Keras 3.12 makes no distribution on TensorFlow",
)
