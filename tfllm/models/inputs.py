"""The batch contract at a model's door: a dictionary of int32 tensors, with what may be left out filled in."""

from __future__ import annotations

from keras import ops

from tfllm.config import TransformerConfig
from tfllm.errors import UserError

KEYS = ("token_ids", "example_ids", "position_ids", "type_ids", "head_positions", "embedding_noise")
DECODER_KEYS = ("decoder_token_ids", "decoder_example_ids", "decoder_position_ids")


def complete_batch(inputs, config: TransformerConfig) -> dict:
    """Fills in what a plain padded batch may leave out.

    Args:
        inputs: `token_ids` `(B, T)`, or a dictionary with it and any of
            `example_ids` `(B, T)` (default: 1 where the token is not the pad token; 1 everywhere if the config has no `pad_id`),
            `position_ids` `(B, T)` (default: counted over real tokens; must be given for packed rows),
            `type_ids` `(B, T)` (default 0; not used by a model without types),
            `head_positions` `(B, K)` (default: the first or last real token of each row, K = 1),
            `embedding_noise` `(B, T, embedding_size)` floating (default: none; added to the token embeddings of these tokens).

    Returns:
        The dictionary with `token_ids`, `example_ids`, `position_ids`, and `type_ids`, `head_positions`, `embedding_noise` or `None`
        for them.

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


def split_pair(inputs, config: TransformerConfig, *, cached: bool = False) -> tuple[dict | None, dict]:
    """The source's and the target's batch of an encoder-decoder.

    Args:
        inputs: a dictionary with the source under the keys of `complete_batch`, and the target under
            `decoder_token_ids` `(B, T')` (the target shifted right, as the decoder reads it),
            `decoder_example_ids` `(B, T')` (default 1: padding on the right changes no token before it) and
            `decoder_position_ids` `(B, T')` (default: counted over real tokens).
        config: the architecture.
        cached: there is no source: it is in a cache.

    Returns:
        `(source, target)`, both completed; with `cached`, `None` for the source, and the target's positions only if given.

    Raises:
        UserError: `decoder_token_ids` is missing, or a key is unknown.
    """
    batch = dict(inputs) if isinstance(inputs, dict) else {}
    if batch.get("decoder_token_ids") is None:
        raise UserError(
            f"An encoder-decoder takes a dictionary with 'decoder_token_ids' beside the source. Received keys: {sorted(batch)}."
        )
    target = {key.removeprefix("decoder_"): batch.pop(key) for key in DECODER_KEYS if batch.get(key) is not None}
    if "example_ids" not in target:
        target["example_ids"] = ops.ones_like(ops.cast(target["token_ids"], "int32"))
    if cached:
        return None, target
    return complete_batch(batch, config), complete_batch(target, config)


def default_head_positions(example_ids, pooled: str):
    """`(B, 1)` int32: place of the first or last real token of each row (the first for `"mean"`)."""
    real = ops.cast(ops.greater(example_ids, 0), "int32")
    if pooled == "mean":
        pooled = "first"  # any token of the example names it
    place = ops.arange(1, ops.shape(real)[1] + 1, dtype="int32")
    if pooled == "first":
        return ops.cast(ops.argmax(real, axis=1, keepdims=True), "int32")
    return ops.maximum(ops.max(real * place, axis=1, keepdims=True) - 1, 0)


def gather_tokens(hidden, positions):
    """Hidden states at some places of each row: `(B, T, D)` and `(B, K)` int to `(B, K, D)`."""
    batch, length, width = ops.shape(hidden)
    rows = ops.expand_dims(ops.arange(batch, dtype="int32") * length, -1)
    return ops.take(ops.reshape(hidden, (batch * length, width)), ops.cast(positions, "int32") + rows, axis=0)


def mean_of_examples(hidden, example_ids, positions):
    """The mean over the tokens of some examples of each row.

    Args:
        hidden: `(B, T, D)`.
        example_ids: `(B, T)` int.
        positions: `(B, K)` int, place of any token of each of the K examples.

    Returns:
        `(B, K, D)`.
    """
    wanted = ops.take_along_axis(example_ids, ops.cast(positions, "int32"), axis=1)  # (B, K)
    member = ops.equal(ops.expand_dims(wanted, -1), ops.expand_dims(example_ids, 1))
    member = ops.cast(member, hidden.dtype)  # (B, K, T)
    return ops.matmul(member, hidden) / ops.sum(member, axis=-1, keepdims=True)


def shift_right(token_ids, example_ids, position_ids, config: TransformerConfig):
    """What a decoder reads to predict `token_ids` `(B, T)`: each token's left neighbour.

    An example starts with `decoder_start_id`, or with its own last token where the config has none (mBART's language code).
    """
    shifted = ops.concatenate([token_ids[:, :1], token_ids[:, :-1]], axis=1)
    if config.decoder_start_id is not None:
        start = ops.full((), config.decoder_start_id, "int32")
    else:
        same = ops.equal(ops.expand_dims(example_ids, 1), ops.expand_dims(example_ids, 2))  # (B, T, T)
        place = ops.arange(ops.shape(token_ids)[1], dtype="int32")
        last = ops.max(ops.where(same, place, ops.zeros((), "int32")), axis=-1)  # place of each token's example's last
        start = ops.take_along_axis(token_ids, last, axis=1)
    return ops.where(ops.equal(position_ids, 0), start, shifted)
