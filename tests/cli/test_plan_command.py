"""`tfllm plan`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tfllm.cli import main

TOYS = Path(__file__).parents[1] / "goldens" / "hf_toys"


def plan(capsys, *flags: str) -> dict:
    assert main(["plan", *flags, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_imports_nothing_heavy():
    script = (
        "import sys; from tfllm.cli import main; assert main(['plan', '--params=7B', '--batch=8']) == 0\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'matplotlib', 'tokenizers'} & set(sys.modules)\nassert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "It does not fit. What does:" in result.stdout and "--devices=" in result.stdout


def test_a_checkpoint_is_planned_by_its_config_alone(capsys, tmp_path):
    (tmp_path / "config.json").write_text((TOYS / "t5-seq2seq_lm" / "config.json").read_text())
    result = plan(capsys, f"--model={tmp_path}", "--batch=4", "--length=16", "--target_length=8")
    assert result["model"]["head"] == "seq2seq_lm" and result["model"]["decoder_layers"] and result["fits"]
    classifier = plan(
        capsys, f"--model={TOYS / 'bert-masked_lm'}", "--head=classifier", "--length=16", "--accelerator=cpu"
    )
    assert classifier["memory"]["runtime"] > 0 and classifier["memory"]["logits"] == 0 and classifier["time"] is None


def test_the_suggested_flags_fit(capsys):
    flags = ["--params=1.3B", "--batch=64", "--length=1024", "--accelerator=a100-80"]
    result = plan(capsys, *flags)
    assert not result["fits"] and result["suggestions"]
    changes = next(s["changes"] for s in result["suggestions"] if set(s["changes"]) <= {"accumulation", "remat"})
    again = plan(capsys, *flags, *(f"--{name}={value}" for name, value in changes.items()))
    assert again["fits"] and again["memory"]["total"] == pytest.approx(result["suggestions"][0]["memory"])


def test_a_price_and_tokens_give_days_and_cost(capsys):
    result = plan(capsys, "--params=125M", "--batch=64", "--devices=4", "--tokens=10B", "--price=2")
    assert result["time"]["cost"] == pytest.approx(result["time"]["days"] * 24 * 4 * 2)
    assert main(["plan", "--params=125M", "--tokens=10B"]) == 0
    out = capsys.readouterr().out
    assert "days" in out and "cloud.google.com/tpu/pricing" in out and "from memory" in out and "give --price" in out


def test_experts_count_all_and_those_in_use(capsys):
    result = plan(capsys, "--layers=4", "--width=256", "--heads=4", "--experts=8", "--vocab=1000")
    assert result["parameters"]["active"] < result["parameters"]["total"] / 2


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "plan needs a model"),
        (["--params=7Q"], "params must be a number such as 125M"),
        (["--params=1M"], "between 10M and 10T"),
        (["--params=7B", "--model=x"], "give one of model, params"),
        (["--layers=4"], "Received none for: width, heads"),
        (["--layers=4", "--width=100", "--heads=3"], "width must be a multiple of heads"),
        (["--params=7B", "--devices=6", "--tensor=4"], "multiple of tensor x pipeline"),
        (["--params=7B", "--accelerator=h1000"], "Did you mean h100?"),
        (["--params=7B", "--mfu=2"], "mfu must be at most 1"),
        (["--params=7B", "--batch=9", "--devices=4"], "multiple of data shares"),
        (["--model=nowhere"], "nowhere"),
    ],
)
def test_nonsense_is_one_line(flags, message, capsys):
    assert main(["plan", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
