from __future__ import annotations

import dataclasses

import pytest

from tfllm.errors import UserError
from tfllm.training import FinetuneConfig
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Example(Options):
    size: int = option(3, "A size.", minimum=1, maximum=9)
    rate: float = option(0.5, "A rate.", above=0, below=1)
    limit: float | None = option(None, "A limit.")
    kind: str = option("a", "A kind.", choices=("a", "b"))
    names: tuple[str, ...] = option((), "Names.")
    on: bool = option(False, "A switch.")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"size": 0}, "size must be at least 1. Received: size=0."),
        ({"size": 10}, "size must be at most 9. Received: size=10."),
        ({"size": 2.0}, "size must be a whole number. Received: size=2.0."),
        ({"size": True}, "size must be a whole number. Received: size=True."),
        ({"rate": 0.0}, "rate must be greater than 0. Received: rate=0.0."),
        ({"rate": 1.0}, "rate must be less than 1. Received: rate=1.0."),
        ({"rate": float("nan")}, "rate must be a finite number. Received: rate=nan."),
        ({"rate": "x"}, "rate must be a number. Received: rate='x'."),
        ({"kind": "c"}, "kind must be one of a, b. Received: kind='c'."),
        ({"on": 1}, "on must be true or false. Received: on=1."),
    ],
)
def test_a_bad_value_is_one_clear_error(values, message):
    with pytest.raises(UserError) as error:
        Example(**values)
    assert str(error.value) == message


def test_values_are_kept_and_lists_become_tuples():
    example = Example(size=9, rate=0.25, limit=2, names=["x", "y"])
    assert example.limit == 2.0 and example.names == ("x", "y")
    assert Example(**example.to_dict()) == example
    assert example.replace(size=4).size == 4


@pytest.mark.parametrize(
    "values, word",
    [
        ({"warmup": 1.5}, "warmup"),
        ({"eval_every": "often"}, "eval_every"),
        ({"eval_every": "0"}, "eval_every"),
        ({"train_file": "a.tsv"}, "validation_file"),
        ({"train_file": "a.tsv", "validation_file": "b.tsv"}, "text_columns"),
        ({"train_file": "a.tsv", "validation_file": "b.tsv", "text_columns": ("t",), "task": "glue/rte"}, "not both"),
    ],
)
def test_contradicting_options_of_a_run_are_refused(values, word):
    with pytest.raises(UserError, match=word):
        FinetuneConfig(**values)


def test_warmup_is_a_fraction_or_a_number_of_steps():
    assert FinetuneConfig(warmup=0.06).warmup_steps_or_fraction == 0.06
    steps = FinetuneConfig(warmup=100).warmup_steps_or_fraction
    assert steps == 100 and isinstance(steps, int)
