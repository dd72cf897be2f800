"""The cache of a decoder: keys and values of the tokens so far, in place."""

from __future__ import annotations

from keras import ops

from tfllm.config import TransformerConfig
from tfllm.layers import example_mask
from tfllm.models.inputs import complete_batch


def empty(config: TransformerConfig, batch_size: int, length: int, dtype: str) -> dict:
    """A cache for `batch_size` rows of up to `length` tokens.

    Returns:
        `blocks`, one `(B, 2, Hkv, S, head_dim)` a layer; `example_ids` and `position_ids` `(B, S)` of the tokens in it;
        `length`, how many places are taken.
    """
    shape = (batch_size, 2, config.num_kv_heads, length, config.head_dim)
    return {
        "blocks": [ops.zeros(shape, dtype) for _ in range(config.num_layers)],
        "example_ids": ops.zeros((batch_size, length), "int32"),
        "position_ids": ops.zeros((batch_size, length), "int32"),
        "length": ops.zeros((), "int32"),
    }


def extend(cache: dict, inputs, config: TransformerConfig) -> tuple[dict, dict]:
    """Enters new tokens in a cache.

    Args:
        cache: changed in place; its tensors are not.
        inputs: a batch dictionary of T new tokens a row. Positions go on from those in the cache unless given.

    Returns:
        The completed batch, and the arguments of `TransformerStack.call` for it.
    """
    given = dict(inputs) if isinstance(inputs, dict) else {"token_ids": inputs}
    batch = complete_batch(given, config)
    start, total = cache["length"], ops.shape(cache["example_ids"])[1]
    if given.get("position_ids") is None:
        seen = ops.sum(ops.cast(ops.greater(cache["example_ids"], 0), "int32"), axis=1, keepdims=True)
        batch["position_ids"] = batch["position_ids"] + seen
    for key in ("example_ids", "position_ids"):
        cache[key] = ops.slice_update(cache[key], (0, start), batch[key])
    length = ops.shape(batch["token_ids"])[1]
    mask = example_mask(
        batch["example_ids"],
        cache["example_ids"],
        query_positions=ops.expand_dims(start + ops.arange(length), 0),
        key_positions=ops.expand_dims(ops.arange(total), 0),
    )
    cache["length"] = start + length
    return batch, {
        "query_positions": batch["position_ids"],
        "key_positions": cache["position_ids"],
        "allowed": mask,
        "cache_index": start,
    }
