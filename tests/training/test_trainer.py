from __future__ import annotations

import dataclasses
import json
import logging
import shutil

import keras
import numpy as np
import pytest
import toy_finetuning

import tfllm
from tfllm import tasks, training
from tfllm.errors import UserError


@pytest.fixture(scope="module")
def finished(checkpoint, tmp_path_factory):
    """One run to the end: `(config, results, directory)`."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    config = training.FinetuneConfig(
        model=str(checkpoint),
        run_dir=str(directory),
        epochs=8,
        learning_rate=1e-2,
        batch_size=8,
        seed=3,
        max_length=10,
        log_every=50,
        predict_test=True,
    )
    task = toy_finetuning.sentiment_task(baseline=lambda split: {"accuracy": 0.5125, "name": "coin"})
    return config, training.Trainer(config, task=task).run(), directory


def test_a_run_learns_and_leaves_a_directory_that_tells_all_of_it(finished):
    config, results, directory = finished
    assert {path.name for path in directory.iterdir()} == {
        "config.json", "results.json", "metrics.jsonl", "tensorboard", "model", "learning_curve.png", "README.md",
        "validation_predictions.tsv", "test_predictions.tsv",
    }  # fmt: skip
    assert training.FinetuneConfig(**json.loads((directory / "config.json").read_text())) == config
    written = json.loads((directory / "results.json").read_text())
    assert written["status"] == "ok" and written["scores"] == results["scores"]
    scores = written["scores"]["validation"]
    low, high = scores["ci95"]["accuracy"]
    assert scores["accuracy"] > 0.9 and low <= scores["accuracy"] <= high and scores["n"] == 40
    assert written["steps"] == 160 and written["best_step"] in range(20, 161, 20)
    assert max(line["accuracy"] for line in written["evaluations"]) == scores["accuracy"]
    assert (
        set(written["seconds"]) == {"prepare", "train", "evaluate", "total"}
        and written["throughput"]["examples_per_second"] > 0
    )
    steps = [
        json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines() if "loss" in line
    ]
    assert steps == [50, 100, 150, 160]
    assert (directory / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_count_of_cut_texts_is_reported(finished):
    _, results, _ = finished
    lengths = [len(text.split()) for text in toy_finetuning.sentiment(160, 0)["text"]]
    assert results["truncated"]["train"] == sum(length + 2 > 10 for length in lengths) > 0


def test_the_saved_model_gives_the_reported_score(finished):
    _, results, directory = finished
    model = tfllm.load(directory / "model")
    scores = toy_finetuning.sentiment_task().evaluate(model, "validation", max_length=10)
    assert scores["accuracy"] == results["scores"]["validation"]["accuracy"]
    assert model.checkpoint["hf_config"]["id2label"] == {"0": "negative", "1": "positive"}


def test_predictions_are_in_the_order_of_the_examples(finished):
    _, results, directory = finished
    header, *lines = (line.split("\t") for line in (directory / "validation_predictions.tsv").read_text().splitlines())
    assert header == ["id", "label", "prediction", "probability"]
    assert [line[1] for line in lines] == toy_finetuning.sentiment(40, 1)["label"]
    assert np.mean([line[1] == line[2] for line in lines]) == pytest.approx(results["scores"]["validation"]["accuracy"])
    assert all(0.5 <= float(line[3]) <= 1 for line in lines)
    assert (directory / "test_predictions.tsv").read_text().startswith("id\tprediction\tprobability\n0\t")


def test_the_model_card_states_task_score_and_settings_and_no_path(finished, checkpoint):
    _, results, directory = finished
    card = (directory / "README.md").read_text()
    score = results["scores"]["validation"]
    low, high = score["ci95"]["accuracy"]
    assert f"| validation | accuracy | {score['accuracy']:.4f} | {low:.4f} to {high:.4f} | 40 |" in card
    assert (
        "# bert fine-tuned on toy/sentiment" in card
        and "| learning_rate | 0.01 |" in card
        and "licence of the data" in card
    )
    assert str(checkpoint.parent) not in card and "{{" not in card


def test_a_plain_fit_gives_the_same_losses_and_weights(checkpoint, task, tmp_path):
    keras.utils.set_random_seed(7)
    plain = tfllm.load(checkpoint, head="classifier", num_labels=2)
    steps = task.pipeline("train", plain.tokenizer, batch_size=16, seed=7, max_length=24).steps_per_epoch
    rate = training.optimizer("adamw", 1e-3, total_steps=2 * steps, schedule="cosine", warmup=3, layer_decay=0.9)
    plain.compile(rate, **plain.compile_defaults())
    plain_metrics = tmp_path / "plain.jsonl"
    data = task.batches("train", plain.tokenizer, batch_size=16, seed=7, max_length=24)
    plain.fit(data, epochs=2, verbose=0, callbacks=[training.JsonlMetrics(plain_metrics)])

    # Evaluating in the midst of training must not show.
    config = training.FinetuneConfig(
        model=str(checkpoint), run_dir=str(tmp_path / "run"), epochs=2, learning_rate=1e-3, schedule="cosine",
        warmup=3.0, layer_decay=0.9, seed=7, max_length=24, eval_every="1", log_every=1,
    )  # fmt: skip
    results = training.Trainer(config, task=task).run()
    assert results["steps"] == 2 * steps == 20
    expected, received = (
        [line["loss"] for line in map(json.loads, path.read_text().splitlines()) if "loss" in line]
        for path in (plain_metrics, tmp_path / "run" / "metrics.jsonl")
    )
    assert received == expected

    # With one evaluation, at the end, the best weights are the last ones.
    trainer = training.Trainer(config.replace(eval_every="20", run_dir=str(tmp_path / "again")), task=task)
    trainer.run()
    for path, weight in plain.named_weights().items():
        np.testing.assert_array_equal(weight.numpy(), trainer.model.named_weights()[path].numpy(), err_msg=path)


def test_a_regression_is_scored_by_correlation(checkpoint, tmp_path):
    config = training.FinetuneConfig(
        model=str(checkpoint), run_dir=str(tmp_path / "run"), epochs=4, learning_rate=1e-2, batch_size=8
    )
    results = training.Trainer(config, task=toy_finetuning.score_task()).run()
    assert results["scores"]["validation"]["pearson"] > 0.5
    header = (tmp_path / "run" / "validation_predictions.tsv").read_text().splitlines()[0]
    assert header == "id\tlabel\tprediction"


def test_max_steps_and_evaluation_by_step(checkpoint, task, tmp_path):
    config = training.FinetuneConfig(
        model=str(checkpoint), run_dir=str(tmp_path / "run"), max_steps=7, eval_every="3", epochs=5
    )
    results = training.Trainer(config, task=task).run()
    assert results["steps"] == results["total_steps"] == 7
    assert [line["step"] for line in results["evaluations"]] == [3, 6, 7]


def test_every_validation_split_is_scored_and_the_first_one_selects(checkpoint, tmp_path):
    task = toy_finetuning.sentiment_task()
    splits = {"train": "", "validation_matched": "", "validation_mismatched": ""}
    both = dataclasses.replace(task, splits=splits, read=lambda split: task.examples(split.split("_")[0]))
    config = training.FinetuneConfig(model=str(checkpoint), run_dir=str(tmp_path / "run"), max_steps=2)
    results = training.Trainer(config, task=both).run()
    assert list(results["scores"]) == ["validation_matched", "validation_mismatched"]
    assert results["selection_split"] == "validation_matched"
    assert (tmp_path / "run" / "validation_mismatched_predictions.tsv").exists()


def test_files_of_the_users_own(checkpoint, tmp_path):
    files = {
        name: str(toy_finetuning.write_jsonl(tmp_path / f"{name}.jsonl", toy_finetuning.sentiment(size, size)))
        for name, size in (("train_file", 48), ("validation_file", 24))
    }
    config = training.FinetuneConfig(
        model=str(checkpoint), run_dir=str(tmp_path / "run"), text_columns=("text",), max_steps=3, **files
    )
    results = training.finetune(config)
    assert results["examples"] == {"train": 48, "validation": 24}


def test_a_loss_that_is_no_number_leaves_a_failed_run_with_its_records(checkpoint, tmp_path):
    task = toy_finetuning.score_task()
    broken = task.examples("train").labels
    broken[:] = np.where(np.arange(len(broken)) == 40, np.float32(3e38), broken)  # its square overflows
    config = training.FinetuneConfig(
        model=str(checkpoint),
        run_dir=str(tmp_path / "run"),
        batch_size=4,
        log_every=1,
        eval_every="2",
        layout="padded",
        clip_norm=None,
        max_skipped_steps=0,
    )
    with pytest.raises(UserError, match=r"at step \d+, learning rate"):
        training.Trainer(config, task=task).run()
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["status"] == "failed" and "at step" in results["error"]
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        if "loss" in line
    ]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 2
    assert (tmp_path / "run" / "best.weights.h5").exists()


def test_an_interrupted_run_says_so_and_goes_on(checkpoint, task, tmp_path):
    def interrupt(split):
        if split == "validation":
            raise KeyboardInterrupt
        return {}

    interrupted = dataclasses.replace(task, baseline=interrupt)
    config = training.FinetuneConfig(model=str(checkpoint), run_dir=str(tmp_path / "run"), max_steps=1)
    with pytest.raises(KeyboardInterrupt):
        training.Trainer(config, task=interrupted).run()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["status"] == "interrupted"
    assert training.Trainer(config, task=task).run()["status"] == "ok"


def _task_without_its_test_file(directory):
    train = toy_finetuning.write_jsonl(directory / "train.jsonl", toy_finetuning.sentiment(20, 0))
    return tasks.from_files(train, train, directory / "test.jsonl", text="text", label="label")


def test_nothing_is_written_when_what_was_given_is_wrong(checkpoint, task, tmp_path):
    def run(task=task, **options):
        config = training.FinetuneConfig(**{"model": str(checkpoint), "run_dir": str(tmp_path / "run"), **options})
        training.Trainer(config, task=task).run()

    for options, message in [
        ({"model": ""}, "model is missing"),
        ({"model": str(tmp_path / "nowhere")}, "nowhere"),
        ({"task": None}, "task is missing"),
        ({"strategy": "tpu"}, "found no TPU"),
        ({"strategy": "multi_worker"}, "TF_CONFIG"),
        ({"tpu": "local"}, "tpu goes with strategy=tpu"),
        ({"optimizer": "adam"}, "adamw, .*muon, sgd. Received: optimizer='adam'"),
        ({"momentum": 0.9}, "momentum is an option of muon, sgd"),
        ({"task": _task_without_its_test_file(tmp_path), "predict_test": True}, "test.jsonl"),
        (
            {"task": tasks.from_memory(test={"text": ["x"]}, label=None, labels=("a", "b"))},
            "needs a train and a validation split",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            run(**options)
        assert not (tmp_path / "run").exists()


def test_an_existing_run_is_not_touched(checkpoint, task, tmp_path):
    (tmp_path / "results.json").write_text("precious")
    with pytest.raises(UserError, match="must not exist or be empty"):
        training.Trainer(training.FinetuneConfig(model=str(checkpoint), run_dir=str(tmp_path)), task=task).run()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("results.json", "precious")]


def test_seeds_are_separate_runs_with_mean_and_interval(checkpoint, tmp_path):
    files = {
        name: str(toy_finetuning.write_jsonl(tmp_path / f"{name}.jsonl", toy_finetuning.sentiment(40, size)))
        for name, size in (("train_file", 1), ("validation_file", 2))
    }
    config = training.FinetuneConfig(
        model=str(checkpoint),
        run_dir=str(tmp_path / "runs"),
        text_columns=("text",),
        epochs=1,
        learning_rate=3e-3,
        seed=4,
        seeds=2,
        **files,
    )
    results = training.finetune(config)
    alone = training.finetune(config.replace(seed=5, seeds=1, run_dir=str(tmp_path / "alone")))
    assert results["runs"][1]["scores"] == alone["scores"]
    one, two = (
        [
            json.loads(line)["loss"]
            for line in (tmp_path / path / "metrics.jsonl").read_text().splitlines()
            if "loss" in line
        ]
        for path in ("runs/seed-5", "alone")
    )
    assert one == two
    summary = json.loads((tmp_path / "runs" / "results.json").read_text())["scores_over_seeds"]["validation"][
        "accuracy"
    ]
    assert summary["mean"] == pytest.approx(np.mean(summary["values"])) and len(summary["values"]) == 2

    # Interrupted after the first: the same command keeps it and runs the other.
    outer, kept = tmp_path / "runs" / "results.json", tmp_path / "runs" / "seed-4" / "results.json"
    outer.write_text(json.dumps({"status": "interrupted"}))
    shutil.rmtree(tmp_path / "runs" / "seed-5")
    written = kept.stat().st_mtime_ns
    again = training.finetune(config)
    assert [run["scores"] for run in again["runs"]] == [run["scores"] for run in results["runs"]]
    assert kept.stat().st_mtime_ns == written
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"config.json", "results.json", "seed-4", "seed-5"}


def test_the_interval_over_seeds_is_students_t():
    from tfllm.training.seeds import seed_statistics

    statistics = seed_statistics([0.80, 0.82, 0.84])
    assert statistics["std"] == pytest.approx(0.02)
    # t(0.975, 2 degrees of freedom) = 4.30265, from a printed table
    assert statistics["ci95"] == pytest.approx(
        [0.82 - 4.30265 * 0.02 / 3**0.5, 0.82 + 4.30265 * 0.02 / 3**0.5], abs=1e-6
    )
    assert seed_statistics([0.5]) == {"values": [0.5], "mean": 0.5, "std": None, "ci95": None}


def test_a_fresh_head_is_said(checkpoint, task, caplog):
    with caplog.at_level(logging.WARNING, logger="tfllm"):
        trainer = training.Trainer(training.FinetuneConfig(model=str(checkpoint), max_steps=1), task=task)
        trainer._prepare()
    assert "classifier/kernel" in trainer._facts()["model"]["freshly_initialised"]


def test_gemm_peak_is_measured_once():
    assert 1e8 < training.gemm_peak("float32", 0.05) == training.gemm_peak("float32", 0.05)
