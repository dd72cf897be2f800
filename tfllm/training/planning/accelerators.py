"""The table of accelerators: memory, peak rate, price. The numbers are in `accelerators.json`; its prices are from memory."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import os
from pathlib import Path

from tfllm.errors import UserError


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """One device.

    Attributes:
        name: as flags have it.
        title: as people do.
        memory_bytes: of one device; for `cpu` that of this machine.
        peak_flops: FLOP/s of dense 16-bit matrix products; `None` where a table cannot know it.
        price: US dollars a device and hour; `None` where no price is known.
        price_page: where to look it up.
    """

    name: str
    title: str
    memory_bytes: float
    peak_flops: float | None
    price: float | None
    price_page: str | None


@functools.cache
def accelerators() -> dict[str, Accelerator]:
    """Every accelerator of the table by name."""
    text = Path(__file__).with_name("accelerators.json").read_text(encoding="utf-8")
    return {
        name: Accelerator(
            name,
            row["title"],
            row["memory_gb"] * 1e9 if row["memory_gb"] is not None else _memory_here(),
            row["peak_tflops"] * 1e12 if row["peak_tflops"] is not None else None,
            row["price"],
            row["price_page"],
        )
        for name, row in json.loads(text)["accelerators"].items()
    }


def get_accelerator(name: str) -> Accelerator:
    """The accelerator of that name.

    Raises:
        UserError: the table has none.

    Example:
        >>> get_accelerator("v5e").memory_bytes / 1e9
        16.0
    """
    known = accelerators()
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UserError(f"accelerator must be one of {', '.join(known)}.{hint} Received: accelerator={name!r}.")
    return known[name]


def _memory_here() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
