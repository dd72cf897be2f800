"""The batch contract at a model's door: a dictionary of int32 tensors, with what may be left out filled in."""

from __future__ import annotations

from keras import ops

from tfllm.config import TransformerConfig
from tfllm.errors import UserError

KEYS = ("token_ids", "example_ids", "position_ids", "type_ids", "head_positions")


def complete_batch(inputs, config: TransformerConfig) -> dict:
    """Fills in what a plain padded batch may leave out.

    Args:
        inputs: `token_ids` `(B, T)`, or a dictionary with it and any of
            `example_ids` `(B, T)` (default: 1 where the token is not the pad token; 1 everywhere if the config has no `pad_id`),
            `position_ids` `(B, T)` (default: counted over real tokens; must be given for packed rows),
            `type_ids` `(B, T)` (default 0; not used by a model without types),
            `head_positions` `(B, K)` (default: the first or last real token of each row, K = 1).

    Returns:
        The dictionary with `token_ids`, `example_ids`, `position_ids`, and `type_ids`, `head_positions` or `None` for them.

    Raises:
        UserError: `token_ids` is missing or a key is unknown.
    """
    batch = dict(inputs) if isinstance(inputs, dict) else {"token_ids": inputs}
    unknown = sorted(set(batch) - set(KEYS))
    if unknown or "token_ids" not in batch:
        raise UserError(
            f"A model takes a dictionary with 'token_ids' and any of {KEYS[1:]}. Received keys: {sorted(batch)}."
        )
    tokens = batch["token_ids"] = ops.cast(batch["token_ids"], "int32")
    if batch.get("example_ids") is None:
        batch["example_ids"] = (
            ops.ones_like(tokens) if config.pad_id is None else ops.cast(ops.not_equal(tokens, config.pad_id), "int32")
        )
    if batch.get("position_ids") is None:
        real = ops.cast(ops.greater(batch["example_ids"], 0), "int32")
        batch["position_ids"] = ops.maximum(ops.cumsum(real, axis=1) - 1, 0)
    return {key: batch.get(key) for key in KEYS}


def default_head_positions(example_ids, pooled: str):
    """`(B, 1)` int32: place of the first or last real token of each row."""
    real = ops.cast(ops.greater(example_ids, 0), "int32")
    place = ops.arange(1, ops.shape(real)[1] + 1, dtype="int32")
    if pooled == "first":
        return ops.cast(ops.argmax(real, axis=1, keepdims=True), "int32")
    return ops.maximum(ops.max(real * place, axis=1, keepdims=True) - 1, 0)


def gather_tokens(hidden, positions):
    """Hidden states at some places of each row: `(B, T, D)` and `(B, K)` int to `(B, K, D)`."""
    batch, length, width = ops.shape(hidden)
    rows = ops.expand_dims(ops.arange(batch, dtype="int32") * length, -1)
    return ops.take(ops.reshape(hidden, (batch * length, width)), ops.cast(positions, "int32") + rows, axis=0)
