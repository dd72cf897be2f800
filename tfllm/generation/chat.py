"""Chat templates: a conversation to the text that a chat model was trained on, as transformers renders it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tfllm.errors import CheckpointError, UserError
from tfllm.text import Tokenizer
from tfllm.text.files import CONFIG, SPECIAL_TOKENS_MAP, decode_json, decode_text

_JINJA = "chat_template.jinja"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ChatTemplate:
    """A tokenizer's chat template. It runs in a sandbox: a template is code that somebody else wrote.

    Args:
        source: Jinja source.
        special_tokens: names that it may use, such as `bos_token`, and their texts.

    Raises:
        CheckpointError: the source is no Jinja template.

    Example:
        >>> template = ChatTemplate("{% for m in messages %}[{{ m.role }}] {{ m.content }}\\n{% endfor %}", {})
        >>> template.render([{"role": "user", "content": "Hello"}])
        '[user] Hello\\n'
    """

    def __init__(self, source: str, special_tokens: dict[str, str]):
        self.source, self.special_tokens = source, dict(special_tokens)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda format: datetime.datetime.now().strftime(format)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise CheckpointError(f"the chat template is not valid Jinja: {error}.") from None

    def render(
        self, messages: Sequence[dict], *, add_generation_prompt: bool = False, tools: list[dict] | None = None, **names
    ) -> str:
        """The text of a conversation.

        Args:
            messages: dictionaries with `role` and `content`.
            add_generation_prompt: end with what begins the assistant's next message.
            tools: JSON schemas of functions that the model may call.
            **names: what else the template reads.

        Raises:
            UserError: a message is malformed, or the template refuses the conversation.
        """
        for i, message in enumerate(messages):
            if not isinstance(message, dict) or "role" not in message:
                raise UserError(
                    f"A message is a dictionary with 'role' and 'content'. Received: messages[{i}]={message!r}."
                )
        try:
            # Nothing but plain data goes into the sandbox: what has methods could be misused there.
            plain = json.loads(json.dumps({"messages": list(messages), "tools": tools, **names}))
        except (TypeError, ValueError) as error:
            raise UserError(f"messages and tools must be values that JSON can write. Received: {error}.") from None
        try:
            return self._template.render(
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **{**self.special_tokens, **plain},
            )
        except (jinja2.TemplateError, TypeError) as error:
            raise UserError(
                f"the chat template does not take this conversation: {error}. Received roles: "
                f"{[message['role'] for message in messages]}."
            ) from None


def chat_template(tokenizer: Tokenizer | None, name: str = "default") -> ChatTemplate:
    """The chat template of a tokenizer's files (`chat_template.jinja`, or in `tokenizer_config.json`).

    Args:
        tokenizer: of a chat model.
        name: which, where there are several.

    Raises:
        UserError: there is none.
    """
    files = {} if tokenizer is None else tokenizer.files
    config = decode_json(files, CONFIG)
    source = decode_text(files[_JINJA], _JINJA) if _JINJA in files else config.get("chat_template")
    if isinstance(source, list):  # several, by name
        source = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}.get(name)
    if not isinstance(source, str):
        raise UserError(
            f"the checkpoint has no chat template {name!r} (in {_JINJA} or {CONFIG}): it is not a chat model. "
            "Use generate() with a prompt in the form that it was trained on."
        )
    declared = {**decode_json(files, SPECIAL_TOKENS_MAP), **config}
    special = {key: _text(declared[key]) for key in _SPECIAL if declared.get(key) is not None}
    return ChatTemplate(source, special)


def chat_prompt(tokenizer: Tokenizer | None, messages: Sequence[dict], **names) -> list[int]:
    """The token ids that make a chat model answer a conversation.

    Args:
        tokenizer: of the model.
        messages: see `ChatTemplate.render`.
        **names: see `ChatTemplate.render`.
    """
    text = chat_template(tokenizer).render(messages, add_generation_prompt=True, **names)
    return tokenizer.encode(text, add_special_tokens=False)  # the template has written them


def _text(token) -> str:
    return token["content"] if isinstance(token, dict) else str(token)


def _raise_exception(message):
    raise jinja2.TemplateError(message)


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    # Jinja's own escapes HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _GenerationBlock(Extension):
    """`{% generation %}` … `{% endgeneration %}` marks the assistant's words, for training. Here it is its content."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_content"), [], [], body).set_lineno(line)

    def _content(self, caller):
        return caller()
