"""KerasHub's models behind tfllm's batch contract. Toy sizes, random weights, vocabularies made here."""

from __future__ import annotations

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy_finetuning

import tfllm
from tfllm import cli, training
from tfllm.errors import CheckpointError, UserError

keras_hub = pytest.importorskip("keras_hub")

from tfllm.checkpoints.kerashub import KerasHubTokenizer, preset_of  # noqa: E402
from tfllm.checkpoints.kerashub.pooled_classifier import PooledTextClassifier  # noqa: E402

WORDS = [*toy_finetuning.WORDS, *toy_finetuning.GOOD, *toy_finetuning.BAD]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 24}
TEXTS = ["a film is great", "the plot", "scene"]
PAIRS = ["poor music", "a very dull and bad story", "lovely lovely end"]


def backbone(name="Bert", dropout=0.0, **options):
    """A random backbone; its weights are scaled up, so that differences show."""
    options = {**SIZES, "dropout": dropout, "max_sequence_length": 24, "vocabulary_size": len(VOCABULARY)} | options
    if name == "Electra":
        options |= {"vocab_size": options.pop("vocabulary_size"), "embedding_dim": 16}
    if name == "Albert":
        options |= {"embedding_dim": 8}
    if name == "DebertaV3":
        options |= {"bucket_size": 8}
    if name == "Llama":
        del options["max_sequence_length"], options["num_heads"]
        options |= {"num_query_heads": 2, "num_key_value_heads": 1}
    if name == "FNet":
        del options["num_heads"]
    keras.utils.set_random_seed(1)
    made = getattr(keras_hub.models, f"{name}Backbone")(**options)
    for weight in made.weights:
        if len(weight.shape) > 1:
            weight.assign(10 * weight)
    return made


def bert_tokenizer(**options):
    return keras_hub.models.BertTokenizer(VOCABULARY, lowercase=True, **options)


def bert_classifier(num_classes=2, **options):
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(bert_tokenizer(), sequence_length=16)
    return keras_hub.models.BertTextClassifier(
        backbone(), num_classes=num_classes, preprocessor=preprocessor, dropout=0.0, **options
    )


@pytest.fixture()
def task():
    return toy_finetuning.sentiment_task()


def batch(lengths=(5, 9, 0), width=9):
    """A padded batch, and what KerasHub calls the same. The last row is empty."""
    example_ids = (np.arange(width) < np.array(lengths)[:, None]).astype("int32")
    token_ids = np.random.default_rng(0).integers(2, len(VOCABULARY), example_ids.shape).astype("int32") * example_ids
    type_ids = (np.arange(width) > 3).astype("int32") * example_ids
    ours = {
        "token_ids": token_ids,
        "example_ids": example_ids,
        "position_ids": np.maximum(np.cumsum(example_ids, axis=1) - 1, 0).astype("int32"),
        "type_ids": type_ids,
        "head_positions": np.zeros((len(lengths), 1), "int32"),
    }
    return ours, {"token_ids": token_ids, "padding_mask": example_ids, "segment_ids": type_ids}


FAMILIES = "Bert Roberta XLMRoberta DistilBert Albert Electra DebertaV3 GPT2 Llama FNet".split()


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_kerashubs_own_model(name):
    model = tfllm.from_keras_hub(backbone(name), num_labels=3)
    ours, theirs = batch()
    expected = model.classifier({key: theirs[key] for key in model.classifier.input})
    logits = model(ours)
    assert logits.shape == (3, 1, 3) and logits.dtype == "float32" and np.isfinite(logits).all()
    np.testing.assert_array_equal(logits[:, 0], expected)
    assert len(np.unique(np.array(logits).round(4))) == 9
    if model.layouts == ("bucketed", "padded"):
        wider, _ = batch(width=13)
        for key in ours:
            if key != "head_positions":
                wider[key] = np.pad(ours[key], ((0, 0), (0, 4)))
        np.testing.assert_allclose(model(wider)[:2], logits[:2], atol=1e-5)
    else:
        assert name == "FNet" and model.layouts == ("padded",)  # it mixes the padding in


