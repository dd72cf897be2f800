"""Along which axis a weight is split: tensor parallelism as in Megatron-LM (Shoeybi et al., 2019)."""

from __future__ import annotations

import re

# A weight's path (its end), and the axes that it may be split along, in order of preference. The first product of a sublayer is split
# by its outputs and the second by its inputs, so that what lies between needs no exchange: heads, and features of the feed-forward layer.
_RULES = (
    (r"(?:cross_)?attention/(query|key|value|position_query|position_key)/(kernel|lora_b)", (-1,)),
    (r"(?:cross_)?attention/(query|key|value|position_query|position_key)/bias", (-1,)),
    (r"(?:cross_)?attention/output/(kernel|lora_a)", (0,)),
    (r"feed_forward/(up|gate)/(kernel|lora_b|bias)", (-1,)),
    (r"feed_forward/down/(kernel|lora_a)", (0,)),
    (r"experts/(gate|up)", (0, -1)),  # whole experts, if their number divides
    (r"experts/down", (0, 1)),
    # A table by its rows, so that logits are split by the vocabulary; by its columns where the rows do not divide.
    (r"(token|position|distance)/embeddings", (0, -1)),
    (r"lm_kernel", (0, -1)),
    (r"lm_bias", (0,)),
    (r"(transform|pooler)/(kernel|bias)", (-1,)),
)
_PATTERNS = tuple((re.compile(rf"(?:^|.*/){pattern}"), axes) for pattern, axes in _RULES)


def split_axis(path: str, shape: tuple[int, ...], parts: int) -> int | None:
    """The axis along which a weight is split into `parts`, or `None` where every device keeps all of it.

    Norms, biases of second products and small heads are kept whole, and so is what does not divide.

    Args:
        path: of the weight.
        shape: of the weight.
        parts: how many devices share it.

    Example:
        >>> split_axis("encoder/block_0/attention/query/kernel", (384, 384), 4)
        1
        >>> split_axis("encoder/block_0/feed_forward/down/kernel", (1536, 384), 4)
        0
        >>> split_axis("embedding/token/embeddings", (30522, 384), 4)     # 30522 does not divide
        1
        >>> split_axis("encoder/block_0/attention_norm/gamma", (384,), 4)
    """
    if parts == 1:
        return None
    for pattern, axes in _PATTERNS:
        if pattern.fullmatch(path):
            return next((axis % len(shape) for axis in axes if shape[axis] % parts == 0), None)
    return None
