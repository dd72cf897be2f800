"""The planner: every example once an epoch, whatever the lengths, in few shapes, and hardly any padding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfllm.data import plan as planner

LENGTHS = st.lists(st.integers(1, 90), min_size=1, max_size=120).map(lambda lengths: np.array(lengths, np.int64))
BATCH_SIZES = st.integers(1, 20)


def make(layout, lengths, batch_size, **options):
    if layout == "padded":
        options.pop("max_shapes", None)
    return getattr(planner, f"{layout}_plan")(lengths, batch_size, **options)


def deal(plan, seed=0, epoch=0):
    return plan.epoch(planner.shuffle_keys(seed, epoch, plan.keys))


def composition(epoch_plan):
    """The set of examples of each batch."""
    return [frozenset(batch[batch >= 0].tolist()) for batch in epoch_plan.indices]


def sentence_lengths(number, seed=0):
    """Lengths like those of a corpus of sentences: mean 13, a long tail."""
    return np.clip(np.random.default_rng(seed).lognormal(2.4, 0.6, number).astype(np.int64) + 2, 3, 128)


@pytest.mark.parametrize("layout", ["packed", "bucketed", "padded"])
@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, batch_size=BATCH_SIZES, max_shapes=st.integers(1, 5), shuffled=st.booleans())
def test_every_example_stands_once_in_a_row_that_holds_it(layout, lengths, batch_size, max_shapes, shuffled):
    plan = make(layout, lengths, batch_size, max_shapes=max_shapes)
    epoch = deal(plan) if shuffled else plan.epoch(None)
    batches = -(-len(lengths) // batch_size)

    assert epoch.indices.shape == (batches, plan.rows, plan.slots) and epoch.widths.shape == (batches,)
    places = epoch.indices
    assert sorted(places[places >= 0].tolist()) == list(range(len(lengths)))
    used = np.where(places >= 0, lengths[places], 0).sum(axis=2)
    assert (used <= epoch.widths[:, None]).all()
    assert set(epoch.widths) <= set(plan.widths) and len(plan.widths) <= max_shapes
    assert (plan.widths % planner.WIDTH_MULTIPLE == 0).all()
    sizes = (places >= 0).sum(axis=(1, 2))
    assert sizes.max() <= batch_size
    if len(lengths) % batch_size == 0:
        assert (sizes == batch_size).all()


@settings(max_examples=40, deadline=None)
@given(LENGTHS, BATCH_SIZES, st.integers(1, 4), st.integers(1, 3), st.integers(0, 9))
def test_packed_batches_do_not_depend_on_the_rows(lengths, batch_size, multiple, factor, seed):
    automatic = make("packed", lengths, batch_size, rows_multiple=multiple)
    given_rows = make("packed", lengths, batch_size, rows=multiple * factor)
    assert automatic.rows % multiple == 0 and given_rows.rows == multiple * factor
    assert composition(deal(automatic, seed)) == composition(deal(given_rows, seed))


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, batch_size=BATCH_SIZES, epoch=st.integers(1, 1000))
def test_packed_epochs_have_the_same_shapes(lengths, batch_size, epoch):
    plan = make("packed", lengths, batch_size)
    assert sorted(deal(plan, 0, epoch).widths) == sorted(plan.epoch(None).widths)


def test_no_bucketed_row_is_longer_than_the_longest_example_may_be():
    plan = planner.bucketed_plan(np.array([3, 20, 44, 50]), 1, max_length=50)
    assert plan.widths.tolist() == [8, 24, 48, 50] and plan.epoch(None).widths.max() == 50


@pytest.mark.parametrize("layout", ["packed", "bucketed", "padded"])
def test_order_is_a_function_of_seed_and_epoch(layout):
    lengths = sentence_lengths(500)
    first = deal(make(layout, lengths, 16), 3, 5)
    again = deal(make(layout, lengths, 16), 3, 5)
    assert np.array_equal(first.indices, again.indices) and np.array_equal(first.widths, again.widths)
    others = [deal(make(layout, lengths, 16), seed, epoch) for seed, epoch in ((3, 6), (4, 5), (5, 3))]
    for one, other in itertools.combinations([first, *others], 2):
        assert composition(one) != composition(other)


def test_shuffle_keys_are_pinned():
    # A run that goes on with another NumPy must find its order again.
    assert planner.shuffle_keys(7, 2, 3).tolist() == [141532142757291850, 5531596511530955416, 16972837978056139309]


@pytest.mark.parametrize("layout", ["packed", "bucketed", "padded"])
def test_company_changes_from_epoch_to_epoch(layout):
    # 64 different lengths, so the longest has a class for itself unless classes are merged.
    lengths = np.arange(1, 65)
    plan = make(layout, lengths, 8)
    company = set()
    for epoch in range(40):
        company |= next(batch for batch in composition(deal(plan, 0, epoch)) if 63 in batch)
    # Bucketed batches bring like with like; elsewhere nearly everyone is met.
    assert len(company) > (7 if layout == "bucketed" else 50)


@pytest.mark.parametrize("layout", ["packed", "bucketed", "padded"])
def test_length_does_not_tell_the_step(layout):
    plan = make(layout, np.arange(1, 257), 8)
    steps = []
    for epoch in range(80):
        steps += [step for step, batch in enumerate(composition(deal(plan, 0, epoch))) if 255 in batch]
    assert len(set(steps)) > 20  # of 32


def test_packed_batches_draw_uniformly():
    # Which of the examples of one length are drawn together is chance: each pair as often as any other.
    plan = make("packed", np.full(32, 10), 8)
    together = np.zeros((32, 32))
    for epoch in range(600):
        for batch in composition(deal(plan, 0, epoch)):
            members = list(batch)
            together[np.ix_(members, members)] += 1
    pairs = together[np.triu_indices(32, 1)]
    expected = 600 * 7 / 31
    assert abs(pairs.mean() - expected) < 1e-9
    assert 0.8 < pairs.std() / np.sqrt(expected * (1 - 7 / 31)) < 1.2


def test_packed_fill():
    lengths = sentence_lengths(4000)
    for rows_multiple in (1, 2):
        plan = make("packed", lengths, 16, rows_multiple=rows_multiple)
        assert lengths.sum() / (plan.rows * deal(plan).widths.sum()) > 0.95
        assert len(plan.widths) <= 4


def test_bucketed_pads_less_than_padded():
    lengths = sentence_lengths(4000)
    bucketed, padded = (make(layout, lengths, 16) for layout in ("bucketed", "padded"))
    assert deal(bucketed).widths.sum() < 0.3 * deal(padded).widths.sum()


def test_padded_order_is_plain():
    plan = make("padded", np.array([3, 9, 4, 5, 8]), 2)
    assert plan.epoch(None).indices[..., 0].tolist() == [[0, 1], [2, 3], [4, -1]]
    assert plan.widths.tolist() == [16]
    assert make("padded", np.array([3, 9]), 2, max_length=20).widths.tolist() == [20]


def test_long_batches_are_cut_into_rows():
    # Attention costs T a token; a short batch is not worth cutting.
    assert make("packed", np.full(320, 5), 16).rows == 1
    assert make("packed", np.full(320, 500), 16).rows == 16


@settings(max_examples=60, deadline=None)
@given(needed=st.lists(st.integers(1, 12), min_size=1, max_size=30), max_shapes=st.integers(1, 4))
def test_widths_are_the_best_there_are(needed, max_shapes):
    needed = np.array(needed) * 8
    widths = planner.choose_widths(needed, max_shapes)
    assert len(widths) <= max_shapes and widths.tolist() == sorted(set(widths.tolist()))
    values = np.unique(needed)
    best = min(
        planner.fit_widths(needed, np.array([*chosen, values[-1]])).sum()
        for number in range(min(max_shapes, len(values)))
        for chosen in itertools.combinations(values[:-1], number)
    )
    assert planner.fit_widths(needed, widths).sum() <= best * (1 + planner.SHAPE_TOLERANCE)


def test_fewer_shapes_where_they_do():
    needed = np.array([800] * 1000 + [792] * 1000 + [784] * 10)
    assert len(planner.choose_widths(needed, 4)) == 1  # within 1 % of the best
    assert planner.choose_widths(np.array([80] * 100 + [400] * 100), 4).tolist() == [80, 400]


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS)
def test_length_classes_have_enough_members_next_to_each_other(lengths):
    descending = np.sort(lengths)[::-1]
    classes = planner.length_classes(descending)
    assert (np.diff(classes) >= 0).all() and classes[0] == 0
    assert (np.bincount(classes) >= min(planner.MIN_CLASS_SIZE, len(lengths))).all()
    same_length = np.diff(descending) == 0
    assert (np.diff(classes)[same_length] == 0).all()
