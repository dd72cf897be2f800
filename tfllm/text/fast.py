"""Tokenizers that run in the `tokenizers` library: that of tokenizer.json, and those built from a vocabulary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import tokenizers

from tfllm.errors import CheckpointError
from tfllm.text.files import TOKENIZER_JSON, decode_text
from tfllm.text.special_tokens import ROLES, Token, TokenizerConfig, read_config
from tfllm.text.template import Layout, Template
from tfllm.text.tokenizer import Tokenizer, flatten

# Families whose models have no token types although their tokenizer.json gives them.
_WITHOUT_TYPES = {"DistilBertTokenizer"}
# The usual special tokens, for a tokenizer.json without any declaration beside it.
_USUAL = {
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
    "mask": ("[MASK]", "<mask>"),
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "bos": ("<s>", "<|endoftext|>", "<|begin_of_text|>"),
    "eos": ("</s>", "<|endoftext|>", "<|end_of_text|>"),
}


class FastTokenizer(Tokenizer):
    """A tokenizer that runs in the `tokenizers` library.

    Args:
        backend: the library's tokenizer. Its own truncation and padding are turned off.
        config: the declared options and special tokens.
        files: what `save` writes.
        template: where special tokens stand; as the backend's post-processor sets them if not given.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        config: TokenizerConfig,
        files: Mapping[str, bytes],
        template: Template | None = None,
    ):
        backend.no_truncation()
        backend.no_padding()
        if getattr(backend.model, "dropout", None):
            backend.model.dropout = None  # a regularizer of training; the ids of a text must not depend on chance
        self.backend = backend
        template = template or _template_of(backend)
        special_ids = {role: backend.token_to_id(token.content) for role, token in config.roles.items()}
        super().__init__(
            template=template,
            special_ids=special_ids,
            has_type_ids=_has_type_ids(template, special_ids, config),
            vocab_size=max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1,
            added_tokens={_token(token): i for i, token in backend.get_added_tokens_decoder().items()},
            files=files,
            truncation_side=config.truncation_side,
        )

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        return self.backend.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens)

    def id_to_token(self, token_id: int) -> str | None:
        return self.backend.id_to_token(int(token_id)) if token_id >= 0 else None

    def token_to_id(self, token: str) -> int | None:
        return self.backend.token_to_id(token)

    def _encode_texts(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        try:
            encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        except Exception as error:  # the library raises a plain one, where a vocabulary lacks its unknown token
            raise CheckpointError(f"the tokenizer cannot encode this text: {error}.") from None
        return flatten([encoding.ids for encoding in encodings])

    def encode_with_offsets(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        encodings = self.backend.encode_batch(list(texts), add_special_tokens=False)
        offsets = [np.array(encoding.offsets, np.int32).reshape(-1, 2) for encoding in encodings]
        ids, lengths = flatten([encoding.ids for encoding in encodings])
        return ids, lengths, np.concatenate([np.zeros((0, 2), np.int32), *offsets])

    def _identity(self) -> bytes:
        return self.backend.to_str().encode()


def read_tokenizer_json(files: Mapping[str, bytes]) -> FastTokenizer:
    """The tokenizer of tokenizer.json. Declarations beside it only say which of its tokens has which role."""
    text, config = decode_text(files[TOKENIZER_JSON], TOKENIZER_JSON), read_config(files)
    try:
        backend = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises a plain Exception
        raise CheckpointError(
            f"{TOKENIZER_JSON}: the file is damaged, cut short or of another kind ({error})."
        ) from None
    return FastTokenizer(backend, config.with_defaults(_usual_roles(json.loads(text)), lambda token: True), files)


def add_tokens(backend: tokenizers.Tokenizer, config: TokenizerConfig) -> None:
    """Makes the declared tokens known to a tokenizer that was built from a vocabulary.

    Raises:
        CheckpointError: a token's declared id is not the one that it has or would get.
    """
    for token_id, token in config.tokens_to_add():
        entry = tokenizers.AddedToken(
            token.content,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            single_word=token.single_word,
            normalized=token.normalized,
            special=token.special,
        )
        (backend.add_special_tokens if token.special else backend.add_tokens)([entry])
        found = backend.token_to_id(token.content)
        if token_id is not None and token_id != found:
            raise CheckpointError(
                f"the added token {token.content!r} is declared with id {token_id}, but the vocabulary gives it "
                f"{found}: the files are not of one tokenizer."
            )


def _token(token: tokenizers.AddedToken) -> Token:
    return Token(**{name: getattr(token, name) for name in Token.__dataclass_fields__})


def _template_of(backend: tokenizers.Tokenizer) -> Template:
    """Reads off where the post-processor sets special tokens, by letting it treat two short texts."""
    probe = next(
        (e for e in (backend.encode(t, add_special_tokens=False) for t in _probe_texts(backend)) if len(e.ids)), None
    )
    if probe is None:
        raise CheckpointError(f"{TOKENIZER_JSON}: expected a vocabulary. Received: one with which no text has a token.")

    def layout(texts: int) -> Layout:
        whole = backend.post_process(probe, probe if texts == 2 else None, True)
        runs: list[list[tuple[int, int]]] = [[]]  # specials before, between and after the texts
        text_types, position = [], 0
        while position < len(whole.ids):
            end = position + len(probe.ids)
            is_text = whole.ids[position:end] == probe.ids and not any(whole.special_tokens_mask[position:end])
            if is_text and len(text_types) < texts:
                text_types.append(whole.type_ids[position])
                runs.append([])
                position = end
            else:
                runs[-1].append((whole.ids[position], whole.type_ids[position]))
                position += 1
        if len(text_types) != texts:
            raise CheckpointError(
                f"{TOKENIZER_JSON}: expected a post-processor that keeps the texts whole and in order."
            )
        return Layout(
            tuple(tuple(token for token, _ in run) for run in runs),
            tuple(tuple(kind for _, kind in run) for run in runs),
            tuple(text_types),
        )

    return Template(layout(1), layout(2))


def _probe_texts(backend: tokenizers.Tokenizer):
    yield "a"
    yield from backend.get_vocab(with_added_tokens=False)


def _has_type_ids(template: Template, special_ids: Mapping[str, int | None], config: TokenizerConfig) -> bool:
    """Whether inputs have token types.

    Templates of decoders give the second text type 1 as well, although no decoder has types. So those with [CLS] and
    [SEP] count only, unless the declarations say which inputs the model takes.
    """
    inputs = config.option("model_input_names", None, list)
    if inputs is not None:
        return "token_type_ids" in inputs
    if config.family in _WITHOUT_TYPES:
        return False
    typed = any(template.pair.text_types)
    return typed and {special_ids.get("cls"), special_ids.get("sep")} <= set(sum(template.pair.specials, ()))


def _usual_roles(tokenizer_json: dict) -> dict[str, Token]:
    special = {t["content"] for t in (tokenizer_json.get("added_tokens") or []) if t.get("special")}
    roles = {role: token for role in ROLES for token in reversed(_USUAL[role]) if token in special}
    unknown = tokenizer_json["model"].get("unk_token")
    if isinstance(unknown, str):
        roles["unk"] = unknown
    processor = tokenizer_json.get("post_processor") or {}
    if processor.get("type") in ("BertProcessing", "RobertaProcessing"):
        roles |= {role: processor[role][0] for role in ("cls", "sep")}
    return {role: Token(content) for role, content in roles.items()}
