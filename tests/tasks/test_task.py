"""A task with a real tokenizer, real batches and a small randomly initialised model."""

import gc
import json
import os
import stat
import weakref

import numpy as np
import pytest

import tfllm
from tfllm import metrics, tasks
from tfllm.errors import UserError

WORDS = "the a cat dog sat ran on mat fast slow very good bad film was not it one two three".split()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    (directory / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    return tfllm.text.load(directory)


def make_model(tokenizer, num_labels=2, **options):
    import keras

    from tfllm.config import TransformerConfig
    from tfllm.models import SequenceClassifier

    keras.utils.set_random_seed(1)
    config = TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        intermediate_size=32,
        type_vocab_size=2,
        max_positions=options.pop("max_positions", 64),
        initializer_range=0.5,
    )
    model = SequenceClassifier(config, num_labels, **options)
    model.tokenizer = tokenizer
    return model


def sentences(count, seed, longest=12):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest))) for _ in range(count)]


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(5)
    split = {
        "train": {"a": sentences(50, 0), "b": sentences(50, 1), "label": rng.integers(0, 2, 50)},
        "validation": {"a": sentences(37, 2), "b": sentences(37, 3), "label": rng.integers(0, 2, 37)},
        "test": {"a": sentences(9, 4), "b": sentences(9, 5)},
    }
    return tasks.from_memory(
        **split, text=("a", "b"), name="toy/pairs", metrics=("accuracy", "f1", "matthews_corrcoef")
    )


def one_by_one(model, task, split, tokenizer, max_length=128):
    """The logits of each example alone, without any batch."""
    first, second = task.examples(split).texts
    rows = []
    for a, b in zip(first, second):
        encoding = tokenizer.encode_batch([a], [b], max_length=max_length)
        x = {"token_ids": encoding.ids[None], "example_ids": np.ones_like(encoding.ids[None])}
        x["type_ids"] = encoding.type_ids[None].astype(np.int32)
        rows.append(np.asarray(model(x, training=False))[0, 0])
    return np.array(rows)


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_model(tokenizer)


@pytest.fixture(scope="module")
def expected_logits(model, task, tokenizer):
    known = {}

    def of(split):
        if split not in known:
            known[split] = one_by_one(model, task, split, tokenizer)
        return known[split]

    return of


@pytest.mark.parametrize("layout", ["packed", "bucketed", "padded"])
@pytest.mark.parametrize("split, batch_size", [("validation", 8), ("train", 64), ("test", 4)])
def test_predict_gives_the_logits_in_the_order_of_the_examples(task, model, expected_logits, layout, split, batch_size):
    steps = []
    logits = task.predict(
        model, split, batch_size=batch_size, layout=layout, progress=lambda done, total: steps.append((done, total))
    )
    assert logits.dtype == np.float32 and logits.shape == (len(task.examples(split)), 2)
    expected = expected_logits(split)
    np.testing.assert_allclose(logits, expected, atol=2e-5)
    assert np.abs(expected - expected[::-1]).max() > 0.1  # another order would be seen
    assert steps == [(i + 1, len(steps)) for i in range(len(steps))]


def test_evaluate_is_score_of_predict(task, tokenizer, expected_logits):
    model = make_model(tokenizer)
    # Half of the predictions are class 1, so that no metric is at one of its ends.
    difference = np.sort(np.diff(expected_logits("validation")), axis=0)[17:19].mean()
    model.classifier.bias.assign([difference, 0])
    scores = task.evaluate(model, batch_size=8)
    labels = task.examples("validation").labels
    predicted = (expected_logits("validation") + [difference, 0]).argmax(axis=1)
    assert scores["accuracy"] == np.mean(predicted == labels)
    assert scores["matthews_corrcoef"] == pytest.approx(metrics.matthews_corrcoef(predicted, labels))
    assert (scores["n"], scores["split"], scores["truncated"], scores["skipped"]) == (37, "validation", 0, 0)
    for name in task.metrics:
        low, high = scores["ci95"][name]
        assert low <= scores[name] <= high and low < high
        assert "bootstrap" in scores["ci_method"][name]
    json.dumps(scores)  # plain numbers only: it goes into a run's results
    assert "ci95" not in task.evaluate(model, batch_size=8, confidence_interval=False)


