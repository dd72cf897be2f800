"""Text as it comes: whole characters, stop strings, streams."""

from __future__ import annotations

import pytest
from toy_generation import Script, says

from tfllm.errors import UserError
from tfllm.generation import Generator, generate
from tfllm.generation.incremental_text import IncrementalText

TEXT = "Naïve 🙂 日本語, e\u0301nd"


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_pieces_are_whole_characters_and_join_to_the_text(byte_tokenizer, step):
    text, tokens = IncrementalText(byte_tokenizer), list(TEXT.encode())
    pieces = [text.add(tokens[i : i + step]) for i in range(0, len(tokens), step)] + [text.end()]
    assert "".join(pieces) == text.text == TEXT
    assert not any("\ufffd" in piece for piece in pieces)


def test_bytes_that_are_no_character_come_out_in_the_end(byte_tokenizer):
    text = IncrementalText(byte_tokenizer)
    assert (text.add([ord("a"), 0xF0]), text.add([0x9F]), text.end()) == ("a", "", "\ufffd")
    text = IncrementalText(byte_tokenizer)
    assert text.add([0xFF]) + text.add([ord("b")]) + text.end() == "\ufffdb"


@pytest.mark.parametrize("step", [1, 2, 5, 50])
def test_a_stop_string_of_several_tokens_cuts_exactly(byte_tokenizer, step):
    text, tokens = IncrementalText(byte_tokenizer, stop=["STOP", "\n\n"]), list(b"one STO two STOP three\n\n")
    pieces = []
    for i in range(0, len(tokens), step):
        pieces.append(text.add(tokens[i : i + step]))
    assert "".join([*pieces, text.end()]) == text.text == "one STO two "
    assert text.stopped == "STOP" and text.token_ids == list(b"one STO two STOP")


def test_the_first_of_two_stop_strings_counts(byte_tokenizer):
    text = IncrementalText(byte_tokenizer, stop=["cd", "bc"])
    assert text.add(list(b"abcde")) == "a" and text.stopped == "bc"


def test_a_context_gives_the_first_token_its_space():
    """SentencePiece leaves out the space of a text's first token."""

    class Words:
        def decode(self, ids):
            return " ".join(f"w{i}" for i in ids)

    text = IncrementalText(Words(), context=[1, 2])
    assert text.add([3]) + text.add([4]) == " w3 w4"
    assert IncrementalText(Words()).add([3, 4]) == "w3 w4"


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_generate_stops_at_a_stop_string(byte_lm, chunk):
    generator = Generator(byte_lm, processors=[says("Héllo there.\n\nAnd more")])
    result = generator("x", stop=".\n\n", chunk=chunk)
    assert (result.text, result.finish_reason) == ("Héllo there", "stop")
    assert bytes(result.token_ids).decode() == "Héllo there.\n\n"
    assert len(result.log_probs) == len(result.token_ids)
    ended = generator("x", stop="never", chunk=chunk)
    assert (ended.text, ended.finish_reason, ended.token_ids[-1]) == ("Héllo there.\n\nAnd more", "eos", 256)


def test_rows_stop_each_by_itself(byte_lm):
    options = {"max_new_tokens": 40, "temperature": 3.0, "seeds": [1, 2, 3], "stop": ["a", "b", "c", "d"]}
    prompts = ["one", "two", "three and more"]
    together = generate(byte_lm, prompts, **options)
    assert any(result.finish_reason == "stop" for result in together)
    for prompt, seed, result in zip(prompts, (1, 2, 3), together):
        alone = generate(byte_lm, prompt, **{**options, "seeds": [seed]})
        assert (alone.text, alone.token_ids) == (result.text, result.token_ids)
        assert not set(result.text) & set("abcd")


@pytest.mark.parametrize("options", [{}, {"stop": "🙂 日"}, {"max_new_tokens": 9}])
def test_a_stream_is_the_text_in_pieces(byte_lm, options):
    generator = Generator(byte_lm, processors=[says(TEXT)])
    pieces = list(generator.stream("x", **options))
    assert len(pieces) > 3 and all(pieces)
    assert "".join(pieces) == generator("x", **options).text
    assert not any("\ufffd" in piece for piece in pieces[:-1])


def test_a_stream_draws_what_generate_draws(byte_lm):
    options = {"temperature": 1.5, "seed": 11, "max_new_tokens": 30}
    assert (
        "".join(byte_lm_stream := Generator(byte_lm).stream("abc", chunk=3, **options))
        == generate(byte_lm, "abc", **options).text
    )
    assert list(byte_lm_stream) == []


def test_a_stream_of_beams_is_refused(byte_lm):
    with pytest.raises(UserError, match="A stream is one text"):
        list(Generator(byte_lm).stream("x", num_beams=2))


def test_bad_words_are_not_said(byte_lm):
    free = Generator(byte_lm)("ab", max_new_tokens=12)
    word = bytes(free.token_ids[3:6]).decode("latin-1")
    if word.isascii():
        assert word not in generate(byte_lm, "ab", max_new_tokens=12, bad_words=[word]).text
    with_script = Generator(byte_lm, processors=[Script((ord("c"), ord("a"), ord("t"), 256))])
    assert with_script("x").text == "cat"


def test_a_special_token_is_a_stop_string(byte_lm):
    """As a chat model's `<|im_end|>` is, where the end token is another."""
    text = IncrementalText(byte_lm.tokenizer, ["zz", "<bos>"])
    assert text.add([*b"ab<bos", 257, *b"cd"]) == "ab<bos"
    assert (text.stopped, text.text, text.token_ids) == ("<bos>", "ab<bos", [*b"ab<bos", 257])
    script = Generator(byte_lm, processors=[Script((*b"Hi ", 257, *b"more"))])
    assert script("x", stop="<bos>", max_new_tokens=8).text == "Hi "
    assert "".join(script.stream("x", stop="<bos>", max_new_tokens=8)) == "Hi "
