"""What the golden tests and the live ones compare: outputs by transformers' names, and the bytes of tensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "decoder_input_ids", "decoder_attention_mask")


def to_our_batch(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Transformers' inputs as the batch contract's dictionary, whatever side the padding is on."""

    def side(ids: np.ndarray, mask: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
        mask = mask.astype("int32")
        return {
            f"{prefix}token_ids": ids.astype("int32"),
            f"{prefix}example_ids": mask,
            f"{prefix}position_ids": (np.maximum(np.cumsum(mask, axis=-1) - 1, 0) * mask).astype("int32"),
        }

    batch = side(inputs["input_ids"], inputs["attention_mask"])
    if "token_type_ids" in inputs:
        batch["type_ids"] = inputs["token_type_ids"].astype("int32")
    if "decoder_input_ids" in inputs:
        batch |= side(inputs["decoder_input_ids"], inputs["decoder_attention_mask"], "decoder_")
    return batch


def output_mask(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Where the outputs of a model with one output a token stand for real tokens."""
    return inputs["decoder_attention_mask" if "decoder_attention_mask" in inputs else "attention_mask"]


def our_outputs(model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `model` gives for transformers' inputs, by the name and in the shape that transformers gives it."""
    return by_their_names(model, np.asarray(model(to_our_batch(inputs), training=False)))


def by_their_names(model, result: np.ndarray) -> dict[str, np.ndarray]:
    """A model's output by the name and in the shape that transformers gives it."""
    kind = type(model).__name__
    if kind in ("Encoder", "Decoder", "EncoderDecoder"):
        return {"last_hidden_state": result}
    if kind == "SpanPredictor":
        return {"start_logits": result[..., 0], "end_logits": result[..., 1]}
    if kind == "SequenceClassifier":
        return {"logits": result[:, 0]}  # one example a row: (B, 1, C) -> (B, C)
    return {"logits": result}


def largest_difference(ours: np.ndarray, theirs: np.ndarray, mask: np.ndarray) -> float:
    """max |ours - theirs|, of the real tokens where the outputs are one a token."""
    if ours.shape != theirs.shape:
        raise AssertionError(f"expected shape {theirs.shape}. Received: {ours.shape}.")
    difference = np.abs(ours - theirs)
    if ours.shape[:2] == mask.shape:
        difference = difference[mask.astype(bool)]
    return float(difference.max())  # NaN if there is one


def pad_left(inputs: dict[str, np.ndarray], count: int = 3) -> dict[str, np.ndarray]:
    """The same examples with all padding on the left, `count` places more than needed."""

    def moved(name: str, mask: np.ndarray) -> np.ndarray:
        value, width = inputs[name], mask.shape[-1]
        result = np.zeros((*mask.shape[:-1], width + count), value.dtype)
        for row in np.ndindex(mask.shape[:-1]):
            real = value[row][mask[row].astype(bool)]
            result[row][len(result[row]) - len(real) :] = real
        return result

    masks = {name: "decoder_attention_mask" if name.startswith("decoder") else "attention_mask" for name in inputs}
    return {name: moved(name, inputs[masks[name]]) for name in _INPUTS if name in inputs}


def difference_by_left_padding(model, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> float:
    """max |outputs of real tokens, padded on the left - `outputs` of `our_outputs(model, inputs)`|."""
    moved = pad_left(inputs)
    differences = []
    for name, left in our_outputs(model, moved).items():
        right = outputs[name]
        if right.shape[:2] == output_mask(inputs).shape:
            right = right[output_mask(inputs).astype(bool)]
            left = left[output_mask(moved).astype(bool)]
        differences.append(np.abs(left - right).max())
    return float(np.max(differences))  # NaN if there is one


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
