"""Settings for the whole suite."""

from __future__ import annotations

import importlib.util
import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_configure(config):
    # PyTorch must come before TensorFlow: imported after it, transformers crashes the process.
    if "parity" in config.getoption("markexpr").replace("not parity", "") and importlib.util.find_spec("transformers"):
        import torch  # noqa: F401
        from transformers import BertModel  # noqa: F401


def pytest_sessionstart(session):
    # Two virtual devices, for the tests on two replicas; only before TensorFlow's first use can the device be split.
    import tensorflow as tf

    import tfllm  # noqa: F401  (sets TensorFlow's environment)

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def two_replicas():
    """One MirroredStrategy for all tests: a second one in the same process would crash TensorFlow's collectives."""
    from tfllm.training.strategies import strategy

    return strategy("mirrored")
