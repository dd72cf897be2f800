"""Retrieval, cloze tests and completion, with toy models and worked out by hand."""

import keras
import numpy as np
import pytest
import toy_finetuning
import toy_text_models

import tfllm
from tfllm import metrics
from tfllm.data.examples import Examples
from tfllm.errors import UserError
from tfllm.metrics.ranking import average_precisions
from tfllm.tasks.cloze import ClozeKind, candidate_id, masked_pairs
from tfllm.tasks.completion import CompletionKind, code_blocks
from tfllm.tasks.retrieval import RetrievalKind
from tfllm.tasks.task import Task


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return toy_finetuning.save_toy_checkpoint(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    return tfllm.load(
        toy_text_models.save_text_model(tmp_path_factory.mktemp("gpt") / "gpt2", "gpt2"), head="causal_lm"
    )


def task_of(kind, strategy, metric, examples):
    return Task(
        name=f"toy/{kind}", kind=kind, strategy=strategy, text_fields=("a", "b")[: len(examples.texts)],
        read=lambda split: examples, metrics=(metric,), main_metric=metric, splits={"test": ""},
    )  # fmt: skip


def test_average_precisions_are_those_of_map_at_r():
    rng = np.random.default_rng(0)
    labels, scores = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2]), rng.normal(size=(9, 9))
    parts = [average_precisions(scores[rows], labels[rows], rows, labels) for rows in (np.arange(4), np.arange(4, 9))]
    assert np.concatenate(parts).mean() == pytest.approx(metrics.map_at_r(scores, labels), abs=1e-12)
    with pytest.raises(UserError, match="needs two members"):
        average_precisions(scores[:1], [7], [0], np.array([7, *labels[1:]]))


def test_retrieval_by_mean_hidden_states(bert):
    model = tfllm.load(bert, head="backbone")
    texts = ["a good film", "the plot", "a good film", "the plot", "music"]
    examples = Examples((texts,), columns={"group": ["x", "y", "x", "y", "x"]})
    task = task_of("retrieval", RetrievalKind(keep=2), "map_at_r", examples)
    outputs = task.predict(model, "test", batch_size=3)
    # The mean of the real tokens' states, each text alone.
    means = np.stack(
        [np.asarray(model(np.array([model.tokenizer.encode(text)], "int32")))[0].mean(axis=0) for text in texts]
    )
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    scores = task.score_split(outputs, "test")
    assert scores["map_at_r"] == pytest.approx(metrics.map_at_r(means @ means.T, [0, 1, 0, 1, 0]), abs=1e-6)
    assert outputs.best[0][0] == 2 and outputs.best[1][0] == 3 and outputs.best.shape == (5, 2) and scores["n"] == 5
    assert task.strategy.rows(task, outputs, examples)[0]["prediction"] == "2"

    pairs = Examples((["a good film", "the plot", "music"], ["the plot", "the plot", "a good film"]))
    task = task_of("retrieval", RetrievalKind(), "mrr", pairs)
    outputs = task.predict(model, "test", batch_size=3)
    assert outputs.scores[1] == 0.5  # both of the first answers are its text; the first one comes first
    assert task.score_split(outputs, "test")["mrr"] == pytest.approx(outputs.scores.mean())


def test_retrieval_is_not_trained(bert):
    with pytest.raises(UserError, match="has no loss of its own"):
        tfllm.load(bert, head="backbone").compile_defaults()


