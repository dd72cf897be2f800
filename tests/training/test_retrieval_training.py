"""Fine-tuning for retrieval: the trainer end to end, and a saved encoder that `evaluate` reads."""

import keras
import numpy as np
import pytest
import toy_finetuning

import tfllm
from tfllm import training
from tfllm.data.examples import Examples
from tfllm.errors import UserError
from tfllm.tasks.retrieval import RetrievalKind
from tfllm.tasks.task import Task

OPPOSITES = dict(zip(toy_finetuning.GOOD + toy_finetuning.BAD, toy_finetuning.BAD + toy_finetuning.GOOD))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return toy_finetuning.save_toy_checkpoint(tmp_path_factory.mktemp("bert"), dropout=0.0)


def answers_task() -> Task:
    """The answer to a word is its opposite among others: nothing that an untrained model would find alike."""

    def read(split: str) -> Examples:
        draw = np.random.default_rng({"train": 0, "validation": 1}[split])
        queries, answers = [], []
        for word, opposite in list(OPPOSITES.items()) * {"train": 16, "validation": 1}[split]:
            others = draw.choice(toy_finetuning.WORDS, 4)
            queries.append(f"{others[0]} {word} {others[1]}")
            answers.append(f"{others[2]} {opposite} {others[3]}")
        return Examples((queries, answers))

    return Task(
        name="toy/answers", kind="retrieval", strategy=RetrievalKind(), text_fields=("query", "answer"), read=read,
        metrics=("mrr",), main_metric="mrr", splits={"train": "", "validation": ""},
    )  # fmt: skip


def classes_task() -> Task:
    """Texts are alike that have the same one of eight words."""

    def read(split: str) -> Examples:
        draw = np.random.default_rng({"train": 2, "validation": 3}[split])
        words = list(OPPOSITES) * {"train": 12, "validation": 3}[split]
        texts = [" ".join([*draw.choice(toy_finetuning.WORDS, 3), word]) for word in words]
        return Examples((texts,), columns={"group": words})

    return Task(
        name="toy/classes", kind="retrieval", strategy=RetrievalKind(), text_fields=("text",), read=read,
        metrics=("map_at_r",), main_metric="map_at_r", splits={"train": "", "validation": ""},
    )  # fmt: skip


def run(bert, task, directory, **options):
    config = training.FinetuneConfig(
        model=str(bert), run_dir=str(directory), batch_size=8, learning_rate=3e-3, epochs=10, max_length=16, **options
    )
    return training.Trainer(config, task=task).run()


@pytest.mark.parametrize("make, metric", [(answers_task, "mrr"), (classes_task, "map_at_r")])
def test_training_finds_what_belongs_together(make, metric, bert, tmp_path):
    task = make()
    before = task.evaluate(tfllm.load(bert, head="embedder"), max_length=16)[metric]
    results = run(bert, task, tmp_path / "run")
    after = results["scores"]["validation"][metric]
    assert before < 0.5 and after > 0.8, (before, after)
    # The encoder alone is written, as any Hugging Face directory; reading it again gives the same score.
    saved = tmp_path / "run" / "model"
    for head in ("embedder", "backbone"):
        model = tfllm.load(saved, head=head)
        assert not model.checkpoint["fresh"]  # a pooler was written too
        assert task.evaluate(model, max_length=16)[metric] == pytest.approx(after, abs=1e-6)
    assert results["examples"]["train"] == len(task.examples("train"))


def test_only_one_device(bert, tmp_path):
    with pytest.raises(UserError, match="cannot be divided: train on one device .* Received: a batch in 2 parts"):
        run(bert, answers_task(), tmp_path / "run", micro_batches=2)
    assert not (tmp_path / "run").exists()


def test_regularizers_of_classes_are_refused(bert, tmp_path):
    with pytest.raises(UserError, match="a cross-entropy of logits"):
        run(bert, answers_task(), tmp_path / "run", label_smoothing=0.1)


def test_saved_as_keras(bert, tmp_path):
    model = tfllm.load(bert, head="embedder")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    tokens = np.array([[2, 5, 6, 3, 0]], "int32")
    np.testing.assert_allclose(again(tokens), model(tokens), atol=1e-6)
