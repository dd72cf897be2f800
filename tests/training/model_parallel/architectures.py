"""Steps of several architectures on JAX, on one device and split over meshes: what test_architectures.py starts as a process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

SMALL = {"vocab_size": 96, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 64}
DECODER = {
    "causal": True,
    "gated": True,
    "norm": "rms",
    "norm_placement": "pre",
    "position": "rotary",
    "activation": "silu",
    "num_kv_heads": 2,
    "tie_embeddings": False,
    "lm_head_transform": False,
    "lm_head_bias": False,
}
EXPERTS = {"num_experts": 4, "experts_per_token": 2, "expert_intermediate_size": 16}
T5 = {
    "num_decoder_layers": 2,
    "relative_buckets": 8,
    "relative_max_distance": 16,
    "position": "none",
    "norm": "rms",
    "norm_placement": "pre",
    "lm_head_transform": False,
    "lm_head_bias": False,
}


def make(kind: str):
    from tfllm import TransformerConfig, models, training

    if kind in ("decoder", "experts"):
        return models.CausalLM(TransformerConfig(**SMALL, **DECODER, **(EXPERTS if kind == "experts" else {})))
    if kind == "encoder-decoder":
        return models.Seq2SeqLM(TransformerConfig(**SMALL, **T5))
    model = models.SequenceClassifier(TransformerConfig(**SMALL))
    if kind == "int8":
        training.quantize(model, "int8")
    return training.lora(model, 4, targets="block_")


# model: optimizer
KINDS = {"decoder": "sgd", "experts": "adafactor", "encoder-decoder": "lion", "lora": "adamw", "int8": "adamw"}


def batch(kind: str):
    draw = np.random.default_rng(0)
    token_ids = draw.integers(1, 96, (4, 24)).astype("int32")
    if kind in ("lora", "int8"):
        return {"token_ids": token_ids}, np.array([[0], [1], [1], [0]]), np.ones((4, 1), "float32")
    weights = (np.arange(24) < [[24], [20], [9], [3]]).astype("float32")
    inputs = {"token_ids": token_ids}
    if kind == "encoder-decoder":
        inputs["decoder_token_ids"] = token_ids
    return inputs, np.roll(token_ids, -1, axis=1), weights


def steps(kind: str, optimizer: str, distribution) -> tuple[dict, list[float], float]:
    """Weights, losses, and the share of the weights that a device holds."""
    import keras

    from tfllm import training
    from tfllm.training.model_parallel import bytes_per_device

    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    model = make(kind)
    model.compile(training.optimizer(optimizer, 1e-3, weight_decay=0.1), **model.compile_defaults())
    losses = [float(model.train_on_batch(*batch(kind))[0]) for _ in range(3)]
    whole = sum(int(np.prod(w.shape)) * np.dtype(w.dtype).itemsize for w in model.weights)
    weights = {path: keras.ops.convert_to_numpy(weight) for path, weight in model.named_weights().items()}
    return weights, losses, max(bytes_per_device(model.weights).values()) / whole


def log_probs(distribution) -> list[float]:
    import keras

    from tfllm.tasks.token_likelihoods import Request, answer

    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    answers = answer(make("decoder"), [Request((5, 6, 7), (1, 2), (7, 8)), Request((5, 9), (1,), (3,))])
    return [float(value) for one in answers for value in one.log_probs]


def main(out: Path) -> None:
    from tfllm.training.model_parallel import ModelParallel

    meshes, facts = {"one": None, "two by two": ModelParallel(2), "four": ModelParallel(4)}, {}
    for kind, optimizer in KINDS.items():
        one, expected, _ = steps(kind, optimizer, None)
        for mesh in list(meshes)[1:]:
            weights, losses, share = steps(kind, optimizer, meshes[mesh])
            worst = max(
                float(np.abs(weights[path].astype("float32") - one[path].astype("float32")).max())
                for path in one
                if not path.endswith("key/bias")
            )
            facts[f"{kind} {mesh}"] = {"weights": worst, "losses": [losses, expected], "share": share}
    facts["log_probs"] = [log_probs(meshes["one"]), log_probs(meshes["two by two"])]
    out.write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
