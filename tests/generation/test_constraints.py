"""Texts that follow choices, a regular expression or a JSON schema, whatever a model with random weights says."""

from __future__ import annotations

import io
import json
import random
import re
import unicodedata

import jsonschema
import keras
import pytest
from random_schemas import random_schema
from toy_generation import Script, says, toy_config

from tfllm.cli import main
from tfllm.errors import UserError
from tfllm.generation import Generator, generate

GPT2 = {"pooled": "last", "classifier_activation": None, "classifier_bias": False, "classifier_dropout": 0.0}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
PATTERNS = [
    r"[a-z]+@[a-z]{3,5}\.com",
    r"(ab|c){3,}x*y",
    r"a[a-y]*z{3}",
    r"(\d{1,3}\.){3}\d{1,3}",
    r"^\d{4}-(0[1-9]|1[0-2])$",
    r"[^x]*x[^y]*y[^z]*z",
    r"\"?[a-z ]*(foo|bar){2}",
    r"[01]*1[01]{6}!",
    r"(?i)yes|no",
    r"héllo \p{Lu}+\n/\\",
    r"x*",
]


def of_vocabulary(tokenizer, **changes):
    from tfllm.models import CausalLM

    keras.utils.set_random_seed(8)
    model = CausalLM(toy_config(vocab_size=tokenizer.vocab_size + 3, max_positions=640, **{**GPT2, **changes}))
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="module")
def bpe_lm():
    """Byte-level BPE with merges that cross JSON's own tokens, and ids that no token has."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    from tfllm.text import from_files

    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    draw = random.Random(1)
    corpus = [json.dumps(random_schema(draw), ensure_ascii=False) for _ in range(200)] + [
        "positive negative name age city"
    ] * 50
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<bos>", "<eos>"],
        show_progress=False,
    )
    backend.train_from_iterator(corpus, trainer)
    return of_vocabulary(from_files({"tokenizer.json": backend.to_str().encode()}), bos_id=0, eos_id=1)


def sentencepiece_tokenizer(kind: str, words: list[str], byte_fallback: bool):
    import sentencepiece

    from tfllm.text import from_files

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 5), model_writer=model, model_type=kind, vocab_size=360 if byte_fallback else 60,
        byte_fallback=byte_fallback, hard_vocab_limit=False, minloglevel=2, pad_id=-1,
    )  # fmt: skip
    return from_files({"tokenizer.model": model.getvalue()})


@pytest.fixture(scope="module")
def llama_lm():
    """SentencePiece with bytes, as Llama 2's."""
    words = ["the name is", '{"name": "x", "age": 12}', "positive", "negative", "abc def ghi jkl mno pqr stu vwx yz"]
    return of_vocabulary(sentencepiece_tokenizer("bpe", words, True), bos_id=1, eos_id=2)


@pytest.fixture(scope="module")
def schema_generator(bpe_lm):
    return Generator(bpe_lm)


@pytest.fixture(scope="module")
def llama_generator(llama_lm):
    return Generator(llama_lm)


def follows_schema(generator, seed: int, max_new_tokens: int) -> str:
    draw = random.Random(seed)
    schema = random_schema(draw)
    prompt = "".join(draw.choice('abc {}":1,\n') for _ in range(draw.randint(1, 12)))
    options = {"temperature": draw.choice([0.0, 1.0, 1.0]), "seed": seed}
    result = generator(prompt, json_schema=schema, max_new_tokens=max_new_tokens, **options)
    jsonschema.Draft202012Validator(schema).validate(json.loads(result.text))
    assert len(result.token_ids) <= max_new_tokens
    return result.finish_reason


def test_json_follows_random_schemas(schema_generator):
    reasons = [follows_schema(schema_generator, seed, max_new_tokens=128) for seed in range(40)]
    assert set(reasons) <= {"constraint", "eos", "length"} and "constraint" in reasons


@pytest.mark.slow
def test_json_follows_200_random_schemas(schema_generator):
    for seed in range(200):
        follows_schema(schema_generator, seed, max_new_tokens=256)


def test_json_follows_a_schema_in_the_least_room_that_there_is(schema_generator):
    for schema in (
        PERSON,
        {"type": "array", "minItems": 3, "items": PERSON},
        {"type": "string", "pattern": "foo.*bar"},
    ):
        with pytest.raises(UserError, match="the shortest text found that follows json_schema has") as error:
            schema_generator("x", json_schema=schema, max_new_tokens=1)
        least = int(re.search(r"has (\d+) tokens", str(error.value))[1])
        for room in (least, least + 1, least + 5):
            options = {"max_new_tokens": room, "temperature": 2.0}
            for result in schema_generator(["x", "y", "z"], json_schema=schema, **options):
                jsonschema.validate(json.loads(result.text), schema)


