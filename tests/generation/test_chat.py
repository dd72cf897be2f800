"""Chat templates: what they render, and what they refuse."""

from __future__ import annotations

import json

import pytest

from tfllm.errors import CheckpointError, UserError
from tfllm.generation.chat import ChatTemplate, chat_prompt, chat_template

# The form of ChatML (Qwen, SmolLM).
CHATML = (
    "{% for message in messages %}\n"
    "  {% if loop.first and message.role != 'system' %}\n"
    "{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}"
    "{% endif %}\n"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}\n"
)
MESSAGES = [{"role": "user", "content": "Hi <b>ü</b>"}]


class _Tokenizer:
    def __init__(self, **files):
        self.files = {name.replace("__", "."): data.encode() for name, data in files.items()}

    def encode(self, text, add_special_tokens):
        assert not add_special_tokens
        return list(text.encode())


def test_chatml():
    assert ChatTemplate(CHATML, {}).render(MESSAGES, add_generation_prompt=True) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi <b>ü</b><|im_end|>\n<|im_start|>assistant\n"
    )


def test_what_transformers_templates_may_use():
    source = (
        "{{ bos_token }}{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{% generation %}{{ m | tojson }}{% endgeneration %}{% endfor %}{{ strftime_now('%Y')[:2] }}{{ tools }}{{ extra }}"
    )
    got = ChatTemplate(source, {"bos_token": "<s>"}).render([*MESSAGES, *MESSAGES], extra=3)
    assert got == '<s>{"role": "user", "content": "Hi <b>ü</b>"}20None3'


def test_a_template_can_refuse_and_cannot_break_out():
    with pytest.raises(UserError, match=r"roles must alternate. Received roles: \['user'\]"):
        ChatTemplate("{{ raise_exception('roles must alternate') }}", {}).render(MESSAGES)
    with pytest.raises(UserError, match="does not take this conversation"):
        ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}", {}).render(MESSAGES)
    with pytest.raises(UserError, match="does not take this conversation"):
        ChatTemplate("{{ messages.append(1) }}", {}).render(MESSAGES)
    with pytest.raises(CheckpointError, match="not valid Jinja"):
        ChatTemplate("{% for %}", {})
    with pytest.raises(UserError, match=r"Received: messages\[0\]='Hi'"):
        ChatTemplate("", {}).render(["Hi"])
    with pytest.raises(UserError, match="JSON"):
        ChatTemplate("", {}).render([{"role": "user", "content": object()}])


def test_where_the_template_is_found():
    config = {"chat_template": "{{ bos_token }}one", "bos_token": {"content": "<s>"}}
    assert chat_template(_Tokenizer(tokenizer_config__json=json.dumps(config))).render([]) == "<s>one"
    named = {"chat_template": [{"name": "default", "template": "two"}, {"name": "tool_use", "template": "three"}]}
    tokenizer = _Tokenizer(tokenizer_config__json=json.dumps(named))
    assert chat_template(tokenizer).render([]) == "two" and chat_template(tokenizer, "tool_use").render([]) == "three"
    file_wins = _Tokenizer(tokenizer_config__json=json.dumps(config), chat_template__jinja="four")
    assert chat_template(file_wins).render([]) == "four"
    with pytest.raises(UserError, match="no chat template"):
        chat_template(_Tokenizer())
    assert chat_prompt(file_wins, MESSAGES) == list(b"four")


@pytest.mark.parity
def test_transformers_renders_the_same():
    from transformers.utils.chat_template_utils import render_jinja_template

    for source in (CHATML, "{{ messages | tojson(indent=2) }}\n  {% if tools %}\n x {% endif %}\n y"):
        for prompt in (False, True):
            theirs, _ = render_jinja_template([MESSAGES], chat_template=source, add_generation_prompt=prompt)
            assert ChatTemplate(source, {}).render(MESSAGES, add_generation_prompt=prompt) == theirs[0]