@pytest.mark.parametrize("name, place", [("GPT2", [4, 8]), ("Llama", [4, 8])])
def test_a_decoder_is_read_at_its_last_token(name, place):
    model = tfllm.from_keras_hub(backbone(name), num_labels=3)
    ours, theirs = batch()
    hidden = np.array(model.backbone({key: theirs[key] for key in model.backbone.input}))[[0, 1], place]
    assert isinstance(model.classifier, PooledTextClassifier) and model.pooled == "last"
    np.testing.assert_allclose(model(ours)[:2, 0], model.classifier.output_dense(hidden), atol=1e-5)


def test_keys_may_be_left_out():
    model = tfllm.from_keras_hub(bert_classifier())
    ours, _ = batch(lengths=(5, 9))
    ours["type_ids"] = np.zeros_like(ours["type_ids"])
    np.testing.assert_allclose(model(ours["token_ids"]), model(ours), atol=1e-6)


def test_a_classifier_keeps_its_head_and_a_backbone_gets_kerashubs_own():
    classifier = bert_classifier(3)
    model = tfllm.from_keras_hub(classifier)
    assert model.classifier is classifier and model.num_labels == 3 and model.checkpoint["fresh"] == []
    made = tfllm.from_keras_hub(backbone("Roberta"))
    assert isinstance(made.classifier, keras_hub.models.RobertaTextClassifier)
    assert made.num_labels == 2 and made.tokenizer is None
    assert made.checkpoint["fresh"] == ["pooled_dense/kernel", "pooled_dense/bias", "logits/kernel", "logits/bias"]
    fresh = tfllm.from_keras_hub(classifier, num_labels=4, fresh_head=True)
    assert fresh.backbone is classifier.backbone and fresh.num_labels == 4 and fresh.tokenizer is not None
    with pytest.raises(UserError, match="has 3 labels. Received: num_labels=2. Give fresh_head=True"):
        tfllm.from_keras_hub(classifier, num_labels=2)


def test_another_task_gives_its_backbone_and_tokenizer():
    preprocessor = keras_hub.models.BertMaskedLMPreprocessor(bert_tokenizer(), sequence_length=16)
    masked_lm = keras_hub.models.BertMaskedLM(backbone(), preprocessor=preprocessor)
    model = tfllm.from_keras_hub(masked_lm)
    assert model.backbone is masked_lm.backbone and model.tokenizer.hub is preprocessor.tokenizer


def sentencepiece_model(specials=("[CLS]", "[SEP]", "[MASK]"), **ids) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, *PAIRS, " ".join(WORDS)] * 5), model_writer=model, vocab_size=60, hard_vocab_limit=False,
        minloglevel=2, control_symbols=list(specials), **ids,
    )  # fmt: skip
    return model.getvalue()


def byte_pair_tokenizer(cls, specials):
    characters = sorted({c for text in [*WORDS, *TEXTS] for c in text if c != " "})
    merges = ["Ġ f", "i l", "il m", "Ġf ilm", "a n", "an d", "e r"]
    tokens = [*specials, *characters, "Ġ", *(merge.replace(" ", "") for merge in merges)]
    return cls(vocabulary={token: i for i, token in enumerate(tokens)}, merges=merges)


def tokenizer_of(name):
    models = keras_hub.models
    if name == "Bert":
        return bert_tokenizer()
    if name == "Roberta":
        return byte_pair_tokenizer(models.RobertaTokenizer, ["<s>", "<pad>", "</s>", "<mask>"])
    if name == "GPT2":
        return byte_pair_tokenizer(models.GPT2Tokenizer, ["<|endoftext|>"])
    ids = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
    if name == "Albert":
        return models.AlbertTokenizer(proto=sentencepiece_model(**ids))
    if name == "DebertaV3":
        return models.DebertaV3Tokenizer(proto=sentencepiece_model(pad_piece="[PAD]", **ids))
    return models.LlamaTokenizer(proto=sentencepiece_model((), **ids))


