"""Layer-wise learning rates."""

from __future__ import annotations

import re

from tfllm.errors import UserError


def layer_scales(paths: list[str], decay: float | None) -> list[float]:
    """Learning-rate factor of each variable: `decay ** (layers above it)`.

    Layers are, from below: the embeddings, the blocks (`block_0`, `block_1` … in the path), everything else (norms after the
    last block, heads).

    Example:
        >>> layer_scales(["e/embedding/token", "e/block_0/k", "e/block_1/k", "c/classifier/kernel"], 0.5)
        [0.125, 0.25, 0.5, 1.0]
    """
    if decay is None:
        return [1.0] * len(paths)
    blocks = [re.search(r"(?:^|/)block_(\d+)/", path) for path in paths]
    if not any(blocks):
        raise UserError(
            "layer_decay needs a model whose variables say which layer they are of (block_0/, block_1/ ...), as tfllm's own do. "
            f"Received: variables such as {', '.join(paths[:3])}. Leave layer_decay out."
        )
    top = max((int(match.group(1)) for match in blocks if match), default=-1) + 2
    depth = [
        int(match.group(1)) + 1 if match else 0 if re.search(r"(?:^|/)embedding/", path) else top
        for match, path in zip(blocks, paths)
    ]
    return [decay ** (top - layer) for layer in depth]
