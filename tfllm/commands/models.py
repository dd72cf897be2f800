"""`tfllm models`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm models`."""

    format: str = option("text", "What to print.", choices=("text", "json"))


def run(config: Config) -> None:
    """Lists the families of the zoo: their heads, and the largest difference from transformers that was measured on random toys."""
    from tfllm import zoo
    from tfllm.commands.tables import print_table

    measured = json.loads((Path(zoo.__file__).parent / "parity.json").read_text(encoding="utf-8"))["families"]
    rows = [
        {"family": family.name, "heads": [head.kind for head in family.heads], "parity": measured.get(family.name, {})}
        for family in zoo.families()
    ]
    if config.format == "json":
        print(json.dumps(rows, indent=2))
        return
    print_table(
        ["family", "heads", "max difference"],
        [[row["family"], ", ".join(row["heads"]), _largest(row["parity"])] for row in rows],
    )


def _largest(differences: dict[str, float]) -> str:
    return f"{max(differences.values()):.0e}" if differences else "not measured"
