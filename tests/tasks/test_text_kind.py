"""Texts that a model writes: tokens, batches, loss, a toy of either kind that learns, predictions and scores."""

import random

import numpy as np
import pytest
import toy_generation
import toy_text_models

import tfllm
from tfllm import tasks, training
from tfllm.data.examples import Examples
from tfllm.errors import UserError
from tfllm.tasks.task import Task
from tfllm.tasks.text_kind import GeneratedTextKind, TextLines, with_options
from tfllm.tasks.text_tokens import continuation_tokens, pair_tokens
from tfllm.text.target_form import TargetForm

EOS, BOS = 256, 257
DECODER = TargetForm(encoder_decoder=False, eos_id=EOS, longest=64)
ENCODER_DECODER = TargetForm(encoder_decoder=True, start_id=BOS, eos_id=EOS)


@pytest.fixture(scope="module")
def tokenizer():
    return toy_generation.make_byte_tokenizer()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    root = tmp_path_factory.mktemp("text_models")
    return {family: toy_text_models.save_text_model(root / family, family) for family in ("gpt2", "t5")}


def examples_of(size: int, seed: int, **more) -> Examples:
    """Sources of one or two letters; the target is the first one twice, as a capital."""
    draw = random.Random(seed)
    sources = ["".join(draw.choices("abcd", k=draw.randint(1, 2))) for _ in range(size)]
    return Examples((sources,), columns={"references": [(text[0].upper() * 2,) for text in sources]}, **more)


def toy_task(size: int = 96, **options) -> Task:
    data = {"train": examples_of(size, 0), "validation": examples_of(16, 1), "test": Examples((["a", "cb"] * 8,))}
    return Task(
        name="toy/capital",
        kind="text",
        text_fields=("source",),
        read=data.__getitem__,
        metrics=("exact_match", "chrf"),
        main_metric="exact_match",
        splits=dict.fromkeys(data, ""),
        strategy=GeneratedTextKind(**{"max_target": 6, **options}),
    )


def test_a_decoder_reads_source_and_target_and_learns_the_target_alone(tokenizer):
    tokens = continuation_tokens(["ab", "c"], ["XY", ""], tokenizer, DECODER, after="\n", max_source=8, max_target=4)
    assert tokens.token_ids.tolist() == [*b"ab\nXY", EOS, *b"c\n", EOS]
    # Each token's label is the next one, where that is of the target; the end token has none.
    assert tokens.token_labels.tolist() == [-1, -1, *b"XY", EOS, -1, -1, EOS, -1]
    assert tokens.offsets.tolist() == [0, 6, 9] and tokens.truncated == 0


def test_what_is_too_long_is_cut_and_counted(tokenizer):
    sources, targets = ["abcdefgh", "ab", "ab"], ["X", "XYZUVW", "X"]
    options = {"after": "\n", "max_source": 5, "max_target": 4}
    tokens = continuation_tokens(sources, targets, tokenizer, DECODER, **options)
    assert bytes(tokens.token_ids[:5].tolist()) == b"abcd\n" and tokens.truncated == 2
    assert tokens.token_ids[7:14].tolist() == [*b"ab\nXYZ", EOS]
    kept = continuation_tokens(sources, targets, tokenizer, DECODER, **options, keep_end=True)
    assert bytes(kept.token_ids[:5].tolist()) == b"efgh\n"
    pairs = pair_tokens(sources, targets, tokenizer, ENCODER_DECODER, max_source=6, max_target=4)
    assert pairs.truncated == 2 and pairs.targets_cut == 1
    assert np.split(pairs.target_ids, pairs.target_offsets[1:-1])[1].tolist() == [*b"XYZ", EOS]
    with pytest.raises(
        UserError, match="must leave room for a source beside 4 tokens of the target and 1 of the prompt"
    ):
        continuation_tokens(sources, targets, tokenizer, DECODER, after="\n", max_source=1, max_target=4)


