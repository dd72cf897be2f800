"""Which examples make which batch, and where in the batch each one stands: a function of the examples' lengths alone.

A plan knows nothing of tokens. It is made once from the lengths, and then deals an epoch's batches:

    plan = packed_plan(lengths, batch_size=16)
    epoch = plan.epoch(shuffle_keys(seed=0, epoch=3, size=plan.keys))
    epoch.indices      # (M, R, K) which example stands in slot k of row r of batch m; -1: the slot is empty
    epoch.widths       # (M,) the T of each batch

Every layout has exactly `batch_size` examples in a batch, so an optimizer step means the same under each of them.
(Where the number of examples is no multiple of it, a few packed batches have one fewer, or one padded or bucketed
batch is part full.)

**Packed** puts several examples in a row. What makes it both dense and static is that all batches have the same load:
examples are dealt like cards, longest first, each round's longest card to the batch with the least tokens so far. The
deal is done once, with *lengths* as cards; an epoch then draws which examples of that length the cards stand for. So
the batches of every epoch have the very same sizes (the set of shapes is known beforehand), while their members
change. A batch holds the whole range of lengths in place of whatever a plain shuffle would have drawn: sampling
stratified by length. Lengths that few examples have are first merged with their neighbours, at the price of a little
padding, so that no example has a fixed place.
"""

from __future__ import annotations

import dataclasses

import numpy as np

# T is a multiple of this: what the vector units of CPUs and TPUs take at once.
WIDTH_MULTIPLE = 8

# At least this many examples share a card of the packed deal.
MIN_CLASS_SIZE = 8

# The cost of one token in a row of T is taken as 1 + T / ATTENTION_SHARE: a layer multiplies a token by 12 D^2
# weights, attention adds 2 T D products, and their ratio is T / 6D. This is 6D for D = 384, which a training step on
# two cores bears out (1,130 tokens in 1, 2, 4 rows: 1.43, 1.09, 1 times the time; reckoned 1.25, 1.06, 1). Wider
# models feel it less.
ATTENTION_SHARE = 6 * 384

# Fewer shapes are taken if they cost no more than this beyond the best: each is compiled.
SHAPE_TOLERANCE = 0.01

# The same for fewer rows: they pad less, and attention on many short rows takes longer than its operations, counted,
# say (220 tokens in 1, 2, 4 rows: 1, 1.11, 1.09 times the time; reckoned 1, 0.99, 0.97).
ROWS_TOLERANCE = 0.03

# Bucketed batches are sorted by length within windows of this many batches.
BUCKET_WINDOW = 50


@dataclasses.dataclass(frozen=True)
class EpochPlan:
    """The batches of one epoch: `indices` (M, R, K) int64 with -1 in empty slots, `widths` (M,) int64."""

    indices: np.ndarray
    widths: np.ndarray


def shuffle_keys(seed: int, epoch: int, size: int) -> np.ndarray:
    """Random 64-bit numbers, shape `(size,)`, that depend on `(seed, epoch)` alone; sorting by them shuffles.

    These are the raw numbers of the Philox generator, which NumPy promises to keep, unlike `Generator.permutation`.
    """
    return np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(size)