@pytest.mark.parametrize("schema", [True, {}, "true", '{"type": "object"}'])
def test_any_json(schema_generator, schema):
    for result in schema_generator(["x", "y"], json_schema=schema, max_new_tokens=24, temperature=1.0):
        json.loads(result.text)


def test_a_real_looking_format_and_an_unanchored_pattern(schema_generator):
    properties = {
        "mail": {"type": "string", "format": "email"},
        "id": {"type": "string", "format": "uuid"},
        "day": {"type": "string", "format": "date"},
        "code": {"type": "string", "pattern": "[0-9]{2}x"},
    }
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    for result in schema_generator(["x", "y", "z"], json_schema=schema, max_new_tokens=128, temperature=1.0):
        value = json.loads(result.text)
        jsonschema.Draft202012Validator(schema).validate(value)
        assert re.fullmatch(r"[^@]+@[^@]+", value["mail"]) and re.fullmatch(r"\d{4}-\d\d-\d\d", value["day"])
        assert re.fullmatch(r"[0-9a-fA-F-]{36}", value["id"])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_whole_text_matches_a_regular_expression(schema_generator, llama_generator, pattern):
    python = pattern.replace(r"\p{Lu}", "A")
    for generator in (schema_generator, llama_generator):
        for result in generator(["ab", "c", ""], regex=pattern, max_new_tokens=24, temperature=1.5):
            said = capitals_as_a(result.text) if python != pattern else result.text
            assert re.fullmatch(python, said), result.text


def capitals_as_a(text: str) -> str:
    """Upper-case letters, and what Python's Unicode tables do not know yet (Rust's may be newer), as `A`."""
    return "".join("A" if unicodedata.category(character) in ("Lu", "Cn") else character for character in text)


def test_a_choice_is_made_and_ends_by_itself(bpe_lm, llama_lm):
    choices = ["positive", "negative", "neither (1/2)", "né"]
    said = set()
    for model in (bpe_lm, llama_lm):
        for result in generate(model, ["x"] * 8, choices=choices, temperature=3.0):
            assert result.text in choices and result.finish_reason == "constraint"
            assert len(result.log_probs) == len(result.token_ids)
            said.add(result.text)
    assert len(said) > 1
    assert generate(bpe_lm, "x", choices="one").text == "one"


def test_a_choice_that_another_begins_with_may_end_by_the_end_token(bpe_lm):
    found = {
        (result.text, result.finish_reason)
        for result in generate(bpe_lm, ["x"] * 24, choices=["a", "ab"], temperature=4.0, max_new_tokens=5)
    }
    assert ("ab", "constraint") in found and {text for text, _ in found} == {"a", "ab"}
    assert {reason for text, reason in found if text == "a"} == {"eos"}


def test_an_ending_model_is_held_back_until_the_text_is_whole(byte_lm):
    """A model that wants nothing but to end."""
    eager = Generator(byte_lm)
    options = {"logit_bias": {256: 1000.0}, "max_new_tokens": 60}
    assert eager("x", **options).token_ids == (256,)
    result = eager("x", json_schema={"type": "integer", "minimum": 100, "maximum": 999}, **options)
    assert 100 <= int(result.text) <= 999
    result = eager("x", regex="[a-z]{3}[0-9]*", **options)
    assert re.fullmatch("[a-z]{3}", result.text) and result.finish_reason == "eos"


def test_without_an_end_token_the_text_is_whole_all_the_same(byte_tokenizer):
    model = of_vocabulary(byte_tokenizer, eos_id=None, bos_id=257)
    assert json.loads(generate(model, "x", json_schema=PERSON, max_new_tokens=40).text)
    result = generate(model, "x", regex="a+", max_new_tokens=7)
    assert (result.text, result.finish_reason) == ("a" * 7, "length")