def test_cloze(bert):
    model = tfllm.load(bert, head="masked_lm")
    words = ("good", "bad", "not-a-word")
    examples = Examples((["the end", "a"], ["a <mask> film", "plot <mask>"]), np.array([0, 1]), label_names=words)
    task = task_of("cloze", ClozeKind(), "accuracy", examples)
    scores = task.predict(model, "test", batch_size=2)
    for row, (text, code) in enumerate(zip(*examples.texts)):
        ids = model.tokenizer.encode(text, code.replace("<mask>", "[MASK]"))
        batch = {
            "token_ids": np.array([ids], "int32"),
            "type_ids": np.array([_types(model.tokenizer, text, code)], "int32"),
        }
        logits = np.asarray(model(batch))[0, ids.index(model.tokenizer.mask_id)]
        expected = [logits[candidate_id(model.tokenizer, word)] for word in words[:2]]
        np.testing.assert_allclose(scores[row, :2], expected, rtol=1e-4, atol=1e-5)
        assert scores[row, 2] == -np.inf
    result = task.score_split(scores, "test")
    assert result["accuracy"] == np.mean(scores.argmax(axis=1) == [0, 1]) and result["candidates_without_token"] == 1
    with pytest.raises(UserError, match="expected one <mask> a text. Received: 2 in example 0"):
        task_of("cloze", ClozeKind(), "accuracy", Examples((["a"], ["<mask> <mask>"]), label_names=words)).examples(
            "test"
        )


def _types(tokenizer, text, code):
    first = len(tokenizer.encode(text))
    return [0] * first + [1] * (len(tokenizer.encode(text, code.replace("<mask>", "[MASK]"))) - first)


def test_long_texts_are_cut_around_the_mask(bert):
    tokenizer = tfllm.text.load(bert)
    code = " ".join(["film"] * 30) + " <mask> " + " ".join(["plot"] * 30)
    tokens = masked_pairs(["a the was is"], [code], tokenizer, 15)
    ids = tokens.token_ids.tolist()
    assert len(ids) == 15 and tokens.truncated == 1 and ids.count(tokenizer.mask_id) == 1
    place = ids.index(tokenizer.mask_id)
    assert [tokenizer.id_to_token(i) for i in (ids[place - 1], ids[place + 1])] == ["film", "plot"]
    assert [tokenizer.id_to_token(i) for i in ids[1:4]] == ["a", "the", "was"]  # a quarter of the room


def test_code_tokens_and_their_subtokens(gpt):
    blocks = code_blocks(["<s> ab = c </s>", "xyz"], gpt.tokenizer, 6)
    owners = [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5]  # bytes: the space belongs to the token behind it
    assert blocks.owners.tolist() == owners
    assert blocks.offsets.tolist() == [0, 6, 12, 15, 18]
    labels = blocks.token_labels.tolist()
    assert [labels[end - 1] for end in blocks.offsets[1:]] == [-1] * 4 and labels[0] == blocks.token_ids[1]


def test_completion_counts_whole_code_tokens(gpt):
    examples = Examples((["<s> aa = aa </s>", "aa ="],))
    task = task_of("completion", CompletionKind(), "token_accuracy", examples)
    keras.utils.set_random_seed(0)
    outputs = [task.predict(gpt, "test", batch_size=2, layout=layout, max_length=32) for layout in ("packed", "padded")]
    assert (outputs[0].right == outputs[1].right).all()
    assert outputs[0].counted.tolist() == [False, True, True, True, False, True, True]
    scores = task.score_split(outputs[0], "test")
    assert scores["n"] == 5 and scores["token_accuracy"] == outputs[0].right.sum() / 5
    # By hand: every byte of a code token, its space included, is the most likely one.
    ids = np.frombuffer(b"<s> aa = aa </s>", np.uint8).astype("int32")
    best = np.asarray(gpt(ids[None]))[0].argmax(axis=-1)
    right = best[:-1] == ids[1:]  # of byte 1, 2, ...
    assert outputs[0].right[:4].tolist() == [False, right[2:5].all(), right[5:7].all(), right[7:10].all()]


def test_completion_learns(gpt):
    """Trained on its own test set, every token but a text's first is right."""
    from tfllm import training

    examples = Examples((["<s> aa = bb </s>"] * 8,))
    task = task_of("completion", CompletionKind(), "token_accuracy", examples)
    data = task.pipeline("test", gpt.tokenizer, batch_size=8, max_length=32)
    gpt.compile(training.optimizer("adamw", 1e-2, total_steps=60), **gpt.compile_defaults())
    gpt.fit(data.dataset(0, 60), steps_per_epoch=60, verbose=0)
    assert task.evaluate(gpt, "test", max_length=32)["token_accuracy"] == 1.0