def test_batches_of_an_encoder_decoder(tokenizer):
    tokenizer.target_form = ENCODER_DECODER
    batches = toy_task(size=10).pipeline("train", tokenizer, batch_size=4, max_length=16, layout="padded", replicas=3)
    assert batches.report()["truncated"] == 0 and batches.steps_per_epoch == 3
    seen = []
    for step in range(3):
        x, y, w = batches.batch(step)
        assert {value.shape for value in x.values()} == {(6, 16), (6, 8)} and y.shape == w.shape == (6, 8)
        for row, example in enumerate(batches.example_indices(step)[:, 0]):
            if example < 0:
                assert not w[row].any() and not x["example_ids"][row].any() and not x["decoder_example_ids"][row].any()
                continue
            seen.append(example)
            source, (target,) = examples_of(10, 0).texts[0][example], examples_of(10, 0).columns["references"][example]
            assert bytes(x["token_ids"][row][x["example_ids"][row] > 0].tolist()).decode() == source
            assert y[row][w[row] > 0].tolist() == [*target.encode(), EOS]
            assert x["decoder_token_ids"][row][w[row] > 0].tolist() == [BOS, *target.encode()]
            assert x["decoder_position_ids"][row][w[row] > 0].tolist() == [0, 1, 2]
    assert sorted(seen) == list(range(10))
    spec = batches.dataset().element_spec
    x, y, w = next(iter(batches.dataset()))
    assert all(spec[0][key].is_compatible_with(value) for key, value in x.items()) and set(spec[0]) == set(x)
    assert spec[1].is_compatible_with(y) and spec[2].is_compatible_with(w)
    assert 0 < batches.fill <= 1 and batches.report()["real_tokens"] == sum(
        len(s) + len(t) + 1 for s, (t,) in zip(examples_of(10, 0).texts[0], examples_of(10, 0).columns["references"])
    )
    with pytest.raises(UserError, match="have a row of their own: layout='bucketed' or 'padded'"):
        toy_task(size=10).pipeline("train", tokenizer, layout="packed")


def test_packed_bucketed_and_padded_rows_have_the_same_loss(checkpoints):
    model = tfllm.load(checkpoints["gpt2"], head="generator")
    model.compile(**model.compile_defaults())
    losses = [
        model.evaluate(
            toy_task(size=24).batches("train", model.tokenizer, batch_size=24, max_length=16, layout=layout), verbose=0
        )[0]
        for layout in ("packed", "bucketed", "padded")
    ]
    # By hand: the mean over all 72 tokens of the targets of minus the log-probability of each.
    tokens = toy_task(size=24).tokenized("train", model.tokenizer, 16)
    total, count = 0.0, 0
    for begin, end in zip(tokens.offsets[:-1], tokens.offsets[1:]):
        logits = np.asarray(model(tokens.token_ids[None, begin:end]), np.float64)[0]
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for place, label in enumerate(tokens.token_labels[begin:end]):
            if label >= 0:
                total, count = total - log_probs[place, label], count + 1
    assert count == 72
    np.testing.assert_allclose(losses, total / count, rtol=1e-5)


def test_padding_beside_source_and_target_changes_no_loss(checkpoints):
    model = tfllm.load(checkpoints["t5"], head="generator")
    model.compile(**model.compile_defaults())
    losses = [
        model.evaluate(
            toy_task(size=12).batches("train", model.tokenizer, batch_size=size, max_length=length, layout=layout),
            verbose=0,
        )[0]
        for layout, size, length in (("padded", 12, 32), ("padded", 12, 8), ("bucketed", 16, 16))
    ]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_toy_learns_and_is_scored(family, checkpoints, tmp_path):
    model = tfllm.load(checkpoints[family], head="generator")
    task = toy_task()
    data = task.pipeline("train", model.tokenizer, batch_size=16, max_length=16)
    assert data.layout == ("packed" if family == "gpt2" else "bucketed")
    model.compile(training.optimizer("adamw", 1e-2, total_steps=14 * len(data)), **model.compile_defaults())
    history = model.fit(data.dataset(), epochs=14, verbose=0).history
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    scores = task.evaluate(model, "validation", max_length=16)
    assert scores["exact_match"] >= 75.0 and scores["n"] == 16 and scores["signature"]["chrf"].startswith("nrefs:1|")
    low, high = scores["ci95"]["exact_match"]
    assert low <= scores["exact_match"] <= high and "texts drawn" in scores["ci_method"]["chrf"]
    outputs = task.predict(model, "test", max_length=16)  # a split without targets
    assert len(outputs) == 16 and not task.labelled("test")
    task.write_predictions(outputs, "test", tmp_path / "out.txt")
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 16
    rows = task.strategy.rows(
        task, ["x", "y\nz"], Examples((["a", "b"],), columns={"references": [("p", "q"), ("r",)]})
    )
    assert rows[1] == {"id": "1", "prediction": "y\nz", "reference": "r", "reference_2": ""}
    assert TextLines({}).content(task, ["y\nz"], None) == "y z\n"


