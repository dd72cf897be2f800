"""`evaluate` and `predict` write texts with the prompt that the run was trained with."""

from __future__ import annotations

import json

import pytest
import toy_text_models

from tfllm import tasks
from tfllm.cli import main
from tfllm.commands.trained_options import with_trained_options
from tfllm.training import FinetuneConfig

NAME = "codexglue/translation_java_cs"
PROMPT = "fix: {source}"
TOLD = f"{NAME} is written as it was trained, with prompt='fix: {{source}}', max_target_length=6, num_beams=2."


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split, rows in (("train", 4), ("valid", 2), ("test", 2)):
        for side in ("java", "cs"):
            lines = "".join(f"int {side} {split} {row} ;\n" for row in range(rows))
            (folder / f"{split}.java-cs.txt.{side}").write_text(lines)
    return folder


def test_evaluation_gives_the_run_s_own_score(data, tmp_path, capsys):
    model = toy_text_models.save_text_model(tmp_path / "t5", "t5")
    arguments = [
        "finetune", f"--model={model}", f"--task={NAME}", f"--data_dir={data}", f"--run_dir={tmp_path}/run", f"--prompt={PROMPT}",
        "--max_target_length=6", "--num_beams=2", "--max_length=24", "--max_steps=1", "--batch_size=4",
    ]  # fmt: skip
    assert main(arguments) == 0
    trained = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]["validation"]
    capsys.readouterr()
    arguments = [f"--model={tmp_path}/run/model", f"--task={NAME}", f"--data_dir={data}", "--max_length=24"]
    assert main(["evaluate", *arguments, "--format=json"]) == 0
    printed = capsys.readouterr()
    assert TOLD in printed.err and json.loads(printed.out.splitlines()[-1])["parts"] == trained["parts"]


@pytest.fixture
def run_dir(tmp_path):
    config = FinetuneConfig(model="m", task=NAME, prompt=PROMPT, max_target_length=6, num_beams=2)
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text(json.dumps(config.to_dict()))
    (tmp_path / "run" / "results.json").write_text("{}")
    (tmp_path / "run" / "model" / "config.json").write_text('{"model_type": "t5"}')
    return tmp_path / "run"


def kind_of(name: str, path, **given):
    task = with_trained_options(tasks.get(name, **given), str(path), None, given)
    return task.strategy


def test_what_is_given_stays(run_dir, capsys):
    for path in (run_dir, run_dir / "model", f"{run_dir}/model/"):
        kind = kind_of(NAME, path)
        assert (kind.prompt, kind.max_target, kind.generation) == (PROMPT, 6, {"num_beams": 2})
        assert TOLD in capsys.readouterr().err
    kind = kind_of(NAME, run_dir, prompt="x {source}", num_beams=1)
    assert (kind.prompt, kind.max_target, kind.generation) == ("x {source}", 6, {"num_beams": 1})
    assert "with max_target_length=6." in capsys.readouterr().err


def test_other_models_and_tasks_have_nothing_to_be_told(run_dir, tmp_path, capsys):
    assert kind_of(NAME, run_dir / "model" / "below").prompt is None
    assert kind_of(NAME, tmp_path).prompt is None and kind_of(NAME, "").prompt is None
    assert not hasattr(kind_of("glue/rte", run_dir), "prompt")
    (tmp_path / "run" / "config.json").write_text("no JSON")
    assert kind_of(NAME, run_dir).prompt is None
    assert capsys.readouterr().err == ""


def test_another_task_is_told_of(run_dir, capsys):
    assert kind_of("codexglue/translation_cs_java", run_dir).prompt is None
    err = capsys.readouterr().err
    assert f"trained for {NAME} with prompt='fix: {{source}}'" in err
    assert "which codexglue/translation_cs_java is not given" in err
