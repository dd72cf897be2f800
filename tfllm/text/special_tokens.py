"""What tokenizer_config.json, special_tokens_map.json and added_tokens.json declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tfllm.errors import CheckpointError
from tfllm.text.files import ADDED_TOKENS, CONFIG, SPECIAL_TOKENS_MAP, decode_json

ROLES = ("cls", "sep", "bos", "eos", "mask", "unk", "pad")
# The order in which `transformers` gives new ids to special tokens that the vocabulary does not have.
_APPEND_ORDER = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
# Classes that name no family: they only say "read tokenizer.json".
_GENERIC_CLASSES = {"PreTrainedTokenizer", "TokenizersBackend"}


@dataclass(frozen=True)
class Token:
    """A token that is looked for in the raw text, before anything else happens to it.

    Args:
        content: the text that is matched.
        lstrip, rstrip: whether the white space before and after it belongs to it.
        single_word: whether it is only matched as a whole word.
        normalized: whether it is looked for in the normalized text instead.
        special: whether decoding may leave it out.
    """

    content: str
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = True

    @classmethod
    def parse(cls, value: Any, where: str, special: bool = True) -> Token:
        """A token from a string, or from the dictionary that `transformers` writes for an AddedToken."""
        if isinstance(value, str):
            return cls(value, special=special, normalized=not special)
        if isinstance(value, dict) and isinstance(value.get("content"), str):
            flags = {name: value[name] for name in ("lstrip", "rstrip", "single_word", "normalized") if name in value}
            if all(isinstance(flag, bool) for flag in flags.values()):
                special = special or value.get("special") is True
                return cls(value["content"], special=special, **({"normalized": not special} | flags))
        raise CheckpointError(f'{where}: expected a string or {{"content": string, ...}}. Received: {value!r}')


@dataclass(frozen=True)
class TokenizerConfig:
    """The declarations beside a vocabulary.

    Attributes:
        family: tokenizer_class without "Fast"; `None` if none is declared or it names no family.
        roles: the token of each special role ("cls", "sep", ...) that is declared.
        added: tokens of the declared ids, in the order of the ids, then those without an id.
    """

    family: str | None = None
    roles: dict[str, Token] = field(default_factory=dict)
    added: list[tuple[int | None, Token]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def option(self, name: str, default: Any, kind: type | tuple[type, ...] = bool) -> Any:
        """The value of an option, or its default if it is absent or null."""
        value = self.options.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise CheckpointError(f"{CONFIG}: expected {name} to be a {kind.__name__}. Received: {value!r}")
        return value

    @property
    def truncation_side(self) -> str:
        side = self.option("truncation_side", "right", str)
        if side not in ("left", "right"):
            raise CheckpointError(f'{CONFIG}: expected truncation_side to be "left" or "right". Received: {side!r}')
        return side

    def with_defaults(self, defaults: Mapping[str, Token | str], has: Callable[[str], bool]) -> TokenizerConfig:
        """The same with a family's usual special tokens where none is declared and the vocabulary has the usual one."""
        roles = {role: t if isinstance(t, Token) else Token(t) for role, t in defaults.items()}
        return replace(self, roles={r: t for r, t in roles.items() if has(t.content)} | self.roles)

    def tokens_to_add(self) -> list[tuple[int | None, Token]]:
        """Every added and special token once: those with declared ids first, in their order."""
        tokens = {token.content: (token_id, token) for token_id, token in self.added}
        for role in _APPEND_ORDER:
            if role in self.roles:
                token = self.roles[role]
                tokens.setdefault(token.content, (None, token))
        return list(tokens.values())

    def refuse_unless(self, families: Mapping[str, Any] | set[str], source: str) -> None:
        """Refuses a declared class that reads its files in a way of its own.

        Raises:
            CheckpointError: naming the class.
        """
        if self.family is not None and self.family not in families:
            raise CheckpointError(
                f"{CONFIG}: tokenizer_class {self.family!r} is not one that can be read from {source}. Expected one "
                f"of: {', '.join(sorted(families))}; or a tokenizer.json beside it (`transformers` writes one with "
                "save_pretrained)."
            )


def read_config(files: Mapping[str, bytes]) -> TokenizerConfig:
    """Reads the declarations among a tokenizer's files. Code that they name (`auto_map`) is never fetched or run."""
    options, token_map = decode_json(files, CONFIG), decode_json(files, SPECIAL_TOKENS_MAP)
    # As in transformers: the config is complete if it lists the added tokens; else the map goes before it.
    declared = {**token_map, **options} if "added_tokens_decoder" in options else {**options, **token_map}
    roles = {}
    for role in ROLES:
        value = declared.get(f"{role}_token")
        if value is not None:
            roles[role] = Token.parse(value, f"{role}_token in {CONFIG} or {SPECIAL_TOKENS_MAP}")
    added: list[tuple[int | None, Token]] = []
    by_id = options.get("added_tokens_decoder", {})
    if not isinstance(by_id, dict) or not all(str(key).isdecimal() for key in by_id):
        raise CheckpointError(f"{CONFIG}: expected added_tokens_decoder to map ids to tokens. Received: {by_id!r}")
    for key in sorted(by_id, key=int):
        added.append((int(key), Token.parse(by_id[key], f"added_tokens_decoder in {CONFIG}", special=False)))
    by_token = decode_json(files, ADDED_TOKENS)
    if not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in by_token.values()):
        raise CheckpointError(f"{ADDED_TOKENS}: expected ids, whole numbers from 0. Received: {by_token!r}")
    specials = {token.content: token for token in roles.values()}
    known = {token.content for _, token in added}
    for token, token_id in sorted(by_token.items(), key=lambda item: item[1]):
        if token not in known:
            added.append((token_id, specials.get(token, Token(token, normalized=True, special=False))))
    for name in ("additional_special_tokens", "extra_special_tokens"):
        extra = declared.get(name) or []
        if not isinstance(extra, (list, dict)):
            raise CheckpointError(
                f"{name} in {CONFIG} or {SPECIAL_TOKENS_MAP}: expected a list of tokens. Received: {extra!r}"
            )
        for value in extra.values() if isinstance(extra, dict) else extra:
            token = Token.parse(value, f"{name} in {CONFIG} or {SPECIAL_TOKENS_MAP}")
            if token.content not in {t.content for _, t in added}:
                added.append((None, token))
    family = options.get("tokenizer_class")
    if family is not None and not isinstance(family, str):
        raise CheckpointError(f"{CONFIG}: expected tokenizer_class to be a string. Received: {family!r}")
    family = family.removesuffix("Fast") if family else None
    return TokenizerConfig(None if family in _GENERIC_CLASSES else family, roles, added, options)
