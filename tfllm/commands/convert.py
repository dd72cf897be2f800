"""`tfllm convert`."""

from __future__ import annotations

import dataclasses
import os

from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm convert`."""

    input: str = option("", "Hugging Face directory or handle.")
    output: str = option("", "Directory to write, or a file that ends in .keras.")
    head: str | None = option(
        None,
        "Head to load; default: the checkpoint's own.",
        choices=("classifier", "token_classifier", "span_predictor", "masked_lm", "causal_lm", "backbone"),
    )
    dtype: str | None = option(
        None, "Of the tensors in a directory; default: as they were.", choices=("float32", "bfloat16", "float16")
    )
    overwrite: bool = option(False, "Replace what is at the output.")

    def __post_init__(self):
        super().__post_init__()
        if not self.input or not self.output:
            raise UserError(
                f"convert needs an input and an output. Received: input={self.input!r}, output={self.output!r}."
            )
        if self.output.endswith(".keras"):
            if self.dtype is not None:
                raise UserError(
                    "dtype is for directories: a .keras file holds the weights as they are. "
                    f"Received: dtype={self.dtype!r}."
                )
            if os.path.exists(self.output) and not self.overwrite:
                raise UserError(f"output must not exist. Received: {self.output}. Use --overwrite or another --output.")


def run(config: Config) -> None:
    """Loads the input and saves it."""
    import tfllm
    from tfllm.training.demo_checkpoint import resolve_model

    model = tfllm.load(resolve_model(config.input), head=config.head)
    if config.output.endswith(".keras"):
        directory, name = os.path.split(os.path.abspath(config.output))
        os.makedirs(directory, exist_ok=True)
        temporary = os.path.join(directory, f"partial-{name}")
        model.save(temporary)
        os.replace(temporary, config.output)
    else:
        tfllm.save(model, config.output, dtype=config.dtype, overwrite=config.overwrite)
    print(f"{type(model).__name__}, {model.count_params():,} weights: {config.output}")
