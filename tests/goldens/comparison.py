"""What the golden tests and the live ones compare: outputs by transformers' names, and the bytes of tensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np


def to_our_batch(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`input_ids`, `attention_mask`, `token_type_ids` as the batch contract's dictionary (padding on the right)."""
    mask = inputs["attention_mask"].astype("int32")
    batch = {
        "token_ids": inputs["input_ids"].astype("int32"),
        "example_ids": mask,
        "position_ids": (np.maximum(np.cumsum(mask, axis=1) - 1, 0) * mask).astype("int32"),
    }
    if "token_type_ids" in inputs:
        batch["type_ids"] = inputs["token_type_ids"].astype("int32")
    return batch


def our_outputs(model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `model` gives for transformers' inputs, by the name and in the shape that transformers gives it."""
    result = np.asarray(model(to_our_batch(inputs), training=False))
    kind = type(model).__name__
    if kind in ("Encoder", "Decoder"):
        return {"last_hidden_state": result}
    if kind == "SpanPredictor":
        return {"start_logits": result[..., 0], "end_logits": result[..., 1]}
    if kind == "SequenceClassifier":
        return {"logits": result[:, 0]}  # one example a row: (B, 1, C) -> (B, C)
    # transformers calls the same logits prediction_logits in a model that also has a next-sentence head.
    return {"prediction_logits" if "prediction_logits" in inputs else "logits": result}


def largest_difference(ours: np.ndarray, theirs: np.ndarray, attention_mask: np.ndarray) -> float:
    """max |ours - theirs|, of the real tokens where the outputs are one a token."""
    if ours.shape != theirs.shape:
        raise AssertionError(f"expected shape {theirs.shape}. Received: {ours.shape}.")
    difference = np.abs(ours - theirs)
    if ours.shape[:2] == attention_mask.shape:
        difference = difference[attention_mask.astype(bool)]
    return float(difference.max())


def read_tensors(directory: Path) -> dict[str, tuple[str, list[int], bytes]]:
    """Name -> (dtype, shape, bytes) of every tensor in a directory's safetensors files, read without any library."""
    tensors = {}
    for file in directory.glob("*.safetensors"):
        content = file.read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            tensors[name] = (entry["dtype"], entry["shape"], data[begin:end])
    return tensors
