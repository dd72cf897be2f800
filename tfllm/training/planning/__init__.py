"""What a training run will need, by formula and before it starts: parameters, memory, FLOPs, time, cost.

Nothing here imports TensorFlow, so that `tfllm plan` answers at once.
"""

from tfllm.training.planning.accelerators import Accelerator, accelerators, get_accelerator
from tfllm.training.planning.memory import Memory, Setup, memory
from tfllm.training.planning.parameters import ParameterCount, count_parameters
from tfllm.training.planning.suggestions import suggest
from tfllm.training.planning.time_and_cost import TimeAndCost, time_and_cost

__all__ = [
    "Accelerator",
    "Memory",
    "ParameterCount",
    "Setup",
    "TimeAndCost",
    "accelerators",
    "count_parameters",
    "get_accelerator",
    "memory",
    "suggest",
    "time_and_cost",
]
