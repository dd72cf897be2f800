"""`tfllm models`."""

from __future__ import annotations

import dataclasses
import json

from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm models`."""

    format: str = option("text", "What to print.", choices=("text", "json"))


def run(config: Config) -> None:
    """Lists the families of the zoo."""
    from tfllm import zoo
    from tfllm.commands.tables import print_table

    families = {family.name: [head.kind for head in family.heads] for family in zoo.families()}
    if config.format == "json":
        print(json.dumps([{"family": name, "heads": heads} for name, heads in families.items()], indent=2))
        return
    print_table(["family", "heads"], [[name, ", ".join(heads)] for name, heads in families.items()])
