"""Scores as JSON that every parser reads: a score that is not defined is `null`, as JSON has no NaN."""

from __future__ import annotations

import json
import math
from typing import Any


def finite(value: Any) -> Any:
    """The same value with `None` in place of NaN and infinity, however deep they are.

    Example:
        >>> finite({"pearson": float("nan"), "n": 2})
        {'pearson': None, 'n': 2}
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_scores(value: Any, indent: int | None = None) -> str:
    """`value` as JSON, by `finite`.

    Example:
        >>> json_scores([float("inf"), 0.5])
        '[null, 0.5]'
    """
    return json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
