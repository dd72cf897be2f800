"""`tfllm evaluate --suite`: one table of a suite's tasks, resumed where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_judging import byte_lm

import tfllm
from tfllm import tasks
from tfllm.cli import main
from tfllm.commands.evaluate import Config
from tfllm.commands.suite import finetune_config
from tfllm.errors import UserError
from tfllm.tasks.suites import suite
from tfllm.training import FinetuneConfig
from tfllm.training.seeds import seed_statistics
from tfllm.training.suite import fine_tuned, run_suite

GLUE = suite("glue")
CONFIG = FinetuneConfig(model="toy")


class Runs:
    """Carries configurations out by writing what a run would leave, and keeps count of them."""

    def __init__(self, *broken: str):
        self.done, self.broken = [], broken

    def __call__(self, config: FinetuneConfig) -> str | None:
        self.done.append(config)
        directory, task = Path(config.run_dir), tasks.get(config.task)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(config.to_dict()))
        broken = config.task in self.broken
        scores = {
            split: {name: 0.5 + 0.25 * number for number, name in enumerate(task.metrics)}
            | {"ci95": {name: [0.4, 0.6] for name in task.metrics}, "n": 8}
            for split in task.splits
            if split.startswith("validation")
        }
        results = {"status": "failed" if broken else "ok", "scores": scores, "seconds": {"total": 2.0}}
        (directory / "results.json").write_text(
            json.dumps({**results, "truncated": {"train": 9, "validation": 3}, "skipped_rows": {}})
        )
        return "out_of_memory & more" if broken else None


def glue(directory, run, config=CONFIG, **options):
    return run_suite(GLUE, directory, lambda task: fine_tuned(config, run), settings={"model": "toy"}, **options)


def test_every_task_is_fine_tuned_and_averaged(tmp_path):
    run = Runs()
    result = glue(tmp_path / "suite", run)
    assert [one.task for one in run.done] == list(GLUE.tasks)
    assert [one.run_dir for one in run.done][:2] == [str(tmp_path / "suite" / name) for name in ("cola", "sst2")]
    # Three tasks of nine (MRPC, STS-B, QQP) have two metrics, 0.5 and 0.75; MNLI's two splits count once.
    assert result["average"]["value"] == pytest.approx((6 * 0.5 + 3 * 0.625) / 9, abs=1e-12)
    assert result["status"] == "ok" and {row["how"] for row in result["rows"]} == {"fine-tuned"}
    mnli = result["rows"][5]
    assert list(mnli["scores"]) == ["validation_matched", "validation_mismatched"] and mnli["score"] == 0.5


def test_what_is_finished_is_kept_and_what_failed_is_run_again(tmp_path):
    result = glue(tmp_path, Runs("glue/rte"))
    rows = {row["name"]: row for row in result["rows"]}
    assert result["status"] == "failed" and rows["rte"]["error"] == "out_of_memory & more"
    assert [row["status"] for row in result["rows"]].count("ok") == 8
    assert result["average"]["value"] is None and result["average"]["reason"] == "no scores of rte"
    assert r"out\_of\_memory \& more" in (tmp_path / "table.tex").read_text()
    again = Runs()
    assert glue(tmp_path, again)["average"]["reason"] is None
    assert [(one.task, one.overwrite) for one in again.done] == [("glue/rte", True)]


def test_an_interrupt_leaves_what_was_done_and_a_killed_run_is_gone_on_with(tmp_path):
    def interrupted(config):
        if config.task == "glue/mrpc":
            Path(config.run_dir).mkdir()
            (Path(config.run_dir) / "config.json").write_text(json.dumps(config.to_dict()))
            (Path(config.run_dir) / "results.json").write_text('{"status": "running"}')
            raise KeyboardInterrupt
        return Runs()(config)

    with pytest.raises(KeyboardInterrupt):
        glue(tmp_path, interrupted)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["status"] == "interrupted" and [row["name"] for row in written["rows"]] == ["cola", "sst2"]
    again = Runs()
    glue(tmp_path, again)
    assert [one.task for one in again.done] == list(GLUE.tasks[2:]) and not any(one.overwrite for one in again.done)


def test_an_interrupted_run_with_a_checkpoint_is_gone_on_with(tmp_path):
    glue(tmp_path, Runs("glue/rte"))
    results = {"status": "interrupted", "error": "KeyboardInterrupt: "}
    (tmp_path / "rte" / "results.json").write_text(json.dumps(results))
    (tmp_path / "rte" / "checkpoints" / "step-3").mkdir(parents=True)
    again = Runs()
    glue(tmp_path, again)
    assert [(one.task, one.overwrite) for one in again.done] == [("glue/rte", False)]


def test_other_options_are_refused_before_anything_is_run(tmp_path):
    glue(tmp_path, Runs(), only=("rte",))
    with pytest.raises(UserError, match="finished run with another learning_rate"):
        glue(tmp_path, Runs(), CONFIG.replace(learning_rate=1e-3))
    with pytest.raises(UserError, match="made with another model: 'toy'. Received: 'other'"):
        run_suite(GLUE, tmp_path, lambda task: fine_tuned(CONFIG, Runs()), settings={"model": "other"})
    with pytest.raises(UserError, match="run_dir holds the suite glue"):
        run_suite(suite("squad"), tmp_path, lambda task: fine_tuned(CONFIG, Runs()), settings={"model": "toy"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(UserError, match="new, empty or a suite's"):
        glue(tmp_path / "mine", Runs())


def test_some_tasks_have_no_average(tmp_path):
    result = glue(tmp_path, Runs(), only=("rte", "glue/cola"))
    assert [row["name"] for row in result["rows"]] == ["cola", "rte"]
    assert result["average"]["reason"] == "no scores of sst2, mrpc, stsb, qqp, mnli, qnli, wnli"


def test_means_over_seeds(tmp_path):
    def seeds(config):
        Runs()(config)
        path = Path(config.run_dir) / "results.json"
        value = {"values": [0.5, 0.7], "mean": 0.6, "std": 0.1, "ci95": [0.5, 0.7]}
        one = {"scores": {"validation": {"accuracy": 0.5, "n": 8}}, "seconds": {"total": 1.0}}
        results = {"status": "ok", "scores_over_seeds": {"validation": {"accuracy": value}}, "runs": [one, one]}
        path.write_text(json.dumps(results))

    row = glue(tmp_path, seeds, only=("rte",))["rows"][0]
    assert (row["score"], row["seconds"], row["scores"]["validation"]["std"]) == (0.6, 2.0, {"accuracy": 0.1})
    assert "| rte | fine-tuned | validation | accuracy | 0.6000 | 0.5000 to 0.7000 | 8 | mean of 2 seeds, deviation 0.1000 |" in (
        (tmp_path / "table.md").read_text()
    )


def test_the_average_spreads_over_seeds(tmp_path):
    def seeds(config):
        Runs()(config)
        path = Path(config.run_dir) / "results.json"
        single = json.loads(path.read_text())["scores"]
        shift = 0.3 if config.task == "glue/rte" else 0.0  # the seeds differ in one task alone
        over = {
            split: {
                name: seed_statistics([values[name], values[name] + shift, values[name] + shift])
                for name in tasks.get(config.task).metrics
            }
            for split, values in single.items()
        }
        one = {"scores": single, "seconds": {"total": 1.0}}
        path.write_text(json.dumps({"status": "ok", "scores_over_seeds": over, "runs": [one] * 3}))

    average = glue(tmp_path, seeds)["average"]
    base = (6 * 0.5 + 3 * 0.625) / 9
    assert average["over_seeds"]["values"] == pytest.approx([base, base + 0.3 / 9, base + 0.3 / 9])
    assert average["value"] == pytest.approx(average["over_seeds"]["mean"], abs=1e-12)
    assert average["ci95"] == average["over_seeds"]["ci95"] and "3 seeds" in average["ci_method"]
    assert f"of 3 seeds, deviation {average['over_seeds']['std']:.4f} |" in (tmp_path / "table.md").read_text()
    assert glue(tmp_path / "single", Runs())["average"]["over_seeds"] is None


def test_tables_hold_the_same_cells(tmp_path):
    result = glue(tmp_path, Runs())
    assert {**json.loads((tmp_path / "results.json").read_text()), "run_dir": str(tmp_path)} == result
    lines = (tmp_path / "table.md").read_text().splitlines()
    markdown = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert {len(row) for row in markdown} == {8} and len(markdown) == 2 + 9 + 3 + 1 + 1
    assert markdown[2][:7] == [
        "cola",
        "fine-tuned",
        "validation",
        "matthews_corrcoef",
        "0.5000",
        "0.4000 to 0.6000",
        "8",
    ]
    assert markdown[2][7] == "3 cut" and markdown[-1][3:5] == ["official", "0.5417"]
    latex = [
        line.removesuffix(r" \\") for line in (tmp_path / "table.tex").read_text().splitlines() if line.endswith(r"\\")
    ]
    plain = [[cell.strip().replace("\\", "") for cell in line.split(" & ")] for line in latex]
    assert plain == [row for number, row in enumerate(markdown) if number != 1]


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    directory = tmp_path_factory.mktemp("suite") / "gpt2"
    tfllm.save(byte_lm(), directory, family="gpt2")
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    records = {
        "RTE": [{"premise": f"{letter} dog.", "hypothesis": "An animal."} for letter in "abcd"],
        "BoolQ": [{"passage": f"{letter} dog.", "question": "is it"} for letter in "abcd"],
    }
    labels = {"RTE": ["entailment", "not_entailment"], "BoolQ": [True, False]}
    for folder, rows in records.items():
        (root / folder).mkdir()
        for split in ("train", "val"):
            lines = [json.dumps({**row, "label": labels[folder][i % 2], "idx": i}) for i, row in enumerate(rows)]
            (root / folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return root


def test_prompted_by_one_command(causal, data, tmp_path, capsys):
    arguments = ["evaluate", f"--model={causal}", "--suite=superglue", "--shots=0", f"--data_dir={data}"]
    arguments += [f"--run_dir={tmp_path}/run"]
    assert main([*arguments, "--only=rte,boolq"]) == 0
    printed = capsys.readouterr().out
    assert "superglue: " in printed and "no scores of cb, copa, multirc, record, wic, wsc" in printed
    kept = json.loads((tmp_path / "run" / "rte.json").read_text())
    expected = tasks.get("superglue/rte", data_dir=data).judge(tfllm.load(causal)).scores
    assert kept["scores"]["validation"]["accuracy"] == expected["accuracy"]
    # What is kept is not judged again: the whole suite shows it, and says of each other task what its data lack.
    kept["scores"]["validation"]["accuracy"] = 0.123
    (tmp_path / "run" / "rte.json").write_text(json.dumps(kept))
    assert main([*arguments, "--format=json"]) == 2
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    rows = {row["name"]: row for row in result["rows"]}
    assert rows["rte"]["score"] == 0.123 and rows["boolq"]["status"] == "ok" and rows["boolq"]["how"] == "0 shots"
    assert "6 of 8 tasks failed. The first, superglue/cb:" in captured.err and "CB" in rows["cb"]["error"]
    assert main([*arguments, "--only=rte", "--format=latex"]) == 0
    assert "rte & 0 shots & validation & accuracy & 0.1230" in capsys.readouterr().out
    assert main([*arguments[:3], "--shots=2", *arguments[4:]]) == 2
    assert "made with another shots: 0. Received: 2" in capsys.readouterr().err


ANN = {"text": "Ann met Bob.", "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}]}
QUESTION = {"query": "@placeholder smiled.", "idx": 0, "answers": [{"start": 0, "end": 2, "text": "Ann"}]}
ANSWERS = [{"text": "I", "idx": 0, "label": 1}, {"text": "You", "idx": 1, "label": 0}]
OTHERS = {
    "CB": {"premise": "I think so", "hypothesis": "it is so", "label": "neutral"},
    "COPA": {"premise": "It rained.", "choice1": "He sang.", "choice2": "I got wet.", "question": "effect", "label": 1},
    "MultiRC": {"passage": {"text": "A text.", "questions": [{"question": "Who?", "idx": 0, "answers": ANSWERS}]}},
    "ReCoRD": {"passage": ANN, "qas": [QUESTION]},
    "WiC": {
        "word": "place", "sentence1": "Come to my place.", "sentence2": "No place.", "label": False,
        "start1": 11, "start2": 3, "end1": 16, "end2": 8,
    },
    "WSC": {
        "text": "He said Mark saw that he lied.", "label": True,
        "target": {"span2_index": 5, "span1_index": 2, "span1_text": "Mark", "span2_text": "he"},
    },
}  # fmt: skip


def test_the_whole_of_superglue_prompted_has_its_average(causal, data, tmp_path, capsys):
    for folder in ("RTE", "BoolQ"):
        (tmp_path / folder).symlink_to(data / folder)
    for folder, record in OTHERS.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "val.jsonl").write_text(json.dumps({**record, "idx": 0}) + "\n")
    arguments = ["evaluate", f"--model={causal}", "--suite=superglue", "--shots=0", f"--data_dir={tmp_path}"]
    assert main([*arguments, f"--run_dir={tmp_path}/run", "--format=json"]) == 0
    result = json.loads(capsys.readouterr().out)
    model, by_hand = tfllm.load(causal), []
    for name, metrics in (
        ("boolq", ["accuracy"]), ("cb", ["accuracy", "macro_f1"]), ("copa", ["accuracy"]), ("wsc", ["accuracy"]),
        ("multirc", ["f1a", "exact_match"]), ("record", ["f1", "exact_match"]), ("rte", ["accuracy"]), ("wic", ["accuracy"]),
    ):  # fmt: skip
        scores = tasks.get(f"superglue/{name}", data_dir=tmp_path).judge(model).scores
        by_hand.append(sum(scores[metric] for metric in metrics) / len(metrics))
    assert result["average"]["value"] == pytest.approx(sum(by_hand) / 8, abs=1e-12)
    low, high = result["average"]["ci95"]
    assert low <= result["average"]["value"] <= high and "independent" in result["average"]["ci_method"]
    assert main([*arguments, f"--run_dir={tmp_path}/first", "--limit=1"]) == 0
    assert "only the first 1 examples of each task were scored" in capsys.readouterr().out


def test_a_task_without_a_prompt_is_left_out(causal, tmp_path, capsys):
    arguments = ["evaluate", f"--model={causal}", "--suite=glue", "--only=stsb", "--shots=0", f"--run_dir={tmp_path}"]
    assert main([*arguments, "--format=markdown"]) == 0
    assert "| left out: it has no prompt" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--suite=gleu"], "Did you mean glue"),
        (["--suite=glue", "--task=glue/rte"], "task is for a single task"),
        (["--suite=glue", "--batch_size=8"], "For training: --finetune=batch_size=8"),
        (["--suite=glue", "--limit=8"], "limit is for a judgement by likelihoods"),
        (["--suite=glue", "--shots=0", "--finetune=epochs=2"], "finetune is for tasks that are trained for"),
        (["--suite=glue", "--finetune=epochs=2,3"], "one value an option"),
        (["--suite=glue", "--finetune=max_length=64"], "max_length is a flag of its own"),
        (["--suite=glue", "--finetune=task=glue/rte"], "task is not for a suite"),
        (["--suite=glue"], "model is missing"),
        (["--task=glue/rte", "--only=rte"], "only is for a suite"),
        (["--task=glue/rte", "--format=latex"], "format=latex is for a suite"),
    ],
)
def test_flags_that_do_not_go_together(flags, message, capsys):
    assert main(["evaluate", *flags]) == 2
    assert message in capsys.readouterr().err


def test_options_of_finetune():
    config = finetune_config(Config(suite="glue", model="demo", max_length=64, finetune="epochs=2; learning_rate=2e-5"))
    assert (config.model, config.max_length, config.epochs, config.learning_rate) == ("demo", 64, 2, 2e-5)


def test_fine_tuned_by_one_command(checkpoint, data, tmp_path, capsys):
    arguments = ["evaluate", f"--model={checkpoint}", "--suite=superglue", "--only=rte", f"--data_dir={data}"]
    arguments += ["--max_length=16", "--finetune=max_steps=2;batch_size=4", f"--run_dir={tmp_path}/run"]
    assert main(arguments) == 0
    assert "fine-tuned" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "rte" / "results.json").read_text())
    written = (tmp_path / "run" / "rte" / "results.json").stat().st_mtime_ns
    assert (results["status"], results["steps"], results["max_length"]) == ("ok", 2, 16)
    assert main([*arguments, "--format=json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert row["scores"]["validation"]["accuracy"] == results["scores"]["validation"]["accuracy"]
    assert (tmp_path / "run" / "rte" / "results.json").stat().st_mtime_ns == written