@pytest.mark.parametrize("eos", [{"eos_id": 256}, {"eos_id": None}])
def test_a_text_ends_before_what_the_limit_would_cut(byte_tokenizer, eos):
    """After `a`, and after `abc`, the text may end or go on by two tokens, for which there is not always room."""
    model = of_vocabulary(byte_tokenizer, **eos, bos_id=257)
    for limit in range(1, 6):
        options = {"regex": "a(bc)*", "max_new_tokens": limit, "logit_bias": {98: 50.0, 99: 50.0}}
        for result in generate(model, ["x", "ab"], **options):
            assert result.text == "a" + "bc" * ((limit - 1) // 2)
            assert result.finish_reason == ("length" if limit % 2 else "eos" if model.config.eos_id else "constraint")
    if model.config.eos_id:
        with pytest.raises(UserError, match="unmet constraint: another option"):
            generate(model, "x", regex="a(bc)*", max_new_tokens=4, min_new_tokens=4, logit_bias={98: 50.0, 99: 50.0})


PROMPTS = ["one", "two and more", "x"]


@pytest.mark.parametrize(
    "constraint", [{"json_schema": PERSON}, {"regex": "[a-c]+(d|e)"}, {"choices": ["one", "two", "on"]}]
)
def test_a_row_does_not_depend_on_the_batch(bpe_lm, constraint):
    options = {**constraint, "temperature": 1.5, "top_p": 0.9, "max_new_tokens": 40}
    together = generate(bpe_lm, PROMPTS, seeds=[7, 8, 9], **options)
    reversed_ = generate(bpe_lm, PROMPTS[::-1], seeds=[9, 8, 7], **options)[::-1]
    alone = [generate(bpe_lm, prompt, seed=seed, **options) for prompt, seed in zip(PROMPTS, (7, 8, 9))]
    for other in (reversed_, alone):
        assert [(r.text, r.token_ids, r.finish_reason) for r in other] == [
            (r.text, r.token_ids, r.finish_reason) for r in together
        ]
    draws = generate(bpe_lm, "one", num_results=3, **{**options, "seed": 7})
    assert draws.text == together[0].text and len(draws.others) == 2


@pytest.mark.parametrize("options", [{}, {"temperature": 1.5, "seed": 3}, {"temperature": 1.5, "stop": '"age'}])
def test_a_stream_is_the_text_in_pieces(bpe_lm, options):
    generator = Generator(bpe_lm)
    options = {"json_schema": PERSON, "max_new_tokens": 60, **options}
    pieces = list(generator.stream("x", **options))
    assert len(pieces) > 3 and "".join(pieces) == generator("x", **options).text


def test_a_stop_string_cuts_the_text(bpe_lm):
    result = generate(bpe_lm, "x", json_schema=PERSON, stop='"age', temperature=1.0, max_new_tokens=60)
    assert result.finish_reason == "stop" and result.text.startswith("{") and '"age' not in result.text


def test_xla_gives_the_same(bpe_lm):
    options = {"json_schema": PERSON, "max_new_tokens": 30, "temperature": 1.0}
    with_xla = Generator(bpe_lm, jit_compile=True)(PROMPTS, **options)
    assert [r.token_ids for r in with_xla] == [r.token_ids for r in generate(bpe_lm, PROMPTS, **options)]


def test_guidance_and_penalties_go_with_a_constraint(bpe_lm):
    options = {
        "repetition_penalty": 1.3,
        "frequency_penalty": 0.5,
        "min_new_tokens": 12,
        "top_k": 5,
        "temperature": 1.0,
    }
    for other in ({}, {"guidance_scale": 1.5}):
        for result in generate(bpe_lm, PROMPTS, json_schema=PERSON, max_new_tokens=40, **options, **other):
            jsonschema.validate(json.loads(result.text), PERSON)


def test_characters_whose_bytes_are_no_tokens():
    tokenizer = sentencepiece_tokenizer("unigram", ["été là", "è é", "zone", "日本", "日木"], byte_fallback=False)
    generator = Generator(of_vocabulary(tokenizer, bos_id=1, eos_id=2))
    for choices in (["é", "è"], ["日本", "日木"]):  # they begin with the same byte
        said = {result.text for result in generator([[5]] * 12, choices=choices, temperature=4.0)}
        assert said == set(choices)
    for result in generator([[5], [6]], regex="(é|è|日|本)+z", temperature=3.0, max_new_tokens=12):
        assert re.fullmatch("(é|è|日|本)+z", result.text)


@pytest.mark.parametrize("forced", [None, 1])
def test_an_encoder_decoder_whose_tokenizer_leaves_out_the_first_space(forced):
    from tfllm.models import Seq2SeqLM

    words = ["positive", "negative", "neutral", "the cat sat"]
    keras.utils.set_random_seed(5)
    tokenizer = sentencepiece_tokenizer("unigram", words, byte_fallback=False)
    config = toy_config(vocab_size=tokenizer.vocab_size, causal=False, num_decoder_layers=1, decoder_start_id=0)
    model = Seq2SeqLM(config)
    model.tokenizer = tokenizer
    if forced is not None:  # a first token that is no text, and a last one, as BART's and M2M100's
        model.checkpoint = {"generation_config": {"forced_bos_token_id": forced, "forced_eos_token_id": 2}}
    generator = Generator(model)
    sources = ["the cat", "sat", "positive", "cat"]
    for result in generator(sources, choices=words, temperature=2.0, max_new_tokens=12):
        assert result.text in words
        assert tokenizer.id_to_token(result.token_ids[forced is not None]).startswith("\u2581")
    for result in generator(sources, regex="(?:ti|ne)+s", temperature=2.0, max_new_tokens=12):
        assert re.fullmatch("(?:ti|ne)+s", result.text)
    with pytest.raises(UserError, match="no text was found that follows it and that the model's vocabulary can spell"):
        generator("the cat", json_schema=PERSON)
    with pytest.raises(UserError, match="vocabulary can spell. Received: 'Zoo!'"):
        generator("the cat", choices=["positive", "Zoo!"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regex": "a(b"}, "regex cannot be followed: .*unclosed group"),
        ({"regex": "(?=a)b"}, "look-around"),
        ({"regex": ""}, "regex must not be empty"),
        ({"regex": "()"}, "more than the empty text"),
        ({"regex": "[^\\s\\S]"}, "cannot be followed|no text was found"),
        ({"regex": "a{50}", "max_new_tokens": 10}, "shortest text found that follows regex has .* room for 10"),
        ({"choices": []}, "at least one string"),
        ({"choices": ["a", ""]}, "not empty"),
        ({"choices": [1]}, "must be strings"),
        ({"json_schema": {"type": "thing"}}, "json_schema cannot be followed: .*thing"),
        ({"json_schema": {"type": "integer", "minimum": 3, "maximum": 2}}, "minimum .* greater than maximum"),
        ({"json_schema": {"type": "array", "uniqueItems": True}}, "uniqueItems"),
        ({"json_schema": "{"}, "which is not JSON"),
        ({"json_schema": "[1]"}, "must be an object, or true"),
        ({"json_schema": False}, "nothing fits false"),
        ({"json_schema": 7}, "must be a dictionary, true, or their JSON"),
        ({"json_schema": {"const": object()}}, "values that JSON can write"),
        ({"regex": "a", "choices": ["b"]}, "give one of .* Received: choices, regex"),
        ({"json_schema": True, "prompt_lookup": 3}, "not with prompt_lookup"),
        ({"regex": "a", "penalty_alpha": 0.5, "top_k": 4}, "not with penalty_alpha"),
        ({"regexp": "a"}, "Did you mean 'regex'"),
        ({"regex": "ab", "bad_words": ["b"]}, "unmet constraint: another option .* after 'a'"),
        (
            {"regex": "a*b", "no_repeat_ngram_size": 1, "logit_bias": {98: -float("inf")}},
            "unmet constraint: another option",
        ),
    ],
)
def test_what_cannot_be_met_is_one_clear_error(byte_lm, options, message):
    with pytest.raises(UserError, match=message):
        generate(byte_lm, "x", **options)


def test_a_draft_model_and_a_missing_tokenizer_are_refused(byte_lm, causal_lm):
    with pytest.raises(UserError, match="regex goes with one token at a time"):
        generate(byte_lm, "x", regex="ab", draft_model=byte_lm)
    with pytest.raises(UserError, match="regex needs a tokenizer"):
        generate(causal_lm, [5], regex="ab")


def test_an_own_processor_that_contradicts_is_an_error(byte_lm):
    with pytest.raises(UserError, match="unmet constraint: another option"):
        Generator(byte_lm, processors=[says("no JSON")])("x", json_schema=True)
    assert Generator(byte_lm, processors=[says('{"a":1}')])("x", json_schema=True).text == '{"a":1}'
    assert Generator(byte_lm, processors=[Script((ord("7"), 256))])("x", json_schema=True).finish_reason == "eos"


def test_the_command_takes_constraints(byte_lm, tmp_path, capsys):
    import tfllm

    tfllm.save(byte_lm, tmp_path / "gpt2", family="gpt2")
    (tmp_path / "schema.json").write_text(json.dumps(PERSON))
    start = ["generate", f"--model={tmp_path / 'gpt2'}", "--prompt=ab", "--max_new_tokens=60"]
    for schema in (tmp_path / "schema.json", json.dumps(PERSON)):
        assert main([*start, f"--json_schema={schema}"]) == 0
        jsonschema.validate(json.loads(capsys.readouterr().out), PERSON)
    assert main([*start, "--choices=positive,negative"]) == 0
    assert capsys.readouterr().out in ("positive\n", "negative\n")
    assert main([*start, "--regex=[ab]{4}", "--format=jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["finish_reason"] == "constraint"
    assert main([*start, "--json_schema=nowhere.json"]) == 2
    assert "json_schema must be a file of JSON" in capsys.readouterr().err