@pytest.mark.parametrize("name", ["Bert", "Roberta", "Albert", "DebertaV3", "GPT2", "Llama"])
def test_token_ids_are_those_of_kerashubs_preprocessor(name):
    hub = tokenizer_of(name)
    model = tfllm.from_keras_hub(backbone(name, vocabulary_size=hub.vocabulary_size()), tokenizer=hub)
    tokenizer, preprocessor = model.tokenizer, model.classifier.preprocessor
    preprocessor.sequence_length = 40
    for texts, pairs in ((TEXTS, None), (TEXTS, PAIRS)):
        expected = preprocessor(x=texts if pairs is None else (tf.constant(texts), tf.constant(pairs)))
        encoded = tokenizer.encode_batch(texts, pairs)
        for row in range(len(texts)):
            length = encoded.lengths[row]
            np.testing.assert_array_equal(encoded[row], expected["token_ids"][row][:length])
            assert (np.array(expected["token_ids"][row][length:]) == tokenizer.pad_id).all()
            if tokenizer.has_type_ids:
                types = encoded.type_ids[encoded.offsets[row] : encoded.offsets[row + 1]]
                np.testing.assert_array_equal(types, expected["segment_ids"][row][:length])
    assert tokenizer.has_type_ids == (name in ("Bert", "Albert"))
    assert tokenizer.decode(encoded[0]).split() == f"{TEXTS[0]} {PAIRS[0]}".split() or name in ("Roberta", "GPT2")
    for token_id in (0, 7, tokenizer.vocab_size - 1):
        assert tokenizer.token_to_id(tokenizer.id_to_token(token_id)) == token_id
    assert tokenizer.id_to_token(tokenizer.vocab_size) is None and tokenizer.token_to_id("no such token") is None


def test_long_texts_are_cut_and_counted():
    tokenizer = tfllm.from_keras_hub(bert_classifier()).tokenizer
    encoded = tokenizer.encode_batch(TEXTS, PAIRS, max_length=7)
    assert encoded.truncated == 2 and encoded.lengths.tolist() == [7, 7, 7]
    assert tokenizer.decode(encoded[0]) == "a film poor music"


def test_the_fingerprint_is_of_all_that_determines_the_ids():
    def fingerprint(tokenizer, has_type_ids=True):
        preprocessor = keras_hub.models.BertTextClassifierPreprocessor(tokenizer)
        return KerasHubTokenizer(preprocessor, has_type_ids=has_type_ids).fingerprint

    first = fingerprint(bert_tokenizer())
    assert fingerprint(bert_tokenizer()) == first
    others = {
        fingerprint(bert_tokenizer(), has_type_ids=False),
        fingerprint(bert_tokenizer(strip_accents=True)),
        fingerprint(keras_hub.models.BertTokenizer([*VOCABULARY, "more"], lowercase=True)),
        fingerprint(keras_hub.models.BertTokenizer(VOCABULARY)),
    }
    assert len(others) == 4 and first not in others


def test_packed_rows_are_refused_by_the_model_the_tasks_and_the_trainer(task, tmp_path):
    model = tfllm.from_keras_hub(bert_classifier())
    ours, _ = batch()
    with pytest.raises(UserError, match='2 a row. Give layout="bucketed" to task.batches'):
        model({**ours, "head_positions": np.zeros((3, 2), "int32")})
    model.compile(training.optimizer("adamw", 1e-3), **model.compile_defaults())
    with pytest.raises(UserError, match='Give layout="bucketed" to task.batches'):
        model.fit(task.batches("train", model.tokenizer))
    message = "takes layout=bucketed or padded: one example a row.*Received: layout='packed'"
    with pytest.raises(UserError, match=message):
        task.evaluate(model, layout="packed")
    config = training.FinetuneConfig(model="toy", run_dir=str(tmp_path / "run"), max_length=12, layout="packed")
    with pytest.raises(UserError, match=message):
        training.Trainer(config, model=model, task=task).run()
    assert not (tmp_path / "run").exists()


def test_rows_longer_than_the_backbones_positions_are_refused():
    ours, _ = batch(lengths=(5, 9), width=25)
    with pytest.raises(UserError, match="positions for 24 tokens. Received: rows of 25. Give max_length=24"):
        tfllm.from_keras_hub(bert_classifier())(ours)


def test_evaluate_takes_a_layout_that_fits(task):
    model = tfllm.from_keras_hub(bert_classifier())
    bucketed, padded = (task.evaluate(model, max_length=24, **options) for options in ({}, {"layout": "padded"}))
    assert bucketed == padded and bucketed["n"] == 40 and "accuracy" in bucketed["ci95"]


def test_a_step_of_fit_is_kerashubs_own_step():
    ours, theirs = batch(lengths=(5, 9, 7))
    labels = np.array([0, 1, 1])
    classifier, model = bert_classifier(), tfllm.from_keras_hub(bert_classifier())
    model.classifier.set_weights(classifier.get_weights())
    classifier.preprocessor = None
    classifier.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    classifier.fit(theirs, labels, batch_size=3, verbose=0)
    model.compile(keras.optimizers.SGD(0.1), **model.compile_defaults())
    history = model.fit(ours, labels[:, None], sample_weight=np.ones((3, 1)), batch_size=3, verbose=0)
    assert set(history.history) == {"loss", "accuracy"}
    for one, two in zip(classifier.weights, model.classifier.weights):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=1e-6, err_msg=one.path)