def test_the_model_reads_the_tokens_of_training(checkpoints):
    model = tfllm.load(checkpoints["gpt2"], head="generator")
    task = toy_task(prompt="Q{source}:")
    tokens = task.tokenized("validation", model.tokenizer, 16)
    from tfllm.tasks.text_kind import _prompts

    prompts = _prompts(tokens)
    assert [bytes(ids).decode() for ids in prompts] == [f"Q{text}:" for text in task.examples("validation").texts[0]]


def test_options_and_what_is_wrong_with_them(tokenizer):
    assert with_options(GeneratedTextKind(), num_beams=4, prompt=None).generation == {"num_beams": 4}
    with pytest.raises(UserError, match="prompt must have {source} in it, once"):
        GeneratedTextKind(prompt="translate")
    with pytest.raises(UserError, match="max_target must be at least 2"):
        GeneratedTextKind(max_target=1)
    with pytest.raises(UserError, match="the highest main_metric. Received: ter"):
        tasks.from_parallel(("a", "b"), metrics=("ter", "bleu"))
    tokenizer.target_form = None
    with pytest.raises(UserError, match="load both with tfllm.load"):
        toy_task(size=4).tokenized("train", tokenizer, 16)


@pytest.mark.parity
def test_loss_is_that_of_transformers(tmp_path):
    """The mean loss over target tokens of a batch of sources and targets of different lengths."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    for family, loader in (("t5", AutoModelForSeq2SeqLM), ("gpt2", AutoModelForCausalLM)):
        model = tfllm.load(toy_text_models.save_text_model(tmp_path / family, family), head="generator")
        theirs = loader.from_pretrained(tmp_path / family).eval()
        model.compile(**model.compile_defaults())
        ours = model.evaluate(
            toy_task(size=8).batches("train", model.tokenizer, batch_size=8, max_length=16), verbose=0
        )[0]
        total, count = 0.0, 0
        for source, (target,) in zip(examples_of(8, 0).texts[0], examples_of(8, 0).columns["references"]):
            labels = [*target.encode(), EOS]
            if family == "t5":
                given = {"input_ids": torch.tensor([[*source.encode()]]), "labels": torch.tensor([labels])}
            else:
                prompt = [*source.encode(), 10]
                given = {
                    "input_ids": torch.tensor([prompt + labels]),
                    "labels": torch.tensor([[-100] * len(prompt) + labels]),
                }
            with torch.no_grad():
                total, count = total + float(theirs(**given).loss) * len(labels), count + len(labels)
        assert ours == pytest.approx(total / count, rel=1e-4)


def test_the_targets_language_stands_where_the_template_has_the_sources():
    import json

    import tokenizers
    from tokenizers import models, pre_tokenizers, processors

    from tfllm import text

    backend = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["</s>", "__en__", "__de__"])
    backend.post_processor = processors.TemplateProcessing(
        single="__en__ $A </s>", special_tokens=[("__en__", 4), ("</s>", 3)]
    )
    config = {"eos_token": "</s>", "unk_token": "<unk>"}
    files = {"tokenizer.json": backend.to_str().encode(), "tokenizer_config.json": json.dumps(config).encode()}
    tokenizer = text.from_files(files)
    form = TargetForm(encoder_decoder=True, start_id=None, eos_id=3)
    pairs = pair_tokens(["a b"], ["b"], tokenizer, form, max_source=8, max_target=8, language="__de__")
    assert pairs.token_ids.tolist() == [4, 1, 2, 3] and pairs.target_ids.tolist() == [5, 2, 3]
    assert pairs.target_starts.tolist() == [3]  # without a start token a target begins with its own last one
    with pytest.raises(UserError, match="language must be a token of the tokenizer. Received: '__fr__'"):
        pair_tokens(["a"], ["b"], tokenizer, form, max_source=8, max_target=8, language="__fr__")
    with pytest.raises(UserError, match="language is for multilingual models"):
        pair_tokens(
            ["a"], ["b"], toy_generation.make_byte_tokenizer(), form, max_source=8, max_target=8, language="<bos>"
        )


def test_a_run_on_parallel_files(checkpoints, tmp_path):
    """What `experiments/finetune.py --source=... --target=...` does, and `tfllm compare` after it."""
    from tfllm.training.comparison import compare_runs

    for name, lines in (
        ("a.en", ["ab", "c"] * 4),
        ("a.de", ["AA", "CC"] * 4),
        ("b.en", ["b", "d"]),
        ("b.de", ["BB", "DD"]),
    ):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "b2.de").write_text("B\nD\n")
    path = lambda name: str(tmp_path / name)
    config = training.FinetuneConfig(
        model=str(checkpoints["gpt2"]), source=path("a.en"), target=(path("a.de"),), validation_source=path("b.en"),
        validation_target=(path("b.de"), path("b2.de")), test_source=path("b.en"), predict_test=True, max_steps=2,
        batch_size=4, max_length=16, max_target_length=4, run_dir=path("run"), learning_rate=1e-2,
    )  # fmt: skip
    results = training.Trainer(config).run()
    scores = results["scores"]["validation"]
    assert scores["n"] == 2 and scores["signature"]["chrf"].startswith("nrefs:2|") and set(scores["ci95"]) == {
        "bleu", "chrf", "ter",
    }  # fmt: skip
    written = (tmp_path / "run/validation_predictions.txt").read_text().splitlines()
    table = (tmp_path / "run/validation_predictions.tsv").read_text().splitlines()
    assert len(written) == 2 and table[0] == "id\tprediction\treference\treference_2"
    assert (tmp_path / "run/test_predictions.txt").exists() and results["task"]["kind"] == "text"
    same = compare_runs(tmp_path / "run", tmp_path / "run")
    assert same.differences["chrf"].first == pytest.approx(scores["chrf"]) and same.differences["chrf"].p_value == 1.0
    with pytest.raises(UserError, match="has no option 'prompt'"):
        training.Trainer(training.FinetuneConfig(model="x", task="glue/rte", prompt="{source}"))


def test_two_replicas_have_the_loss_and_the_update_of_one_device(checkpoints, two_replicas):
    """A batch of 6 whose replicas have different numbers of target tokens."""
    import contextlib

    sources = [("abcd" * 4)[:length] for length in (1, 9, 2, 4, 7, 3)]
    data = Examples((sources,), columns={"references": [(text.upper(),) for text in sources]})

    def step(strategy, replicas):
        with strategy:
            model = tfllm.load(checkpoints["t5"], head="generator")
            task = Task(
                name="toy/upper", kind="text", text_fields=("source",), read=lambda split: data, metrics=("chrf",),
                main_metric="chrf", splits={"train": ""}, strategy=GeneratedTextKind(max_target=12),
            )  # fmt: skip
            batches = task.pipeline("train", model.tokenizer, batch_size=6, max_length=32, replicas=replicas)
            model.compile(training.optimizer("adamw", 1e-2, total_steps=2), **model.compile_defaults())
        history = model.fit(batches.dataset(0, 2), steps_per_epoch=1, epochs=2, verbose=0).history
        return history["loss"]

    one, two = step(contextlib.nullcontext(), 1), step(two_replicas.scope(), 2)
    assert one == pytest.approx(two, rel=1e-4) and one[1] < one[0]
