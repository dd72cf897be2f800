"""What a run was made with: versions and hardware, without anything that names the machine or its user."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("tensorflow", "keras", "tensorflow-text", "numpy", "scikit-learn", "scipy", "tokenizers", "safetensors")


def versions() -> dict[str, str]:
    """`{package: version}` of Python, of this package and of what its numbers depend on."""
    import keras

    import tfllm

    result = {"python": platform.python_version(), "tfllm": tfllm.__version__}
    for package in (*_PACKAGES, "jax") if keras.backend.backend() == "jax" else _PACKAGES:
        try:
            result[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            result[package] = "not installed"
    return result


def machine() -> dict:
    """Processor, cores, memory and accelerators."""
    import tensorflow as tf

    gpus = [
        tf.config.experimental.get_device_details(device).get("device_name", "GPU")
        for device in tf.config.list_physical_devices("GPU")
    ]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": gpus,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
