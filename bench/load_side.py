"""One side of load.py: loads a checkpoint again and again, with tfllm or with transformers. Speaks the protocol of serving.py.

Memory is counted from the libraries' bare import on: resident pages, of mapped files too, at their peak.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path

from serving import serve


def resident(peak: bool = False) -> float:
    """Resident memory in MB, now or at its peak since `forget_peak`."""
    key = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def tfllm_loader(directory: str) -> Callable:
    import keras

    from tfllm.zoo.loading import load  # brings TensorFlow

    keras.Variable(keras.ops.zeros(1))  # TensorFlow starts its threads and devices
    return lambda: load(directory, tokenizer=False)


def transformers_loader(directory: str, own_memory: bool) -> Callable:
    """As it comes (the weights stay pages of the mapped file), or with weights in memory of their own, as training makes them."""
    import transformers

    architecture = json.loads((Path(directory) / "config.json").read_text())["architectures"][0]
    model_class = getattr(transformers, architecture)

    def load():
        model = model_class.from_pretrained(directory)
        if own_memory:
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.data = tensor.data.clone()
        return model

    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("library", choices=("tfllm", "transformers", "transformers-own"))
    parser.add_argument("--checkpoint", required=True)
    flags = parser.parse_args()

    start = time.perf_counter()
    if flags.library == "tfllm":
        load = tfllm_loader(flags.checkpoint)
    else:
        load = transformers_loader(flags.checkpoint, own_memory=flags.library == "transformers-own")
    imported = time.perf_counter() - start
    before = resident()
    forget_peak()
    start = time.perf_counter()
    held = [load()]
    first, peak = time.perf_counter() - start, resident(peak=True) - before

    def drop(_: int = 0) -> dict:
        held.clear()
        gc.collect()
        return {}

    def steps(count: int) -> dict:
        start = time.process_time()
        for _ in range(count):
            held[:] = [load()]
        return {"cpu": (time.process_time() - start) / count}

    drop()
    serve(steps, drop, import_seconds=imported, first_seconds=first, peak_mb=peak)


if __name__ == "__main__":
    main()
