"""`tfllm plan`: memory, time and cost of a training run, before it starts."""

from __future__ import annotations

import dataclasses
import json

from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm plan`."""

    model: str = option("", "Hugging Face directory or handle, GGUF file, or `demo`: only its configuration is read.")
    params: str | None = option(None, "In place of a model: a decoder of about this size, 10M to 10T, such as 7B.")
    layers: int | None = option(None, "In place of a model: a decoder of this shape; with width and heads.", minimum=1)
    width: int | None = option(None, "Its width.", minimum=1)
    heads: int | None = option(None, "Its attention heads.", minimum=1)
    kv_heads: int | None = option(None, "Its key and value heads; default as heads.", minimum=1)
    inner: int | None = option(None, "Width of its feed-forward layers; default 8/3 of width.", minimum=1)
    vocab: int = option(32000, "Its vocabulary, and that of --params.", minimum=1)
    experts: int = option(0, "Experts of each feed-forward layer; 0 for none.", minimum=0)
    experts_per_token: int = option(2, "Experts that a token is routed to.", minimum=1)
    head: str | None = option(
        None,
        "Head to train; default the checkpoint's own, and causal_lm for a shape.",
        choices=(
            *("classifier", "token_classifier", "span_predictor", "multiple_choice", "masked_lm", "causal_lm"),
            *("seq2seq_lm", "discriminator", "backbone"),
        ),
    )
    batch: int = option(16, "Rows an optimizer step, over all devices.", minimum=1)
    length: int = option(128, "Tokens a row.", minimum=1)
    target_length: int | None = option(None, "Tokens of a row's target; default length.", minimum=1)
    accumulation: int = option(1, "Parts that a device's rows are computed in.", minimum=1)
    devices: int = option(1, "Number of devices.", minimum=1)
    tensor: int = option(1, "Tensor-parallel shares.", minimum=1)
    pipeline: int = option(1, "Pipeline stages.", minimum=1)
    shard_state: bool = option(
        False, "Divide weights, gradients and optimizer state over the data shares (ZeRO, FSDP)."
    )
    sequence_parallel: bool = option(False, "Divide along the sequence what tensor parallelism leaves whole.")
    dtype: str | None = option(
        None,
        "Keras dtype policy; default float32 on cpu, else mixed_bfloat16.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    optimizer: str = option("adamw", "Name of the optimizer.", choices=("adamw", "adafactor", "lion", "muon", "sgd"))
    ema: bool = option(False, "Keep a moving average of the weights.")
    remat: str = option(
        "none",
        "What is computed again in the backward pass; full is `tfllm finetune --remat`.",
        choices=("none", "selective", "full"),
    )
    accelerator: str = option(
        "v5e", "Device: v4, v5e, v5p, v6e, t4, l4, v100, a100-40, a100-80, h100, h200, b200, cpu."
    )
    memory_gb: float | None = option(None, "Memory of a device; default the accelerator's.", above=0)
    usable: float = option(0.92, "Share of the memory that a step may fill.", above=0, maximum=1)
    peak_tflops: float | None = option(None, "Peak of a device, in TFLOP/s; default the accelerator's.", above=0)
    mfu: float = option(
        0.35,
        "Share of the peak that is reached: an assumption. Well-tuned large runs report 0.4 to 0.55.",
        above=0,
        maximum=1,
    )
    tokens: str | None = option(None, "Tokens of the whole run, such as 300B, for days and cost.")
    price: float | None = option(None, "US dollars a device and hour; default the table's.", minimum=0)
    json: bool = option(False, "Print JSON.")

    def __post_init__(self):
        super().__post_init__()
        shape = {"layers": self.layers, "width": self.width, "heads": self.heads}
        if any(shape.values()) and not all(shape.values()):
            missing = ", ".join(name for name, value in shape.items() if not value)
            raise UserError(f"a shape needs layers, width and heads. Received none for: {missing}.")
        if sum(map(bool, (self.model, self.params, self.layers))) > 1:
            raise UserError("give one of model, params, or layers with width and heads. Received several.")
        if (self.model or not (self.params or self.layers)) and (self.experts or self.inner or self.kv_heads):
            raise UserError("experts, inner and kv_heads go with --params or --layers. Received: a model, or none.")
        if self.devices % (self.tensor * self.pipeline):
            raise UserError(
                "devices must be a multiple of tensor x pipeline. "
                f"Received: devices={self.devices}, tensor={self.tensor}, pipeline={self.pipeline}."
            )


def run(config: Config) -> None:
    """Prints the plan, and what to change where it does not fit."""
    result = plan(config)
    if config.json:
        print(json.dumps(result, indent=2))
    else:
        _print(config, result)


def plan(config: Config) -> dict:
    """What `tfllm plan` prints, JSON-ready; bytes are of the fullest device.

    Raises:
        UserError: no model, an unknown accelerator, shares that do not go into each other.

    Example:
        >>> plan(Config(params="7B", devices=8, accelerator="h100"))["fits"]
        False
    """
    from tfllm.training.planning import count_parameters, get_accelerator, memory, suggest, time_and_cost
    from tfllm.training.planning.sizes import parse_count

    architecture, head = _architecture(config)
    accelerator = get_accelerator(config.accelerator)
    setup = _setup(config)
    parameters = count_parameters(architecture, head)
    need = memory(architecture, head, setup)
    capacity = config.usable * (config.memory_gb * 1e9 if config.memory_gb else accelerator.memory_bytes)
    peak = config.peak_tflops * 1e12 if config.peak_tflops else accelerator.peak_flops
    price = config.price if config.price is not None else accelerator.price
    tokens = parse_count(config.tokens, "tokens") if config.tokens else None
    time = None
    if peak:
        time = time_and_cost(architecture, head, setup, peak_flops=peak, mfu=config.mfu, tokens=tokens, price=price)
    fits = need.total <= capacity
    suggestions = [] if fits else suggest(architecture, head, setup, capacity)
    return {
        "model": {
            "head": head,
            "layers": architecture.num_layers,
            "decoder_layers": architecture.num_decoder_layers,
            "width": architecture.hidden_size,
            "heads": architecture.num_heads,
            "vocabulary": architecture.vocab_size,
        },
        "parameters": {**dataclasses.asdict(parameters), "total": parameters.total, "active": parameters.active},
        "setup": {**dataclasses.asdict(setup), "devices": setup.devices},
        "memory": {**dataclasses.asdict(need), "total": need.total, "capacity": capacity},
        "fits": fits,
        "time": None if time is None else dataclasses.asdict(time),
        "accelerator": {**dataclasses.asdict(accelerator), "mfu": config.mfu, "price_used": price},
        "suggestions": [
            {"changes": found.changes, "memory": found.memory.total, "note": found.note} for found in suggestions
        ],
    }


def _architecture(config: Config):
    from tfllm.training.demo_checkpoint import resolve_model
    from tfllm.training.planning.sizes import config_of_checkpoint, decoder_of_size, decoder_shape, parse_count

    own = {"num_experts": config.experts, "experts_per_token": config.experts_per_token} if config.experts else {}
    if config.params:
        if config.kv_heads or config.inner:
            raise UserError("kv_heads and inner go with --layers, --width and --heads. Received: params.")
        found, head = decoder_of_size(parse_count(config.params, "params"), config.vocab, **own), "causal_lm"
    elif config.layers:
        shape = {name: getattr(config, name) for name in ("layers", "width", "heads", "vocab", "kv_heads", "inner")}
        found, head = decoder_shape(**shape, **own), "causal_lm"
    elif config.model:
        found, head = config_of_checkpoint(resolve_model(config.model))
    else:
        raise UserError(
            "plan needs a model: --model=DIR, --params=7B, or --layers, --width and --heads. Received: none."
        )
    return found, config.head or head


def _setup(config: Config):
    from tfllm.training.planning import Setup

    on_cpu = config.accelerator == "cpu"
    names = (
        "batch",
        "length",
        "target_length",
        "accumulation",
        "tensor",
        "pipeline",
        "shard_state",
        "sequence_parallel",
    )
    return Setup(
        **{name: getattr(config, name) for name in (*names, "optimizer", "ema", "remat")},
        data=config.devices // (config.tensor * config.pipeline),
        dtype=config.dtype or ("float32" if on_cpu else "mixed_bfloat16"),
        on_cpu=on_cpu,
    )


def _print(config: Config, result: dict) -> None:
    from tfllm.commands.tables import print_table

    model, parameters, memory, setup = (result[name] for name in ("model", "parameters", "memory", "setup"))
    accelerator, time = result["accelerator"], result["time"]
    rows = [["parameters", _count(parameters["total"])]]
    if parameters["idle"]:
        rows.append(["of which a token uses", _count(parameters["active"])])
    labels = {"weight_copies": "copies of weights"}
    for name, value in memory.items():
        if name not in ("peak_at", "total", "capacity") and value:
            rows.append([labels.get(name, name), _bytes(value)])
    rows.append([f"peak ({memory['peak_at']})", _bytes(memory["total"])])
    rows.append([f"usable on {accelerator['title']}", _bytes(memory["capacity"])])
    if time is None:
        rows.append(["step time", "not known: give --peak_tflops"])
    else:
        rows.append(["FLOPs a step", f"{time['step_flops']:.3g}"])
        if time["rematerialised_flops"]:
            rows.append(["computed again", f"{time['rematerialised_flops']:.3g}"])
        if time["bubble"]:
            rows.append(["stages waiting", f"{time['bubble']:.0%}"])
        rows.append([f"step time at MFU {config.mfu:.0%}", _seconds(time["step_seconds"])])
        rows.append(["tokens a second", _count(time["tokens_per_second"])])
        if time["days"] is not None:
            rows += [["steps", f"{time['steps']:,.0f}"], ["days", f"{time['days']:,.2f}"]]
            cost = "not known: give --price" if time["cost"] is None else f"{time['cost']:,.0f} $"
            rows.append(["cost", cost])
    title = f"{model['head']}, {model['layers']} layers"
    title += f" + {model['decoder_layers']}" if model["decoder_layers"] else ""
    title += (
        f", {model['width']} wide; batch {setup['batch']} x {setup['length']}, {setup['dtype']}, on {setup['devices']}"
    )
    title += f" ({setup['data']} data x {setup['tensor']} tensor x {setup['pipeline']} pipeline)"
    print_table(["a device" if setup["devices"] > 1 else "", "estimate"], rows, title=title)
    if time is not None and time["cost"] is not None and config.price is None:
        print(
            f"The cost is at {time['price']:.2f} $ a device and hour, a figure from memory: look at {accelerator['price_page']}, "
            "and give --price for yours."
        )
    if result["fits"]:
        print("It fits.")
        return
    print("It does not fit." + (" What does:" if result["suggestions"] else " Nothing that was tried does."))
    for found in result["suggestions"]:
        print(f"  {_flags(found['changes'], setup)}: {_bytes(found['memory'])} ({found['note']})")


def _flags(changes: dict, setup: dict) -> str:
    shares = ("data", "tensor", "pipeline")
    flags = {name: value for name, value in changes.items() if name != "data"}
    if set(shares) & set(changes):
        devices = 1
        for name in shares:
            devices *= changes.get(name, setup[name])
        flags = {"devices": devices, **flags}
    return " ".join(f"--{name}" if value is True else f"--{name}={value}" for name, value in flags.items())


def _bytes(value: float) -> str:
    return f"{value / 1e9:,.2f} GB"


def _count(value: float) -> str:
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= limit:
            return f"{value / limit:.4g} {unit}"
    return f"{value:.4g}"


def _seconds(value: float) -> str:
    return f"{1e3 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
