"""Trains on Keras' JAX backend, on one device and on meshes of virtual ones: what test_model_parallel.py starts as a process.

KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=4 python on_jax.py PLAIN DROPOUT OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

RUNS = {
    # name: (checkpoint, (devices, tensor_parallel) or None, options of the optimizer, and remat)
    "one": ("plain", None, {}),
    "two": ("plain", (2, 2), {}),
    "four": ("plain", (4, 2), {}),
    "four-parts": ("plain", (4, 4), {"micro_batches": 2}),
    "one-sgd": ("dropout", None, {"name": "sgd"}),
    "four-sgd": ("dropout", (4, 2), {"name": "sgd", "remat": True}),
}
STEPS = 6


def train(checkpoint: Path, options: dict):
    """The model after some steps, and the steps' losses. Also for TensorFlow, whose run is compared."""
    import keras
    import toy_finetuning

    import tfllm

    keras.utils.set_random_seed(0)
    options = dict(options)
    model = tfllm.load(checkpoint, remat=options.pop("remat", False))
    task = toy_finetuning.sentiment_task()
    batches = task.pipeline("train", model.tokenizer, batch_size=16, seed=0, max_length=10, replicas=8, max_shapes=1)
    optimizer = tfllm.training.optimizer(
        learning_rate=1e-2, **{"total_steps": STEPS, "warmup": 0.0, "layer_decay": 0.9, **options}
    )
    model.compile(optimizer, **model.compile_defaults())
    losses = []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"])))
    model.fit(batches.dataset(0, STEPS), steps_per_epoch=STEPS, verbose=0, callbacks=[record])
    return model, task, losses


def weights_of(model) -> dict[str, np.ndarray]:
    import keras

    return {path: keras.ops.convert_to_numpy(weight) for path, weight in model.named_weights().items()}


def main() -> None:
    checkpoints = dict(zip(("plain", "dropout"), map(Path, sys.argv[1:3])))
    out = Path(sys.argv[3])
    import keras

    import tfllm
    from tfllm.training.model_parallel import ModelParallel, bytes_per_device

    facts = {}
    for name, (checkpoint, mesh, options) in RUNS.items():
        devices = keras.distribution.list_devices()
        distribution = mesh and ModelParallel(mesh[1], devices[: mesh[0]])
        keras.distribution.set_distribution(distribution)
        model, task, losses = train(checkpoints[checkpoint], options)
        np.savez(out / f"{name}.npz", **weights_of(model), logits=task.predict(model, "validation"))
        facts[name] = {
            "losses": losses,
            "model": bytes_per_device(model),
            "optimizer": bytes_per_device(model.optimizer),
            "whole": sum(int(np.prod(w.shape)) * 4 for w in model.weights),
            "logs": {key: float(value[-1]) for key, value in model.history.history.items()},
        }
        if name == "four":  # to be opened on TensorFlow
            tfllm.save(model, out / "four")
            model.save(out / "four.keras")
    # What TensorFlow has saved, opened split over devices and saved again.
    keras.distribution.set_distribution(ModelParallel(4))
    opened = {"directory": tfllm.load(checkpoints["plain"])}
    opened["keras"] = keras.saving.load_model(checkpoints["plain"].with_suffix(".keras"))
    for kind, model in opened.items():
        np.savez(out / f"opened-{kind}.npz", **weights_of(model))
        facts[f"opened-{kind}"] = bytes_per_device(model)
    tfllm.save(opened["directory"], out / "again")
    opened["keras"].save(out / "again.keras")
    (out / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