@pytest.mark.parametrize("name", ["Bert", "Electra", "GPT2", "Llama"])
def test_fit_trains_backbone_and_head(name, task):
    classifier = tfllm.from_keras_hub(backbone(name), tokenizer=bert_tokenizer())
    before = [weight.numpy() for weight in classifier.trainable_weights]
    classifier.compile(training.optimizer("adamw", 1e-3), **classifier.compile_defaults())
    data = task.batches("train", classifier.tokenizer, batch_size=80, layout="padded", max_length=12)
    classifier.fit(data, verbose=0)
    still = [w.path for w, old in zip(classifier.trainable_weights, before) if np.array_equal(w.numpy(), old)]
    # Llama's output table is no part of a classifier.
    assert still == (["token_embedding/reverse_embeddings"] if name == "Llama" else [])


def test_biases_that_are_matrices_do_not_decay():
    model = tfllm.from_keras_hub(backbone())
    optimizer = training.optimizer("adamw", 0.1, weight_decay=0.5)
    optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer.apply([np.zeros(variable.shape, "float32") for variable in model.trainable_variables])
    rates = {variable.path: float(np.mean(variable)) for variable in model.trainable_variables}
    assert rates["transformer_layer_0/self_attention_layer/query/kernel"] == pytest.approx(0.95)
    assert rates["transformer_layer_0/self_attention_layer/query/bias"] == 1
    with pytest.raises(UserError, match="layer_decay needs a model whose variables say which layer"):
        training.optimizer("adamw", 0.1, layer_decay=0.9).build(model.trainable_variables)


def test_two_replicas_give_the_same_weights(two_replicas, task):
    from contextlib import nullcontext

    results = []
    for strategy in (None, two_replicas):
        with strategy.scope() if strategy else nullcontext():
            model = tfllm.from_keras_hub(backbone(), tokenizer=bert_tokenizer())
            for layer in model._flatten_layers():
                if isinstance(layer, keras.layers.Dropout):
                    layer.rate = 0.0
            model.compile(training.optimizer("adamw", 1e-3, epsilon=1e-3), **model.compile_defaults())
        data = task.batches(
            "train", model.tokenizer, batch_size=30, layout="padded", max_length=12, replicas=2 if strategy else 1
        )
        history = model.fit(data, verbose=0)
        results.append((history.history["loss"][0], [weight.numpy() for weight in model.weights]))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-5)
    for one, two in zip(results[0][1], results[1][1]):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_a_preset_with_a_classifier_comes_back_and_goes_out(tmp_path):
    ours, _ = batch()
    classifier = bert_classifier(3)
    classifier.save_to_preset(str(tmp_path / "theirs"))
    model = tfllm.from_keras_hub(tmp_path / "theirs", label_names=("x", "y", "z"))
    np.testing.assert_array_equal(model(ours), tfllm.from_keras_hub(classifier)(ours))
    assert model.tokenizer.encode("a film") == [2, 5, 7, 3] and model.checkpoint["fresh"] == []
    assert model.classifier.preprocessor.sequence_length == 16

    model.save_to_preset(tmp_path / "ours")
    again = tfllm.from_keras_hub(f"kerashub:{tmp_path / 'ours'}")
    np.testing.assert_array_equal(again(ours), model(ours))
    assert again.label_names == ("x", "y", "z") and not again.regression
    assert again.tokenizer.fingerprint == model.tokenizer.fingerprint
    opened = keras_hub.models.TextClassifier.from_preset(str(tmp_path / "ours"))
    np.testing.assert_array_equal(tfllm.from_keras_hub(opened)(ours), model(ours))

    with pytest.raises(UserError, match="has 3 labels. Received: num_labels=2"):
        tfllm.from_keras_hub(tmp_path / "ours", num_labels=2)
    fresh = tfllm.from_keras_hub(tmp_path / "ours", num_labels=2, fresh_head=True, dtype="mixed_bfloat16")
    assert fresh.checkpoint["fresh"] == ["logits/kernel", "logits/bias"] and fresh.label_names is None
    assert fresh.compute_dtype == "bfloat16" and fresh(ours).dtype == "float32"


