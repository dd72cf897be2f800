"""Moving averages of weights that are split over JAX's devices."""

from __future__ import annotations

import pytest
from jax_process import HERE, needs_jax, succeed


@needs_jax
@pytest.mark.slow
def test_averages_are_scored_and_training_does_not_notice():
    succeed(str(HERE / "averages_on_jax.py"), KERAS_BACKEND="jax")
