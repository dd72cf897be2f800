"""`Batches`: tokenised examples as batches of static shape, in an order that is a function of (seed, epoch, step)."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tfllm.data.plan import (
    EpochPlan,
    PackedPlan,
    PaddedPlan,
    bucketed_plan,
    packed_plan,
    padded_plan,
    round_up,
    shuffle_keys,
)
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

LAYOUTS = ("packed", "bucketed", "padded")

# Batches that are made ahead of the training step.
_PREFETCH = 4


class Batches:
    """Batches of `batch_size` examples: packed, bucketed or padded to a few static shapes.

    Every layout has the same number of examples an optimizer step; they differ in how many tokens are computed for it.

    - `"packed"`: several examples share a row (K > 1), and attention must not cross from one to another
      (`example_ids`). There is hardly any padding, and hardly ever another shape: the one to train with.
    - `"bucketed"`: one example a row (K = 1). Examples of like length come together, and every batch is padded to one
      of a few lengths.
    - `"padded"`: one example a row (K = 1), and every batch is padded to the same length.

    A batch is a tuple `(x, y, w)`. B is rows, T tokens a row, K examples a row at most:

    | `x[...]`, int32 | shape | meaning |
    | --- | --- | --- |
    | `token_ids` | (B, T) | vocabulary ids; `pad_id` where there is no token |
    | `example_ids` | (B, T) | 1..K: the slot in the row of the example that the token belongs to; 0: padding |
    | `position_ids` | (B, T) | position in its own example, from 0 |
    | `type_ids` | (B, T) | token types, if the examples have them |
    | `head_positions` | (B, K) | where in the row the pooled token of slot k stands; 0 for an empty slot |

    `y` (B, K), int32 or float32, holds the labels (`None` if there are none), and `w` (B, K) float32 is 1 where the
    slot holds an example and 0 where it is empty. Where an example's label is places in its row (a span), `y` is
    (B, 2) and `w` (B,), and the layout is one of those with one example a row. Where tokens have labels, `y` and `w` are
    (B, T), and `w` is 1 at the tokens that have one.

    The order is a function of `(seed, epoch, step)`, and which examples make step k depends on neither `rows` nor
    `replicas` nor `shard`. Where the number of examples is no multiple of `batch_size`, the slots left over are empty:
    nothing is dropped.

    Args:
        tokenized: the examples; see `tfllm.data.tokenize`.
        batch_size: examples a step, over all replicas and workers.
        layout: "packed", "bucketed" or "padded".
        max_length: the most tokens an example may have (a longer one is an error: `tokenize` cuts them), for "bucketed"
            the largest T and for "padded" the T of every batch. `None`: the longest example there is.
        shuffle: whether every epoch has its own random order. Otherwise all epochs have the same.
        seed: an integer from 0; makes the order.
        pooled: "first" or "last": which token of an example `head_positions` points to.
        pad_id: the id for padding.
        replicas: B will be a multiple of this.
        rows: B of the whole batch, for "packed"; a multiple of `replicas` and of the number of shards. `None`:
            whatever costs least. The other layouts have `batch_size` rows, and empty ones up to a multiple of
            `replicas` and shards.
        max_shapes: at most so many shapes (each is compiled); `None`: 4 for "packed", 8 for "bucketed".
        shard: `(i, n)`: of every batch, only the i-th of n equal blocks of rows, for worker i of n. The blocks
            together are the very batch that one worker makes with the same `rows`.

    Attributes:
        steps_per_epoch: batches of an epoch.
        shapes: list of all the (B, T) that can occur.
        slots: K.

    Raises:
        UserError: an argument that is out of range or does not fit the others, or an example longer than `max_length`.

    Example:
        >>> tokenized = TokenizedExamples.from_ids([[101, 7, 102], [101, 102], [101, 8, 9, 102]], labels=[1, 0, 1])
        >>> batches = Batches(tokenized, batch_size=3, shuffle=False)
        >>> x, y, w = batches.batch(0)
        >>> x["token_ids"]
        array([[101,   8,   9, 102, 101,   7, 102, 101, 102,   0,   0,   0,   0,   0,   0,   0]], dtype=int32)
        >>> y, w
        (array([[1, 1, 0]], dtype=int32), array([[1., 1., 1.]], dtype=float32))
    """

    def __init__(
        self,
        tokenized: TokenizedExamples,
        *,
        batch_size: int,
        layout: str = "packed",
        max_length: int | None = None,
        shuffle: bool,
        seed: int = 0,
        pooled: str = "first",
        pad_id: int = 0,
        replicas: int = 1,
        rows: int | None = None,
        max_shapes: int | None = None,
        shard: tuple[int, int] = (0, 1),
    ):
        _check_choice("layout", layout, LAYOUTS)
        _check_choice("pooled", pooled, ("first", "last"))
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("max_length", max_length, 1),
            ("seed", seed, 0),
            ("replicas", replicas, 1),
            ("rows", rows, 1),
            ("max_shapes", max_shapes, 1),
        ):
            if value is not None and value < least:
                raise UserError(f"{name} must be at least {least}. Received: {name}={value}.")
        worker, workers = shard
        if not 0 <= worker < workers:
            raise UserError(f"shard must be (i, n) with 0 <= i < n. Received: shard={shard}.")
        multiple = math.lcm(replicas, workers)
        if rows is not None and layout != "packed":
            raise UserError(f"rows is for the packed layout: others have one example a row. Received: rows={rows}.")
        if rows is not None and rows % multiple:
            raise UserError(
                f"rows must be a multiple of the {replicas} replicas and the {workers} shards. Received: rows={rows}."
            )
        if len(tokenized) == 0:
            raise UserError("There must be at least one example to make batches of. Received: none.")
        if tokenized.labels is not None and tokenized.labels.ndim == 2 and layout == "packed":
            raise UserError("Labels that are places in a row need one example a row: layout='bucketed' or 'padded'.")
        longest = int(tokenized.lengths.max())
        if max_length is not None and longest > max_length:
            raise UserError(
                f"No example may be longer than max_length={max_length}. Received: one of {longest} tokens. "
                "Give the same max_length to tokenize, which cuts longer ones and counts them."
            )
        self.tokenized, self.layout, self.batch_size, self.max_length = tokenized, layout, batch_size, max_length
        self.shuffle, self.seed, self.pooled, self.pad_id, self.shard = shuffle, seed, pooled, pad_id, shard
        self._lengths, self._offsets = tokenized.lengths, tokenized.offsets
        self._plan = _plan(self._lengths, layout, batch_size, rows, multiple, max_shapes, max_length)
        self.slots: int = self._plan.slots
        self.steps_per_epoch: int = -(-len(tokenized) // batch_size)
        block = self._plan.rows // workers
        self._block = slice(worker * block, (worker + 1) * block)
        self._rows = block
        self.shapes: list[tuple[int, int]] = [(block, int(width)) for width in self._plan.widths]
        self._epochs: OrderedDict[int, EpochPlan] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.steps_per_epoch

    def _epoch(self, epoch: int) -> EpochPlan:
        epoch = epoch if self.shuffle else 0
        with self._lock:
            if epoch not in self._epochs:
                keys = shuffle_keys(self.seed, epoch, self._plan.keys) if self.shuffle else None
                self._epochs[epoch] = self._plan.epoch(keys)
            self._epochs.move_to_end(epoch)
            while len(self._epochs) > 2:  # the next one is begun while the last steps of this one are under way
                self._epochs.popitem(last=False)
            return self._epochs[epoch]

    def _place(self, step: int) -> tuple[np.ndarray, int]:
        """`(indices (B, K), T)` of a global step."""
        if step < 0:
            raise UserError(f"A step must be at least 0. Received: step={step}.")
        epoch, number = divmod(int(step), self.steps_per_epoch)
        plan = self._epoch(epoch)
        return plan.indices[number, self._block], int(plan.widths[number])

    def example_indices(self, step: int) -> np.ndarray:
        """Which examples are in the slots of batch `step`: (B, K) int64, -1 where a slot is empty."""
        return self._place(step)[0].copy()

    def batch(self, step: int) -> tuple[dict[str, np.ndarray], np.ndarray | None, np.ndarray]:
        """The batch of a global step, `(x, y, w)` in NumPy. Step `e * steps_per_epoch + s` is step s of epoch e.

        Any step can be asked for at any time, from several threads too: nothing is read before it.
        """
        indices, width = self._place(step)
        filled = indices >= 0
        lengths = np.where(filled, self._lengths[indices], 0)
        starts = np.cumsum(lengths, axis=1) - lengths
        row, slot = np.nonzero(filled)
        examples, counts = indices[filled], lengths[filled]
        # For every token of the batch: its position in its example, where it comes from, and where it goes in (B * T,).
        ends = np.cumsum(counts)
        positions = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        sources = np.repeat(self._offsets[examples], counts) + positions
        targets = np.repeat(row * width + starts[filled], counts) + positions

        def spread(values, empty: int = 0) -> np.ndarray:
            flat = np.full(self._rows * width, empty, np.int32)
            flat[targets] = values
            return flat.reshape(self._rows, width)

        x = {
            "token_ids": spread(self.tokenized.token_ids[sources], self.pad_id),
            "example_ids": spread(np.repeat(slot + 1, counts)),
            "position_ids": spread(positions),
        }
        if self.tokenized.type_ids is not None:
            x["type_ids"] = spread(self.tokenized.type_ids[sources])
        pooled = starts if self.pooled == "first" else starts + lengths - 1
        x["head_positions"] = np.where(filled, pooled, 0).astype(np.int32)
        if self.tokenized.token_labels is not None:
            y = spread(self.tokenized.token_labels[sources], -1)
            return x, np.maximum(y, 0), (y >= 0).astype(np.float32)
        y, labels, weights = None, self.tokenized.labels, filled.astype(np.float32)
        if labels is not None:
            y = np.zeros((*indices.shape, *labels.shape[1:]), labels.dtype)
            y[filled] = labels[examples]
            if labels.ndim == 2:  # places in the row, which is one example's
                y, weights = y[:, 0], weights[:, 0]
        return x, y, weights

    def dataset(self, start_step: int = 0, stop_step: int | None = None) -> tf.data.Dataset:
        """The batches as a `tf.data.Dataset` of `(x, y, w)`, or of `(x,)` if there are no labels.

        Without `stop_step`, a pass over the dataset is an epoch, and the next pass gives the next epoch, as `fit()`
        wants it. A pass counts once its last batch has been handed over; one that was broken off (Keras reads one
        batch to build a model) begins again. Something that reads ahead, such as a distribution strategy, has a few
        batches handed over that are not used yet: with fewer steps an epoch than that, it moves the epoch on early.

        With `stop_step`, every pass gives the steps from `start_step` up to it, over the ends of epochs, and passes
        leave no trace: the one for `fit(..., steps_per_epoch=...)` under a distribution strategy, and for loops of
        one's own.

        The cardinality is known. Shapes are static, but for T where there is more than one: it is `None` in the spec.

        Args:
            start_step: the global step to begin at; no step before it is made. Without `stop_step` and in the middle
                of an epoch, the dataset is the *rest of that epoch*, as a cardinality is one number, and can be gone
                through once; the epochs after it are the dataset that starts with them.
            stop_step: the global step to stop before.

        Example:
            >>> steps = batches.steps_per_epoch
            >>> model.fit(batches.dataset(), epochs=3)
            >>> model.fit(batches.dataset(2 * steps), initial_epoch=2, epochs=3)  # third epoch only
            >>> model.fit(batches.dataset(0, 3 * steps), steps_per_epoch=steps, epochs=3)
        """
        import tensorflow as tf

        if start_step < 0 or (stop_step is not None and stop_step <= start_step):
            raise UserError(
                "Steps must be at least 0, and stop_step beyond start_step. "
                f"Received: start_step={start_step}, stop_step={stop_step}."
            )
        spec = self._element_spec()
        flat_spec = tf.nest.flatten(spec)

        def load(step):
            def flat_batch(step):
                x, y, w = self.batch(step)
                return tf.nest.flatten((x,) if y is None else (x, y, w))

            tensors = tf.numpy_function(flat_batch, [step], [s.dtype for s in flat_spec])
            for tensor, tensor_spec in zip(tensors, flat_spec, strict=True):
                tensor.set_shape(tensor_spec.shape)
            return tf.nest.pack_sequence_as(spec, tensors)

        if stop_step is None:
            dataset = self._epoch_by_epoch(start_step, load)
        else:
            dataset = tf.data.Dataset.range(start_step, stop_step).map(load).prefetch(_PREFETCH)
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_optimization.inject_prefetch = False  # it would hand batches over that nobody took
        # Workers have their own shard of each batch already.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return dataset.with_options(options)

    def _epoch_by_epoch(self, start_step: int, load) -> tf.data.Dataset:
        """`load(step)` for the steps of one epoch a pass, from `start_step` on; see `dataset`."""
        import tensorflow as tf

        steps = self.steps_per_epoch
        skipped = start_step % steps
        following = start_step  # the step that the next pass begins at

        def first_step(_):
            if skipped and following != start_step:
                raise UserError(
                    f"This dataset was the rest of an epoch from step {start_step} on, and it is used up. "
                    f"Take dataset({following}) for the epochs that follow."
                )
            return following

        def finish(step):
            nonlocal following
            following = int(step) + 1
            return True

        def epoch(index):  # runs once a pass
            first = tf.numpy_function(first_step, [index], tf.int64)
            return tf.data.Dataset.range(first, (first // steps + 1) * steps)

        def hand_over(step, batch):
            # Here, behind the prefetch, and not in `first_step`, which runs ahead of the consumer.
            finished = tf.cond(
                tf.equal(step % steps, steps - 1),
                lambda: tf.numpy_function(finish, [step], tf.bool),
                lambda: tf.constant(False),
            )
            with tf.control_dependencies([finished]):
                return tf.nest.map_structure(tf.identity, batch)

        dataset = tf.data.Dataset.range(1).flat_map(epoch)
        dataset = dataset.map(lambda step: (step, load(step))).prefetch(_PREFETCH).map(hand_over)
        return dataset.apply(tf.data.experimental.assert_cardinality(steps - skipped))

    def _element_spec(self):
        import tensorflow as tf

        width = self.shapes[0][1] if len(self.shapes) == 1 else None
        tokens = tf.TensorSpec((self._rows, width), tf.int32)
        names = ["token_ids", "example_ids", "position_ids"]
        if self.tokenized.type_ids is not None:
            names.append("type_ids")
        slots = (self._rows, self.slots)
        x = {**{name: tokens for name in names}, "head_positions": tf.TensorSpec(slots, tf.int32)}
        if self.tokenized.token_labels is not None:
            return x, tokens, tf.TensorSpec(tokens.shape, tf.float32)
        if self.tokenized.labels is None:
            return (x,)
        labels = self.tokenized.labels
        if labels.ndim == 2:
            return x, tf.TensorSpec((self._rows, *labels.shape[1:]), labels.dtype), tf.TensorSpec(slots[:1], tf.float32)
        return x, tf.TensorSpec(slots, labels.dtype), tf.TensorSpec(slots, tf.float32)

    @cached_property
    def _computed_tokens(self) -> int:
        return int(self._plan.rows * self._epoch(0).widths.sum())

    @property
    def fill(self) -> float:
        """Real tokens / computed tokens of an epoch (epoch 0; "bucketed" ones differ a little), over all shards."""
        return self._real_tokens / self._computed_tokens

    @property
    def _real_tokens(self) -> int:
        return int(self._lengths.sum())

    def report(self) -> dict:
        """What these batches are and what they cost, for logs: plain numbers, strings and lists.

        Returns:
            `layout`, `examples`, `truncated` (examples cut by the tokenizer), `batch_size`, `steps_per_epoch`, `slots`,
            `shapes` (a list of `{"rows", "tokens", "share"}`: B of this shard, T, and the share of epoch 0's batches),
            `real_tokens` and `computed_tokens` of an epoch, over all shards, and `fill`, the one divided by the other.
        """
        widths = self._epoch(0).widths
        return {
            "layout": self.layout,
            "examples": len(self.tokenized),
            "truncated": int(self.tokenized.truncated),
            "batch_size": self.batch_size,
            "steps_per_epoch": self.steps_per_epoch,
            "slots": self.slots,
            "shapes": [{"rows": b, "tokens": t, "share": float(np.mean(widths == t))} for b, t in self.shapes],
            "real_tokens": self._real_tokens,
            "computed_tokens": self._computed_tokens,
            "fill": self.fill,
        }


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"{name} must be one of {', '.join(choices)}. Received: {name}={value!r}.")


def _plan(
    lengths: np.ndarray,
    layout: str,
    batch_size: int,
    rows: int | None,
    rows_multiple: int,
    max_shapes: int | None,
    max_length: int | None,
) -> PackedPlan | PaddedPlan:
    if layout == "packed":
        return packed_plan(lengths, batch_size, rows=rows, rows_multiple=rows_multiple, max_shapes=max_shapes or 4)
    rows = round_up(batch_size, rows_multiple)
    if layout == "bucketed":
        return bucketed_plan(lengths, batch_size, rows=rows, max_shapes=max_shapes or 8, max_length=max_length)
    return padded_plan(lengths, batch_size, rows=rows, max_length=max_length)