@pytest.mark.parametrize("name", ["GPT2", "Electra"])
def test_a_preset_of_a_backbone_that_kerashub_has_no_classifier_for(name, tmp_path):
    ours, _ = batch()
    made = backbone(name, vocabulary_size=40)
    made.save_to_preset(str(tmp_path / "backbone"))
    model = tfllm.from_keras_hub(tmp_path / "backbone", num_labels=1)
    assert model.regression and model.tokenizer is None
    assert model.checkpoint["fresh"] == ["logits/kernel", "logits/bias"]
    np.testing.assert_array_equal(model.backbone.get_weights()[0], made.get_weights()[0])

    tokenizer = {"GPT2": tokenizer_of("GPT2"), "Electra": keras_hub.models.ElectraTokenizer(VOCABULARY)}[name]
    with_tokenizer = tfllm.from_keras_hub(model.backbone, num_labels=1, tokenizer=tokenizer)
    with_tokenizer.save_to_preset(tmp_path / "ours")
    again = tfllm.from_keras_hub(tmp_path / "ours")
    np.testing.assert_array_equal(again(ours), with_tokenizer(ours))
    assert again.regression and again.checkpoint["fresh"] == []
    assert again.tokenizer.fingerprint == with_tokenizer.tokenizer.fingerprint


def test_a_hugging_face_directory_through_kerashub_gives_the_same_tokens_and_hidden_states(tmp_path):
    ours = tfllm.load(toy_finetuning.save_toy_checkpoint(tmp_path), head="classifier")
    tfllm.save(ours, tmp_path / "classifier")
    (tmp_path / "classifier" / "tokenizer_config.json").write_text('{"do_lower_case": true}')  # KerasHub wants it
    theirs = tfllm.from_keras_hub(tmp_path / "classifier")
    encoded = ours.tokenizer.encode_batch(TEXTS, PAIRS)
    np.testing.assert_array_equal(theirs.tokenizer.encode_batch(TEXTS, PAIRS).ids, encoded.ids)
    ids = encoded[0][None]
    hub = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": np.ones_like(ids)}
    # KerasHub's GELU is an approximation of the reference's.
    np.testing.assert_allclose(theirs.backbone(hub)["sequence_output"], ours.backbone(ids), atol=2e-3)


