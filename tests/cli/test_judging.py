"""`tfllm evaluate` of language models as they are: zero-shot, few-shot, perplexity, bias sets."""

from __future__ import annotations

import json

import pytest
from toy_judging import byte_lm, letters_mlm

import tfllm
from tfllm import tasks
from tfllm.cli import main


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    directory = tmp_path_factory.mktemp("judging") / "gpt2"
    tfllm.save(byte_lm(), directory, family="gpt2")
    return directory


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    directory = tmp_path_factory.mktemp("judging") / "bert"
    tfllm.save(letters_mlm(), directory, family="bert")
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    (root / "RTE").mkdir()
    records = [
        {"premise": f"{letter} dog.", "hypothesis": "An animal.", "label": label, "idx": i}
        for i, (letter, label) in enumerate(zip("abcdef", ["entailment", "not_entailment"] * 3))
    ]
    for split in ("train", "val"):
        (root / "RTE" / f"{split}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (root / "crows_pairs_anonymized.csv").write_text(
        ",sent_more,sent_less,stereo_antistereo,bias_type\n0,a cat,a dog,stereo,age\n1,he,she,antistereo,gender\n2,a,b,c,d\n"
    )
    for split in ("train", "valid"):
        (root / f"wiki.{split}.raw").write_text(" = A =\n some text\n")
    (root / "text").write_text("Some text.\nAnd more of it. " * 9)
    return root


def test_zero_shot_is_one_line(causal, data, capsys):
    arguments = ["evaluate", f"--model={causal}", "--task=superglue/rte", "--shots=0", f"--data_dir={data}"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "superglue/rte (validation), 0 shots" in printed and "acc_norm" in printed and "95 % interval" in printed
    assert "rows read: 6, skipped: 0, cut to fit: 0" in printed
    assert main([*arguments, "--format=json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    expected = tasks.get("superglue/rte", data_dir=data).judge(tfllm.load(causal)).scores
    assert scores["accuracy"] == expected["accuracy"] and scores["task"] == "superglue/rte"


def test_shots_limit_and_files(causal, data, tmp_path, capsys):
    arguments = [
        "evaluate",
        f"--model={causal}",
        "--task=superglue/rte",
        "--shots=2",
        "--limit=3",
        f"--data_dir={data}",
    ]
    files = [f"--out={tmp_path}/scores.json", f"--rows_out={tmp_path}/rows.jsonl"]
    assert main([*arguments, *files]) == 0
    assert "the first 3 examples used" in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["n"], scores["shots"], scores["shots_seed"], scores["limit"]) == (3, 2, 1234, 3)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and rows[0]["context"].count("Question:") == 3
    assert main([*arguments, *files]) == 2
    assert "scores.json is there already" in capsys.readouterr().err
    assert main([*arguments, *files, "--overwrite"]) == 0


def test_tasks_that_are_judged_by_likelihood_alone_need_no_flag(causal, masked, data, capsys):
    arguments = ["evaluate", "--task=crows_pairs", f"--data_dir={data}", "--skip_bad_rows"]
    for directory, method in ((causal, "log-likelihood"), (masked, "pseudo-log-likelihood of the shared tokens")):
        assert main([*arguments, f"--model={directory}"]) == 0
        printed = capsys.readouterr().out
        assert f"method: {method}" in printed and "bias_type=gender" in printed and "skipped: 1" in printed
    assert main([*arguments[:-1], f"--model={causal}"]) == 2
    assert "crows_pairs_anonymized.csv:4: 'stereo_antistereo' must be" in capsys.readouterr().err


def test_perplexity_of_a_file(causal, data, capsys):
    arguments = [
        "evaluate",
        f"--model={causal}",
        "--task=lm/text",
        f"--text_file={data}/text",
        "--window=64",
        "--stride=16",
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "word_perplexity" in printed and "stride: 16" in printed and "window: 64" in printed
    assert "blocks of 128 neighbouring tokens drawn" in printed


def one_error(capsys, arguments):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_what_the_user_gets_wrong_is_one_line(causal, masked, data, capsys):
    rte = ["evaluate", "--task=superglue/rte", f"--data_dir={data}"]
    assert "causal language model" in one_error(capsys, [*rte, f"--model={masked}", "--shots=0"])
    assert "model is missing" in one_error(capsys, [*rte, "--shots=0"])
    assert "add --shots=0" in one_error(capsys, [*rte, f"--model={causal}", "--limit=3"])
    assert "superglue/rte has no option 'text_file'" in one_error(capsys, [*rte, f"--model={causal}", "--text_file=x"])
    assert "shots must be at least 0" in one_error(capsys, [*rte, f"--model={causal}", "--shots=-1"])
    text = ["evaluate", f"--model={causal}", "--task=lm/text", f"--text_file={data}/text"]
    assert "asked without solved examples" in one_error(capsys, [*text, "--shots=1"])
    assert "stride must be from 1 to the window, 512" in one_error(capsys, [*text, "--stride=1000"])
    crows = [f"--model={causal}", "--task=crows_pairs", f"--data_dir={data}"]
    wikitext = ["finetune", f"--model={causal}", "--task=lm/wikitext-2", f"--data_dir={data}", f"--run_dir={data}/run"]
    assert "judged by likelihoods alone" in one_error(capsys, wikitext)
    assert "judged by likelihoods alone" in one_error(capsys, ["predict", *crows])
