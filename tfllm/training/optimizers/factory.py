"""`training.optimizer`: an optimizer with its schedule, by name."""

from __future__ import annotations

import keras

from tfllm.errors import UserError
from tfllm.training.optimizers.adamw import AdamW
from tfllm.training.optimizers.muon import Muon
from tfllm.training.optimizers.of_keras import SGD, Adafactor, Lion
from tfllm.training.schedules import SCHEDULES, WarmupSchedule

OPTIMIZERS = {"adamw": AdamW, "adafactor": Adafactor, "lion": Lion, "muon": Muon, "sgd": SGD}
if keras.backend.backend() == "jax":
    # There the whole step is compiled as it is.
    from tfllm.training.model_parallel.optimizers import OPTIMIZERS, SGD, Adafactor, AdamW, Lion

# What each takes beside the options that all have, under our name and Keras', and its default.
_OPTIONS: dict[str, dict[str, tuple[str, float]]] = {
    "adamw": {"beta_1": ("beta_1", 0.9), "beta_2": ("beta_2", 0.999), "epsilon": ("epsilon", 1e-8)},
    "adafactor": {},
    "lion": {"beta_1": ("beta_1", 0.9), "beta_2": ("beta_2", 0.99)},
    "muon": {
        "momentum": ("momentum", 0.95),
        "beta_1": ("adam_beta_1", 0.9),
        "beta_2": ("adam_beta_2", 0.999),
        "epsilon": ("epsilon", 1e-8),
    },
    "sgd": {"momentum": ("momentum", 0.9)},
}


def optimizer(
    name: str = "adamw",
    learning_rate: float = 3e-5,
    *,
    total_steps: int | None = None,
    schedule: str | None = None,
    warmup: float | int = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
    layer_decay: float | None = None,
    micro_batches: int = 1,
    ema_momentum: float | None = None,
    momentum: float | None = None,
    beta_1: float | None = None,
    beta_2: float | None = None,
    epsilon: float | None = None,
) -> keras.optimizers.Optimizer:
    """An optimizer with its schedule, as fine-tuning uses them.

    The learning rate is used as given. Where AdamW would have 3e-5 and a weight decay of 0.01:

    | name | learning rate | weight decay | slots | |
    | --- | --- | --- | --- | --- |
    | `"adamw"` | 3e-5 | 0.01 | 2 | Loshchilov and Hutter, 2019 |
    | `"adafactor"` | 3e-4 to 1e-3, relative to the weights' size | 0 | 1 in Keras | Shazeer and Stern, 2018 |
    | `"lion"` | 3e-6 to 1e-5: 3 to 10 times smaller | 0.03 to 0.1: as much larger | 1 | Chen et al., 2023 |
    | `"muon"` | 3e-5: its steps have the size of Adam's | 0.01 | 1, and 2 of what Adam trains | Jordan et al., 2024; Liu et al., 2025 |
    | `"sgd"` | 1e-3 to 1e-1: its steps have the gradient's size | 0 | 1; 0 without momentum | |

    Args:
        name: one of the above; the classes are those of `tfllm.training.optimizers`.
        learning_rate: the peak.
        total_steps: optimizer steps of the run; needed by `"linear"` and `"cosine"`.
        schedule: `"linear"`, `"cosine"` or `"constant"`; default linear if `total_steps` is given, else constant.
        warmup: steps if an int, or a share of `total_steps` if a float below 1.
        weight_decay: decoupled, not on vectors (norms and biases).
        clip_norm: largest norm of the global gradient; `None` for no clipping.
        layer_decay, micro_batches: see `AdamW`.
        ema_momentum: keep an exponential moving average of the trained weights, of which this much stays in a step, such as 0.999;
            `None` for none. It begins with the weights that the first step ends with, so it is not drawn to 0. `training.Evaluate`
            and `training.BestCheckpoint` use the averages, and `fit()` leaves them in the model when it ends, as Keras does;
            in between, training goes on with its own. See `training.averaged_weights`.
        momentum: of SGD (default 0.9) and Muon (default 0.95).
        beta_1, beta_2: of AdamW and Muon's Adam (defaults 0.9, 0.999), and Lion (0.9, 0.99).
        epsilon: of AdamW and Muon's Adam; the default 1e-8 is PyTorch's, which published recipes were run with.

    Raises:
        UserError: an unknown name or schedule, a value out of range, `total_steps` missing, or an option that the optimizer has not.

    Example:
        >>> optimizer("adamw", 3e-5, total_steps=1000).learning_rate
        <tf.Tensor: shape=(), dtype=float32, numpy=0.0>
        >>> optimizer("lion", 5e-6, weight_decay=0.05, ema_momentum=0.999).beta_2
        0.99
    """
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer name must be one of {', '.join(OPTIMIZERS)}. Received: {name!r}.")
    if schedule is None:
        schedule = "constant" if total_steps is None else "linear"
    if schedule not in SCHEDULES:
        raise UserError(f"schedule must be one of {SCHEDULES}. Received: {schedule!r}.")
    if learning_rate <= 0 or weight_decay < 0 or warmup < 0 or (clip_norm is not None and clip_norm <= 0):
        raise UserError(
            "learning_rate and clip_norm must be above 0, weight_decay and warmup not below 0. "
            f"Received: {learning_rate=}, {clip_norm=}, {weight_decay=}, {warmup=}."
        )
    if isinstance(warmup, float):
        if warmup >= 1:
            raise UserError(f"warmup is a number of steps (an int) or a share below 1 (a float). Received: {warmup!r}.")
        warmup = round(warmup * total_steps) if total_steps else 0
    rate = (
        learning_rate
        if schedule == "constant" and not warmup
        else WarmupSchedule(learning_rate, total_steps, warmup, schedule)
    )
    options = _own_options(name, {"momentum": momentum, "beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon})
    if ema_momentum is not None:
        options |= {"use_ema": True, "ema_momentum": ema_momentum}
    return OPTIMIZERS[name](
        rate,
        layer_decay=layer_decay,
        micro_batches=micro_batches,
        weight_decay=weight_decay,
        global_clipnorm=clip_norm,
        **options,
    )


def _own_options(name: str, given: dict[str, float | None]) -> dict[str, float]:
    own = _OPTIONS[name]
    for option, value in given.items():
        if value is not None and option not in own:
            having = ", ".join(other for other, options in _OPTIONS.items() if option in options)
            raise UserError(f"{option} is an option of {having}. Received: {option}={value} for {name}.")
        if value is not None and not (value > 0 if option == "epsilon" else 0 <= value < 1):
            raise UserError(f"momentum and betas must be in [0, 1), epsilon above 0. Received: {option}={value}.")
    return {
        keras_name: default if given[option] is None else float(given[option])
        for option, (keras_name, default) in own.items()
    }