def test_too_long_texts_are_cut_and_counted(task, tokenizer):
    model = make_model(tokenizer)
    scores = task.evaluate(model, batch_size=8, max_length=12)
    lengths = tokenizer.encode_batch(*task.examples("validation").texts).lengths
    assert scores["truncated"] == (lengths > 12).sum() > 0
    expected = one_by_one(model, task, "validation", tokenizer, max_length=12)
    np.testing.assert_allclose(task.predict(model, batch_size=8, max_length=12), expected, atol=2e-5)
    # No more than the model has positions for, whatever is asked.
    short = make_model(tokenizer, max_positions=12)
    assert task.evaluate(short, batch_size=8, max_length=500)["truncated"] == scores["truncated"]


def test_regression_task(tokenizer):
    rng = np.random.default_rng(0)
    data = {"text": sentences(20, 8), "label": rng.uniform(0, 5, 20)}
    task = tasks.from_memory(validation=data, kind="regression", label_range=(0, 5))
    scores = task.evaluate(make_model(tokenizer, num_labels=1, regression=True), batch_size=4)
    assert set(scores["ci95"]) == {"pearson", "spearman"} and -1 <= scores["pearson"] <= 1


def test_compiled_call_is_kept_per_model_and_sees_new_weights(task, tokenizer):
    from tfllm.tasks import prediction

    model = make_model(tokenizer)
    before = task.predict(model, "test", batch_size=4)
    function = prediction.compiled_call(model)
    traces = function.experimental_get_tracing_count()
    model.classifier.kernel.assign(-model.classifier.kernel)
    after = task.predict(model, "test", batch_size=4)
    np.testing.assert_allclose(after, -before, atol=1e-5)  # the biases are 0
    assert function.experimental_get_tracing_count() == traces
    reference = weakref.ref(model)
    del model, function
    gc.collect()
    assert reference() is None


def test_model_whose_layers_change_is_traced_again(task, tokenizer):
    model = make_model(tokenizer)
    before = task.predict(model, "test", batch_size=4)
    for block_or_layer in model.backbone._flatten_layers():
        if isinstance(block_or_layer, tfllm.layers.Dense):
            block_or_layer.enable_lora(2)
            block_or_layer.lora_b.assign(np.ones(block_or_layer.lora_b.shape))
    after = task.predict(model, "test", batch_size=4)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, one_by_one(model, task, "test", tokenizer), atol=2e-4)


def test_pipeline_defaults(task, tokenizer):
    train = task.pipeline("train", tokenizer, batch_size=8)
    assert [i for i in train.example_indices(0).ravel() if i >= 0] != list(range(8))  # shuffled
    assert np.array_equal(train.example_indices(0), task.pipeline("train", tokenizer, batch_size=8).example_indices(0))
    assert not np.array_equal(
        train.example_indices(0), task.pipeline("train", tokenizer, batch_size=8, seed=1).example_indices(0)
    )
    padded = task.pipeline("validation", tokenizer, batch_size=8, layout="padded")
    assert padded.example_indices(0).ravel().tolist() == list(range(8))
    assert task.tokenized("train", tokenizer) is task.tokenized("train", tokenizer)


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
def test_batches_train_a_model(task, tokenizer):
    model = make_model(tokenizer)
    dataset = task.batches("train", tokenizer, batch_size=10)
    assert dataset.cardinality().numpy() == 5
    seen = 0
    for x, y, w in dataset:
        assert set(x) >= {"token_ids", "example_ids", "position_ids", "head_positions"}
        assert y.shape == w.shape == x["head_positions"].shape
        seen += int(w.numpy().sum())
    assert seen == 50
    import keras

    model.compile(keras.optimizers.Adam(1e-2), **model.compile_defaults())
    history = model.fit(dataset, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda task, model: task.evaluate(model, "test"), "the split 'test' has no labels, so it cannot be scored"),
        (
            lambda task, model: task.evaluate(model, "dev"),
            "toy/pairs has no split 'dev'. Its splits are: train, validation, test.",
        ),
        (
            lambda task, model: task.score(np.zeros((2, 3)), np.zeros(2, int)),
            "has 2 outputs. Received: logits of shape",
        ),
        (lambda task, model: task.score(np.zeros((2, 2)), np.zeros(3, int)), "a label for each of the 2 predictions"),
        (lambda task, model: task.score([[np.inf, 0], [0, 1]], [0, 1]), "NaN or infinity for 1 of 2 examples"),
    ],
)
def test_errors(task, model, call, message):
    with pytest.raises(UserError, match=message):
        call(task, model)