@pytest.mark.parametrize("name", ["Bert", "GPT2"])
def test_a_keras_file_gives_model_and_tokenizer_back(name, tmp_path):
    ours, _ = batch()
    made = backbone(name, vocabulary_size=40)
    model = tfllm.from_keras_hub(made, tokenizer=tokenizer_of(name), label_names=("no", "yes"))
    model.compile(training.optimizer("adamw", 1e-3), **model.compile_defaults())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(ours), model(ours))
    assert again.label_names == ("no", "yes") and again.tokenizer.fingerprint == model.tokenizer.fingerprint
    assert again.checkpoint == model.checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the trainer from a preset, as `tfllm finetune` makes it: `(results, directory, preset)`."""
    directory = tmp_path_factory.mktemp("kerashub")
    made = backbone(max_sequence_length=12, dropout=0.1)
    for weight in made.weights:
        weight.assign(weight / 5 if len(weight.shape) > 1 else weight)
    bert = keras_hub.models.BertTextClassifier(
        made, 2, preprocessor=keras_hub.models.BertTextClassifierPreprocessor(bert_tokenizer())
    )
    bert.save_to_preset(str(directory / "preset"))
    config = training.FinetuneConfig(
        model=str(directory / "preset"), run_dir=str(directory / "run"), layout="bucketed", epochs=6,
        learning_rate=1e-2, batch_size=8, log_every=50,
    )  # fmt: skip
    return training.Trainer(config, task=toy_finetuning.sentiment_task()).run(), directory / "run", directory / "preset"


def test_the_trainer_fine_tunes_a_preset_and_leaves_one(run, task):
    results, directory, _ = run
    assert results["scores"]["validation"]["accuracy"] > 0.9
    assert results["max_length"] == 12 and results["model"]["family"] == "BertBackbone"
    assert results["throughput"]["tokens_per_second"] > 0 and "mfu" not in results["throughput"]
    model = tfllm.from_keras_hub(directory / "model")
    assert task.evaluate(model)["accuracy"] == results["scores"]["validation"]["accuracy"]
    assert model.label_names == ("negative", "positive")
    card = (directory / "README.md").read_text()
    assert "# preset fine-tuned on toy/sentiment" in card and 'tfllm.from_keras_hub("model")' in card
    assert "transformers" not in card and "{%" not in card


def test_the_commands_take_the_run(run, task, tmp_path, capsys, monkeypatch):
    results, directory, _ = run
    monkeypatch.setattr("tfllm.tasks.get", lambda name, data_dir=None: task)
    assert cli.main(["evaluate", f"--model={directory}", "--task=toy/sentiment", "--format=json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["accuracy"] == results["scores"]["validation"]["accuracy"]
    rows = toy_finetuning.write_jsonl(tmp_path / "rows.jsonl", toy_finetuning.sentiment(40, 1))
    output = tmp_path / "labels.jsonl"
    arguments = [f"--model={directory}", f"--input={rows}", "--text_columns=text", f"--output={output}"]
    assert cli.main(["predict", *arguments]) == 0
    predicted = [json.loads(line)["prediction"] for line in output.read_text().splitlines()]
    accuracy = np.mean([p == label for p, label in zip(predicted, toy_finetuning.sentiment(40, 1)["label"])])
    assert accuracy == pytest.approx(results["scores"]["validation"]["accuracy"])


def test_what_is_a_kerashub_preset(run, tmp_path):
    _, directory, preset = run
    assert preset_of(preset) == str(preset) and preset_of("kerashub:bert_tiny_en_uncased") == "bert_tiny_en_uncased"
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert preset_of(tmp_path) is preset_of("owner/name") is preset_of("demo") is preset_of(directory) is None


def test_what_does_not_fit_is_told(tmp_path, monkeypatch):
    bert = backbone()
    probabilities = keras_hub.models.BertTextClassifier(bert, num_classes=2, activation="softmax")
    seq2seq = keras_hub.models.BartBackbone(vocabulary_size=20, **SIZES)
    large = keras_hub.models.BertTokenizer([*VOCABULARY, "more"])
    plain = keras_hub.tokenizers.WordPieceTokenizer(["[UNK]", "a"])
    (tmp_path / "config.json").write_text("{")
    for call, message in [
        (lambda: tfllm.from_keras_hub(bert, head="causal_lm"), "head='classifier'. Received: head='causal_lm'"),
        (lambda: tfllm.from_keras_hub(bert, num_labels=0), "at least 1. Received: 0"),
        (lambda: tfllm.from_keras_hub(bert, label_names=("a",), num_labels=2), "label_names must have 2 names"),
        (lambda: tfllm.from_keras_hub(bert, regression=True, num_labels=3), "A regression has one output"),
        (lambda: tfllm.from_keras_hub(bert, dtype="bfloat16"), "dtype is for presets"),
        (lambda: tfllm.from_keras_hub(probabilities), "must give logits.*Received: activation='softmax'"),
        (lambda: tfllm.from_keras_hub(seq2seq), "BartBackbone"),
        (lambda: tfllm.from_keras_hub(keras.Sequential()), "Received: Sequential"),
        (lambda: tfllm.from_keras_hub(bert, tokenizer=large), "the backbone, 28. Received: 29"),
        (lambda: tfllm.from_keras_hub(bert, tokenizer=plain), "a start, an end and a padding token"),
        (lambda: tfllm.from_keras_hub("no_such_preset"), "could not load the preset 'no_such_preset'"),
        (lambda: tfllm.from_keras_hub(tmp_path), "could not load the preset"),
    ]:
        with pytest.raises(UserError, match=message):
            call()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install keras-hub"):
        tfllm.from_keras_hub(bert)


def test_a_damaged_preset_is_told(tmp_path):
    bert_classifier().save_to_preset(str(tmp_path))
    (tmp_path / "task.weights.h5").unlink()
    with pytest.raises(CheckpointError, match="Expected its weights in task.weights.h5"):
        tfllm.from_keras_hub(tmp_path)
    (tmp_path / "model.weights.h5").write_bytes(b"not an HDF5 file")
    with pytest.raises(CheckpointError, match="could not load the preset"):
        tfllm.from_keras_hub(tmp_path)


def test_saving_as_a_hugging_face_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match="Use model.save_to_preset"):
        tfllm.save(tfllm.from_keras_hub(backbone()), tmp_path / "out")
