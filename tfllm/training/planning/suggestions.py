"""What to change when a training step does not fit, cheapest first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.training.planning.memory import REMATS, Memory, Setup, memory, slots_per_weight
from tfllm.training.planning.parameters import count_parameters


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A setup that fits, and what it changes.

    Attributes:
        setup: the whole of it.
        changes: flags to give, `{name: value}`.
        memory: its peak.
        note: what it costs.
    """

    setup: Setup
    changes: dict[str, object]
    memory: Memory
    note: str


def suggest(
    config: TransformerConfig, head: str, setup: Setup, capacity: float, *, num_labels: int = 2
) -> list[Suggestion]:
    """Setups that fit into `capacity` bytes a device, one of each way that leads there.

    The ways, in the order of what they cost: more accumulation (same batch, same numbers), rematerialisation (some FLOPs again), both,
    16 bits, the state divided over the data shares, more devices, a smaller batch (other numbers).
    """
    found, seen = [], set()
    # However it is divided, the state has to be somewhere: fewer devices need not be tried.
    parameters = count_parameters(config, head, num_labels=num_labels)
    state = 4 * (1 + slots_per_weight(config, parameters, setup)) * parameters.total
    for way in _ways(config, setup, least=math.ceil(state / capacity)):
        for candidate, note in way:
            changes = _changes(setup, candidate)
            try:
                need = memory(config, head, candidate, num_labels=num_labels)
            except UserError:  # shares that do not go into each other
                continue
            if need.total <= capacity:
                if tuple(changes.items()) not in seen:
                    found.append(Suggestion(candidate, changes, need, note))
                    seen.add(tuple(changes.items()))
                break
    return found


def _changes(before: Setup, after: Setup) -> dict[str, object]:
    values = dataclasses.asdict(after)
    return {name: values[name] for name, value in dataclasses.asdict(before).items() if values[name] != value}


def _ways(config: TransformerConfig, s: Setup, least: int) -> Iterator[Iterator[tuple[Setup, str]]]:
    accumulations = [n for n in _doubles(s.accumulation, s.batch // s.data) if s.batch % (s.data * n) == 0]
    remats = REMATS[REMATS.index(s.remat) + 1 :]
    yield ((s.replace(accumulation=n), "the same batch in more parts") for n in accumulations[1:])
    yield ((s.replace(remat=r), "computes part of the forward pass twice") for r in remats)
    smallest = [s.replace(accumulation=n, remat=r) for r in (s.remat, *remats) for n in accumulations]
    yield ((setup, "more parts, and part of the forward pass twice") for setup in smallest)
    if s.dtype == "float32" and not s.on_cpu:
        yield (
            (setup.replace(dtype="mixed_bfloat16"), "16-bit activations, float32 weights") for setup in (s, *smallest)
        )
    if not s.shard_state and s.data > 1:
        yield ((setup.replace(shard_state=True), "gathers weights in each step") for setup in (s, *smallest))
    yield ((setup, "more devices") for setup in _larger(config, s, least))
    yield (
        (s.replace(batch=rows * s.data * s.accumulation), "another batch: other numbers, adapt the learning rate")
        for rows in sorted(_doubles(1, s.batch // (s.data * s.accumulation) // 2), reverse=True)
    )


def _larger(config: TransformerConfig, s: Setup, least: int) -> Iterator[Setup]:
    """More devices, in the cheapest order: tensor shares within 8, then pipeline stages, then data shares with divided state."""
    best = s.replace(remat="full", dtype="float32" if s.on_cpu else "mixed_bfloat16", shard_state=True)
    most_parts = [n for n in _doubles(1, s.batch) if s.batch % (s.data * n) == 0]
    layers = config.num_layers + (config.num_decoder_layers or 0)
    for devices in _doubles(2 * s.devices, 2**17):
        if devices < least:
            continue
        for tensor in [n for n in _doubles(1, min(8, devices)) if n >= s.tensor]:
            for pipeline in [n for n in _doubles(1, devices // tensor) if s.pipeline <= n <= layers]:
                data, rest = divmod(devices, tensor * pipeline)
                if rest or data < 1:
                    continue
                for parts in most_parts:
                    if s.batch % (data * parts) == 0 and parts >= s.accumulation:
                        yield best.replace(data=data, tensor=tensor, pipeline=pipeline, accumulation=parts)


def _doubles(start: int, stop: int) -> list[int]:
    values = []
    while start <= max(stop, 0):
        values.append(start)
        start *= 2
    return values
