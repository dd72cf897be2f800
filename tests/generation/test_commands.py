"""`tfllm generate`, `tfllm chat` and `tfllm score`."""

from __future__ import annotations

import io
import json

import pytest

import tfllm
from tfllm.cli import main
from tfllm.generation import generate, score


@pytest.fixture(scope="module")
def directory(byte_lm, tmp_path_factory):
    directory = tmp_path_factory.mktemp("generate") / "gpt2"
    tfllm.save(byte_lm, directory, family="gpt2")
    config = json.loads((directory / "tokenizer_config.json").read_text())
    config["chat_template"] = (
        "{% for m in messages %}{{ m.role[0] + ':' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'a:' }}{% endif %}"
    )
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


def test_generate_streams_one_prompt(byte_lm, directory, capsys):
    assert (
        main(["generate", f"--model={directory}", "--prompt=ab", "--max_new_tokens=9", "--seed=3", "--temperature=1"])
        == 0
    )
    expected = generate(byte_lm, "ab", max_new_tokens=9, seed=3, temperature=1.0)
    assert capsys.readouterr().out == expected.text + "\n"


def test_generate_reads_and_writes_files(byte_lm, directory, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"prompt": "ab"}\n{"prompt": "c"}\n')
    arguments = ["generate", f"--model={directory}", f"--input={tmp_path}/in.jsonl", f"--output={tmp_path}/out.jsonl"]
    assert main([*arguments, "--max_new_tokens=5", "--format=jsonl", "--num_beams=2", "--logit_bias=7:-3.5"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    expected = generate(byte_lm, ["ab", "c"], max_new_tokens=5, num_beams=2, logit_bias={7: -3.5})
    assert [row["prompt"] for row in rows] == ["ab", "c"]
    assert [tuple(row["token_ids"]) for row in rows] == [result.token_ids for result in expected]


def test_generate_reads_prompts_as_they_are_typed(byte_lm, directory, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("ab\nc\n"))
    assert main(["generate", f"--model={directory}", "--max_new_tokens=5"]) == 0
    expected = [generate(byte_lm, prompt, max_new_tokens=5).text for prompt in ("ab", "c")]
    assert capsys.readouterr().out == "".join(f"{text}\n" for text in expected)


def test_chat_remembers_and_forgets(byte_lm, directory, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\nMore\n/reset\nHi\n"))
    assert main(["chat", f"--model={directory}", "--max_new_tokens=4", "--temperature=0", "--system=S"]) == 0
    first = generate(byte_lm, "s:S\nu:Hi\na:", max_new_tokens=4).text
    second = generate(byte_lm, f"s:S\nu:Hi\na:{first}\nu:More\na:", max_new_tokens=4).text
    assert capsys.readouterr().out == f"{first}\n{second}\n{first}\n"


def test_chat_drops_the_oldest_exchanges_and_says_so(directory, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{'x' * 100}\n{'y' * 140}\n{'z' * 300}\n"))
    assert main(["chat", f"--model={directory}", "--max_new_tokens=4", "--temperature=0"]) == 2
    errors = capsys.readouterr().err
    assert "the oldest 1 exchanges no longer fit" in errors and "the message is too long" in errors


def test_score_prints_a_row_a_text_and_json(byte_lm, directory, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("one two\nthree\n")
    expected = score(byte_lm, ["one two", "three"])
    assert main(["score", f"--model={directory}", f"--input={tmp_path}/in.txt", "--format=jsonl", "--tokens"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["log_prob"] for row in rows] == pytest.approx([result.log_prob for result in expected], abs=1e-4)
    assert len(rows[0]["tokens"]) == len(rows[0]["token_log_probs"]) == 7
    assert main(["score", f"--model={directory}", f"--input={tmp_path}/in.txt"]) == 0
    table = capsys.readouterr().out
    assert f"{expected[0].perplexity:.2f}"[:4] in table and "all" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "--prompt=x"], "model is missing"),
        (["generate", "--model=M", "--prompt=x", "--input=y"], "either prompt or input"),
        (["generate", "--model=M", "--prompt=x", "--top_k=3"], "temperature above 0"),
        (["generate", "--model=M", "--prompt=x", "--logit_bias=7"], "must be id:bias"),
        (["generate", "--model=M", "--input=x.csv"], "a .txt file"),
        (["score", "--model=M"], "either text or input"),
        (["chat", "--model=M", "--temperature=-1"], "at least 0"),
    ],
)
def test_wrong_flags_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_lists_in_json_keep_commas_spaces_and_line_ends():
    from tfllm.commands import flags
    from tfllm.commands.generate import Config
    from tfllm.errors import UserError

    def parsed(*arguments: str) -> Config:
        return flags.parse(Config, list(arguments), program="tfllm generate", summary="")

    assert parsed('--stop=["\\n", " 7, 8"]').stop == ("\n", " 7, 8")
    assert parsed("--stop=ab, c", '--bad_words="x, y",[UNK]').stop == ("ab", "c")
    assert parsed('--bad_words="x, y",[UNK]').bad_words == ("x, y", "[UNK]")
    assert parsed("--bad_words=[UNK],[PAD]").bad_words == ("[UNK]", "[PAD]")
    assert parsed("--stop=").stop == parsed().stop == ()
    for wrong in ("\n", "a,,b", " ", '["a", "b', '"a', "a\nb"):
        with pytest.raises(UserError, match="or a JSON list of texts"):
            parsed(f"--stop={wrong}")


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_typed_bytes_that_are_no_text_are_one_clear_error(command, directory, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\n\xff\n"), encoding="utf-8"))
    assert main([command, f"--model={directory}", "--max_new_tokens=2"]) == 2
    captured = capsys.readouterr()
    assert (
        captured.err.count("error:") == 1 and "standard input must be UTF-8 text. Received: byte 0xff" in captured.err
    )


def test_an_output_that_cannot_be_written_is_an_error_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tfllm.commands.text_input.load_model", lambda path: pytest.fail("the model was loaded"))
    (tmp_path / "there.txt").write_text("kept")
    arguments = ["generate", "--model=M", "--prompt=x"]
    assert main([*arguments, f"--output={tmp_path}/there.txt"]) == 2
    assert main([*arguments, f"--output={tmp_path}/none/out.txt"]) == 2
    errors = capsys.readouterr().err
    assert "is there already" in errors and "There is no directory" in errors