def round_up(values, multiple: int):
    """The smallest multiples that are not below `values` (an integer or an array)."""
    return -(-values // multiple) * multiple


def choose_widths(needed: np.ndarray, max_shapes: int) -> np.ndarray:
    """Choose at most `max_shapes` row lengths so that rows of the `needed` lengths are padded least in total.

    Args:
        needed: (M,) the row length that each batch needs.
        max_shapes: how many different lengths are allowed. Fewer are taken if they come within 1 % of the best.

    Returns:
        The chosen lengths, ascending; the last is the largest that is needed.
    """
    values, counts = np.unique(needed, return_counts=True)
    number = len(values)
    before = np.concatenate([[0], np.cumsum(counts)])  # before[i]: batches that need less than values[i]
    # cost[j]: tokens of the batches that need values[:j] when values[j - 1] is a shape, with the shapes allowed so far.
    cost = np.full(number + 1, np.inf)
    cost[0] = 0
    totals, parents = [], []
    for _ in range(min(max_shapes, number)):
        # candidates[i, j]: values[i..j] all become values[j].
        candidates = cost[:-1, None] + values[None, :] * (before[None, 1:] - before[:-1, None])
        candidates[np.tril_indices(number, -1)] = np.inf
        parents.append(candidates.argmin(axis=0))
        cost = np.concatenate([[0], candidates.min(axis=0)])
        totals.append(cost[-1])
    shapes = next(s for s, total in enumerate(totals) if total <= totals[-1] * (1 + SHAPE_TOLERANCE))
    chosen, end = [], number
    while end > 0:
        chosen.append(values[end - 1])
        end = parents[shapes][end - 1]
        shapes -= 1
    return np.array(chosen[::-1])


def fit_widths(needed: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The smallest of the ascending `widths` that holds each of `needed`."""
    return widths[np.searchsorted(widths, needed)]


def length_classes(descending: np.ndarray, smallest: int = MIN_CLASS_SIZE) -> np.ndarray:
    """Number the classes of examples that may stand for each other: equal lengths, rare ones merged with shorter ones.

    Args:
        descending: (N,) lengths, longest first.
        smallest: the least number of members. A class has fewer only if there are fewer examples.

    Returns:
        (N,) int64 class numbers, ascending from 0.
    """
    _, sizes = np.unique(-descending, return_counts=True)
    numbers, number, members = [], 0, 0
    for size in sizes:
        numbers.append(number)
        members += size
        if members >= smallest:
            number, members = number + 1, 0
    if members:  # what is left at the short end joins the class above it
        numbers = np.minimum(numbers, max(number - 1, 0))
    return np.repeat(np.asarray(numbers, np.int64), sizes)


class PackedPlan:
    """Several examples a row; see the head of this module. Make it with `packed_plan`.

    Attributes:
        rows, slots: R and K.
        widths: the row lengths T that occur, ascending.
        keys: how many random numbers an epoch takes.
    """

    def __init__(
        self, members: np.ndarray, classes: np.ndarray, positions: np.ndarray, needed: np.ndarray, max_shapes: int
    ):
        self.rows, self.slots = positions.shape[1:]
        self.widths = choose_widths(needed, max_shapes)
        self.keys = len(members) + len(positions)
        self._members = members  # (N,) example numbers, longest first
        self._classes = classes  # (N,) class numbers of the members
        self._positions = positions  # (M, R, K) positions in `members`, -1 where empty
        self._batch_widths = fit_widths(needed, self.widths)

    @property
    def cost(self) -> float:
        """The estimated cost of an epoch, in tokens of a model without attention."""
        widths = self._batch_widths
        return float(np.sum(self.rows * widths * (1 + widths / ATTENTION_SHARE)))

    def epoch(self, keys: np.ndarray | None) -> EpochPlan:
        """Deal an epoch. `keys` are `self.keys` random numbers, or `None` for the fixed order."""
        if keys is None:
            members, order = self._members, np.arange(len(self._positions))
        else:
            # The keys shuffle members within their class, and then the batches.
            members = self._members[np.lexsort((keys[: len(self._members)], self._classes))]
            order = np.argsort(keys[len(self._members) :], kind="stable")
        positions = self._positions[order]
        return EpochPlan(np.where(positions >= 0, members[positions], -1), self._batch_widths[order])


def packed_plan(
    lengths: np.ndarray, batch_size: int, *, rows: int | None = None, rows_multiple: int = 1, max_shapes: int = 4
) -> PackedPlan:
    """Plan batches whose rows hold several examples each.

    Which examples make a batch depends on `lengths` and `batch_size` only, not on `rows`.

    Args:
        lengths: (N,) tokens of each example, all at least 1.
        batch_size: examples a batch.
        rows: R, a multiple of `rows_multiple`; `None`: whatever costs least (rows trade attention for padding).
        rows_multiple: what R has to be a multiple of (replicas, workers).
        max_shapes: at most so many different T.
    """
    members = np.argsort(-lengths, kind="stable")
    classes = length_classes(lengths[members])
    # What a class reserves for each of its members: the length of its longest.
    capacities = lengths[members][np.searchsorted(classes, classes)]
    dealt = _deal(capacities, batch_size)
    capacities = np.append(capacities, 0)  # for position -1, no example
    if rows is not None:
        candidates = [rows]
    else:
        most = max(batch_size, rows_multiple)
        candidates = [rows_multiple << n for n in range((most // rows_multiple).bit_length())]
    plans = []
    for candidate in candidates:
        positions, loads = _fill_rows(dealt, capacities, candidate)
        needed = round_up(loads.max(axis=1), WIDTH_MULTIPLE)
        plans.append(PackedPlan(members, classes, positions, needed, max_shapes))
    least = min(plan.cost for plan in plans)
    return next(plan for plan in plans if plan.cost <= least * (1 + ROWS_TOLERANCE))


def _deal(capacities: np.ndarray, batch_size: int) -> np.ndarray:
    """Deal positions of the descending `capacities` to batches of nearly equal load: (M, batch_size), -1 for none."""
    batches = -(-len(capacities) // batch_size)
    positions = np.full(batches * batch_size, -1, np.int64)
    positions[: len(capacities)] = np.arange(len(capacities))
    loads = np.zeros(batches, np.int64)
    padded = np.append(capacities, 0)
    dealt = np.empty((batches, batch_size), np.int64)
    for turn, hand in enumerate(positions.reshape(batch_size, batches)):
        takers = np.argsort(loads, kind="stable")
        dealt[takers, turn] = hand
        loads[takers] += padded[hand]
    return dealt


def _fill_rows(dealt: np.ndarray, capacities: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Spread the examples of each batch over its rows, longest first into the emptiest row.

    Returns:
        positions: (M, rows, K), -1 in empty slots, which come last in a row.
        loads: (M, rows) tokens reserved.
    """
    batches, batch_size = dealt.shape
    every = np.arange(batches)
    loads = np.zeros((batches, rows), np.int64)
    counts = np.zeros((batches, rows), np.int64)
    row_of, slot_of = np.empty_like(dealt), np.empty_like(dealt)
    for turn in range(batch_size):  # a deal is already in descending order
        row = loads.argmin(axis=1)
        row_of[:, turn], slot_of[:, turn] = row, counts[every, row]
        loads[every, row] += capacities[dealt[:, turn]]
        counts[every, row] += dealt[:, turn] >= 0
    positions = np.full((batches, rows, counts.max()), -1, np.int64)
    batch, turn = np.nonzero(dealt >= 0)
    positions[batch, row_of[batch, turn], slot_of[batch, turn]] = dealt[batch, turn]
    return positions, loads


class PaddedPlan:
    """One example a row (K = 1): shuffled, cut into batches, and each batch padded to one of `widths`.

    Args:
        lengths: (N,) tokens of each example, all at least 1.
        batch_size: examples a batch. The last batch of an epoch may have fewer.
        rows: R, at least `batch_size`; rows beyond the examples stay empty.
        widths: the row lengths T allowed, ascending; the last one holds the longest example.
        window: sort by length within windows of this many batches, and shuffle the batches; 0: neither.
    """

    slots = 1

    def __init__(self, lengths: np.ndarray, batch_size: int, *, rows: int, widths: np.ndarray, window: int = 0):
        self.rows, self.widths = rows, widths
        self._lengths, self._batch_size, self._window = lengths, batch_size, window
        self._batches = -(-len(lengths) // batch_size)
        self.keys = len(lengths) + self._batches

    def epoch(self, keys: np.ndarray | None) -> EpochPlan:
        """Deal an epoch. `keys` are `self.keys` random numbers, or `None` for the fixed order."""
        number = len(self._lengths)
        order = np.arange(number) if keys is None else np.argsort(keys[:number], kind="stable")
        if self._window:
            # In a fixed order there is nothing to keep random: one window.
            size = self._window * self._batch_size if keys is not None else number
            order = order[np.lexsort((-self._lengths[order], np.arange(number) // size))]
        slots = np.full(self._batches * self._batch_size, -1, np.int64)
        slots[:number] = order
        slots = slots.reshape(self._batches, self._batch_size)
        if self._window and keys is not None:
            slots = slots[np.argsort(keys[number:], kind="stable")]
        longest = np.where(slots >= 0, self._lengths[slots], 0).max(axis=1)
        indices = np.full((self._batches, self.rows, 1), -1, np.int64)
        indices[:, : self._batch_size, 0] = slots
        return EpochPlan(indices, fit_widths(longest, self.widths))


def bucketed_plan(
    lengths: np.ndarray,
    batch_size: int,
    *,
    rows: int | None = None,
    max_shapes: int = 8,
    window: int = BUCKET_WINDOW,
    max_length: int | None = None,
) -> PaddedPlan:
    """Plan batches of examples of like length, one a row. The arguments are those of `packed_plan` and `PaddedPlan`.

    No row is longer than `max_length`, as a model may have positions for no more.
    """
    # The row lengths are chosen as if all examples were sorted: near what the windows give, and the same every epoch.
    longest = np.sort(lengths)[::-1][::batch_size]
    widths = choose_widths(round_up(longest, WIDTH_MULTIPLE), max_shapes)
    if max_length is not None:
        widths = np.unique(np.minimum(widths, max_length))
    return PaddedPlan(lengths, batch_size, rows=rows or batch_size, widths=widths, window=window)


def padded_plan(
    lengths: np.ndarray, batch_size: int, *, rows: int | None = None, max_length: int | None = None
) -> PaddedPlan:
    """Plan batches of one shape: `max_length`, or else the longest example's length rounded up to a multiple of 8."""
    width = max_length or round_up(lengths.max(), WIDTH_MULTIPLE)
    return PaddedPlan(lengths, batch_size, rows=rows or batch_size, widths=np.array([width]))
