"""lm-evaluation-harness with our models: its own `hf` model and `Task.judge` say the same of the same checkpoint (extra `harness`)."""

import itertools
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.parity

TEXTS = [
    "a bad day",
    "the good old cat",
    "to be or not",
    "what is it",
    "no dog here",
    "red and blue",
    "x y z",
    "one two three",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A toy GPT-2 of bytes, in a directory that transformers reads too."""
    from toy_judging import byte_lm

    import tfllm

    directory = tmp_path_factory.mktemp("harness") / "gpt2"
    tfllm.save(byte_lm(max_positions=64), directory, family="gpt2")
    return directory


@pytest.fixture(scope="module")
def task_files(tmp_path_factory):
    """Local tasks of the harness: RTE's form with its very wording, LAMBADA, and perplexity of whole texts."""
    pytest.importorskip("lm_eval", reason="needs lm-evaluation-harness (extra harness)")
    root = tmp_path_factory.mktemp("tasks")
    records = [
        {
            "sentence1": text,
            "sentence2": TEXTS[(i - 1) % 8],
            "label": i % 2,
            "text": f"{i}, {text}, said {TEXTS[(i - 3) % 8]}",
        }
        for i, text in enumerate(TEXTS * 3)
    ]
    for name, part in {"train": records[:10], "validation": records[10:]}.items():
        (root / f"{name}.json").write_text("".join(json.dumps(record) + "\n" for record in part))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {split: str(root / f"{split}.json") for split in ("train", "validation")}},
        "validation_split": "validation",
    }
    definitions = {
        "toy_rte": {
            "output_type": "multiple_choice", "training_split": "train", "doc_to_target": "label",
            "doc_to_text": "{{sentence1}}\nQuestion: {{sentence2}} True or False?\nAnswer:",
            "doc_to_choice": ["True", "False"],
            "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
        },
        "toy_lambada": {
            "output_type": "loglikelihood",
            "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}", "doc_to_target": "{{' '+text.split(' ')[-1]}}",
            "metric_list": [
                {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
                {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            ],
        },
        "toy_text": {
            "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
            "metric_list": [{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
        },
    }  # fmt: skip
    for name, definition in definitions.items():
        # JSON is YAML too.
        (root / f"{name}.yaml").write_text(json.dumps({"task": name, **common, **definition}))
    return root, records


def harness_scores(model, root, names, **options):
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(root), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model=model, tasks=list(names), task_manager=manager, bootstrap_iters=0, verbosity="ERROR", **options
    )
    return {
        name: {key.removesuffix(",none"): value for key, value in scores.items() if isinstance(value, float)}
        for name, scores in found["results"].items()
    }


@pytest.fixture(scope="module")
def models(checkpoint):
    pytest.importorskip("lm_eval", reason="needs lm-evaluation-harness (extra harness)")
    from lm_eval.models.huggingface import HFLM

    from tfllm.harness import TfllmLM

    return TfllmLM(pretrained=str(checkpoint)), HFLM(
        pretrained=str(checkpoint), batch_size=4, device="cpu", dtype="float32"
    )


def rte_task(records):
    from tfllm import tasks
    from tfllm.tasks.prompt_templates import GLUE

    columns = [
        {name: [record[name] for record in part] for name in ("sentence1", "sentence2", "label")}
        for part in (records[:10], records[10:])
    ]
    return tasks.from_memory(*columns, text=("sentence1", "sentence2"), name="toy/rte", prompt=GLUE["rte"])


@pytest.mark.parametrize("shots", [0, 2])
def test_choices_are_the_same_in_the_harness_and_here(task_files, models, shots):
    root, records = task_files
    ours, hf = (harness_scores(model, root, ["toy_rte"], num_fewshot=shots)["toy_rte"] for model in models)
    assert ours == pytest.approx(hf, abs=1e-6)
    scores = rte_task(records).judge(models[0].model, shots=shots).scores
    assert {"acc": scores["accuracy"], "acc_norm": scores["acc_norm"]} == pytest.approx(
        {name: ours[name] for name in ("acc", "acc_norm")}, abs=1e-6
    )


def test_prompts_with_shots_are_the_harness_prompts(task_files, models):
    import lm_eval
    from lm_eval.tasks import TaskManager

    root, records = task_files
    manager = TaskManager(include_path=str(root), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model=models[0], tasks=["toy_rte"], task_manager=manager, num_fewshot=2, bootstrap_iters=0, log_samples=True
    )
    theirs = [sample["arguments"][0][0] for sample in found["samples"]["toy_rte"]]
    rows = rte_task(records).judge(models[0].model, shots=2).rows
    assert [row["context"] for row in rows] == theirs


def test_lambada_is_the_same_in_the_harness_and_here(task_files, models, tmp_path):
    from tfllm import tasks

    root, records = task_files
    ours, hf = (harness_scores(model, root, ["toy_lambada"])["toy_lambada"] for model in models)
    assert ours == pytest.approx(hf, rel=1e-5)
    (tmp_path / "lambada_test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records[10:]))
    scores = tasks.get("lambada/openai", data_dir=tmp_path).evaluate(models[0].model)
    assert scores["accuracy"] == pytest.approx(ours["acc"], abs=1e-6)
    assert scores["perplexity"] == pytest.approx(ours["perplexity"], rel=1e-6)


def test_perplexity_is_the_same_in_the_harness_and_here(task_files, models, tmp_path):
    from tfllm import tasks

    root, records = task_files
    ours, hf = (harness_scores(model, root, ["toy_text"])["toy_text"] for model in models)
    assert ours == pytest.approx(hf, rel=1e-5)
    for i, record in enumerate(records[10:]):
        (tmp_path / f"{i:02}.txt").write_text(record["text"])
    scores = tasks.get("lm/text", data_dir=tmp_path).evaluate(models[0].model)
    assert {name: scores[name] for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")} == pytest.approx(
        {name: ours[name] for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")}, rel=1e-6
    )


def requests(kind, arguments):
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=one, idx=i) for i, one in enumerate(arguments)]


def test_every_likelihood_is_hfs(models):
    ours, hf = models
    draw = np.random.default_rng(0)
    words = [" ".join(TEXTS)[a : a + b] for a, b in draw.integers(1, 60, (24, 2))]
    pairs = [(f"a{first}", " " + second) for first, second in itertools.pairwise(words)]
    pairs += [("", "abc"), ("ends in a blank ", "x")]
    found = [model.loglikelihood(requests("loglikelihood", pairs)) for model in (ours, hf)]
    np.testing.assert_allclose(*([value for value, _ in one] for one in found), rtol=1e-4, atol=1e-3)
    assert [greedy for _, greedy in found[0]] == [greedy for _, greedy in found[1]]
    long = [("".join(TEXTS * 4),), ("short",), ("".join(TEXTS)[:65],), ("".join(TEXTS)[:64],)]
    found = [model.loglikelihood_rolling(requests("loglikelihood_rolling", long)) for model in (ours, hf)]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_generated_texts_are_hfs(models):
    asked = [
        ("the good", {"until": ["\n"], "max_gen_toks": 12}),
        ("what is", {"until": ["zzz"], "max_gen_toks": 7, "do_sample": False}),
        ("x" * 80, {"until": [], "max_gen_toks": 5}),
    ]
    first, second = (model.generate_until(requests("generate_until", asked)) for model in models)
    assert first == second
    stop = first[1][2:4]
    (cut,) = models[0].generate_until(requests("generate_until", [("what is", {"until": [stop], "max_gen_toks": 7})]))
    assert cut == first[1].split(stop)[0]


def test_what_is_wrong_is_said(models, checkpoint):
    from tfllm.errors import UserError
    from tfllm.harness import TfllmLM

    with pytest.raises(UserError, match="needs model_args pretrained=DIR"):
        TfllmLM()
    with pytest.raises(UserError, match="max_length must be at most 64"):
        TfllmLM(pretrained=models[0].model, max_length=65)
    with pytest.raises(UserError, match=r"options \['num_beams'\] are not known here"):
        models[0].generate_until(requests("generate_until", [("a", {"until": ["b"], "num_beams": 3})]))
    with pytest.raises(UserError, match="max_gen_toks must leave room"):
        models[0].generate_until(requests("generate_until", [("a", {"until": ["b"], "max_gen_toks": 64})]))


def test_the_command_line(task_files, checkpoint, tmp_path):
    root, _ = task_files
    command = [sys.executable, "-m", "tfllm.harness", "--model", "tfllm", "--model_args", f"pretrained={checkpoint}"]
    command += ["--tasks", "toy_rte", "--include_path", str(root), "--limit", "4", "--output_path", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    (file,) = tmp_path.rglob("results*.json")
    scores = json.loads(file.read_text())["results"]["toy_rte"]
    assert 0 <= scores["acc,none"] <= 1 and not math.isnan(scores["acc_norm,none"])