def test_wrong_models(task, tokenizer):
    with pytest.raises(
        UserError, match=r"toy/pairs needs a model whose outputs have the shape \(B, K, 2\).* num_labels=2"
    ):
        task.predict(make_model(tokenizer, num_labels=3))
    model = make_model(tokenizer)
    model.tokenizer = None
    with pytest.raises(UserError, match="the model has no tokenizer. Give tokenizer="):
        task.predict(model)
    assert task.predict(model, "test", tokenizer=tokenizer).shape == (9, 2)


def test_write_predictions(task, tmp_path):
    logits = np.eye(2)[[1, 0, 1, 0, 0, 0, 0, 0, 1]]
    path = tmp_path / "test.tsv"
    task.write_predictions(logits, "test", path)
    assert path.read_text().split("\n")[:3] == ["index\tprediction", "0\t1", "1\t0"]
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o600 == 0o600
    with pytest.raises(UserError, match="test.tsv is there already. Give another path, or overwrite=True."):
        task.write_predictions(1 - logits, "test", path)
    assert path.read_text().split("\n")[1] == "0\t1"
    task.write_predictions(1 - logits, "test", path, overwrite=True)
    assert path.read_text().split("\n")[1] == "0\t0"
    with pytest.raises(UserError, match="the split 'test' has 9 examples. Received: 8 predictions."):
        task.write_predictions(logits[:8], "test", tmp_path / "other.tsv")
    with pytest.raises(UserError, match="There is no directory"):
        task.write_predictions(logits, "test", tmp_path / "none" / "test.tsv")
    assert os.listdir(tmp_path) == ["test.tsv"]


def test_write_predictions_in_the_form_of_glue(glue_dir, tmp_path):
    def lines(name, split, logits):
        task = tasks.get(f"glue/{name}", data_dir=glue_dir)
        path = tmp_path / f"{name}-{split}.tsv"
        task.write_predictions(np.asarray(logits), split, path)
        return path.read_text().split("\n")[1:-1]

    assert lines("cola", "test", [[0.0, 1], [1, 0]]) == ["0\t1", "1\t0"]
    assert lines("mnli", "test_mismatched", [[0.0, 1, 0]]) == ["0\tneutral"]
    assert lines("qnli", "test", [[0.0, 1]]) == ["0\tnot_entailment"]
    assert lines("wnli", "test", [1]) == ["0\t1"]
    assert lines("stsb", "test", [[5.2], [2.71828]]) == ["0\t5.000", "1\t2.718"]
    assert lines("stsb", "validation", [[-0.0]]) == ["0\t0.000"]
    assert lines("qqp", "train", [[0.0, 1], [1, 0]]) == ["0\t1", "3\t0"]  # ids are row numbers: two rows were skipped


def test_write_predictions_of_a_task_of_one_s_own(tmp_path):
    numbers = tasks.from_memory(test={"text": ["a", "b"]}, kind="regression")
    numbers.write_predictions(np.array([[1e-5], [1234.5678]]), "test", tmp_path / "numbers.tsv")
    assert (tmp_path / "numbers.tsv").read_text() == "index\tprediction\n0\t1e-05\n1\t1234.5678\n"
    words = tasks.from_memory(test={"text": ["a"]}, labels=("yes", "no\tno"))
    with pytest.raises(UserError, match="without tabs and line ends. Received: 'no\\\\tno'"):
        words.write_predictions([0], "test", tmp_path / "words.tsv")
