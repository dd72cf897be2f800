"""The counts of steps that `tfllm.training.finite` keeps, where the train step is a pure function."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from tfllm.training import finite


class StepRecord(finite.StepRecord):
    """The counts among an optimizer's variables. They are int32, as JAX has no int64 unless told so.

    Args:
        optimizer, variables: as there.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]):
        self.counts = optimizer.add_variable(shape=(4,), dtype="int32", name="step_counts")
        self.bad_gradients = optimizer.add_variable(shape=(len(variables),), dtype="bool", name="bad_gradients")
        self._paths = [variable.path for variable in variables]
        places = {id(variable): place for place, variable in enumerate(optimizer.variables)}
        self._places = places[id(self.counts)], places[id(self.bad_gradients)]

    def written(self, slots: Sequence, skipped, squares) -> tuple[list, object]:
        """The optimizer's arrays with a step counted, and the number of skipped steps.

        Args:
            slots: an array for each of the optimizer's variables.
            skipped: bool, whether the step changed nothing.
            squares: (number of variables,) squared norms of the gradients.
        """
        counts, bad = self._places
        slots, old = list(slots), slots[counts]
        number, one = old[finite.STEPS] + 1, ops.cast(skipped, old.dtype)
        new = {
            finite.STEPS: number,
            finite.SKIPPED: old[finite.SKIPPED] + one,
            finite.LAST_SKIPPED: ops.where(skipped, number, old[finite.LAST_SKIPPED]),
        }
        slots[counts] = ops.stack([new.get(which, old[which]) for which in range(4)])
        slots[bad] = ops.where(skipped, ops.logical_not(ops.isfinite(squares)), slots[bad])
        return slots, slots[counts][finite.SKIPPED]
