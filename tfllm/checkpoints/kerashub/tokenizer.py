"""A KerasHub tokenizer as a tfllm `Tokenizer`."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfllm.errors import UserError
from tfllm.text.template import Layout, Template
from tfllm.text.tokenizer import Tokenizer, flatten

# Our roles and the attributes that KerasHub's tokenizers have for them.
_ROLES = {"cls": "cls", "sep": "sep", "bos": "start", "eos": "end", "mask": "mask", "unk": "unk", "pad": "pad"}
# What a serialized tokenizer says beside what determines its ids.
_NOT_IDS = ("name", "trainable", "config_file")


class KerasHubTokenizer(Tokenizer):
    """The ids that a KerasHub preprocessor gives, special tokens where its packer sets them.

    Texts that are too long are cut as every tfllm tokenizer cuts them. Of a pair that is KerasHub's `"round_robin"`, but for an odd
    token: KerasHub leaves it to the first text, tfllm to the longer one.

    Args:
        preprocessor: a `keras_hub.models.TextClassifierPreprocessor`, which has the tokenizer and says where special tokens stand.
        has_type_ids: whether the backbone takes segment ids.

    Raises:
        UserError: the tokenizer has no start, end or padding token, or gives rows of a fixed length.

    Example:
        >>> tokenizer = keras_hub.models.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film"])
        >>> preprocessor = keras_hub.models.BertTextClassifierPreprocessor(tokenizer)
        >>> KerasHubTokenizer(preprocessor, has_type_ids=True).encode("a film", "film")
        [2, 5, 6, 3, 6, 3]
    """

    def __init__(self, preprocessor, *, has_type_ids: bool):
        self.hub = hub = preprocessor.tokenizer
        missing = [f"{name}_token_id" for name in ("start", "end", "pad") if not hasattr(hub, f"{name}_token_id")]
        if missing or getattr(hub, "sequence_length", None) is not None:
            raise UserError(
                "A KerasHub tokenizer must have a start, an end and a padding token, and no sequence_length of its own, as "
                f"keras_hub.models' tokenizers do. Received: a {type(hub).__name__} with "
                f"{f'no {missing[0]}' if missing else f'sequence_length={hub.sequence_length}'}."
            )
        if not preprocessor.built:
            preprocessor.build(None)  # makes the packer
        super().__init__(
            template=_template(preprocessor.packer),
            special_ids={ours: getattr(hub, f"{theirs}_token_id", None) for ours, theirs in _ROLES.items()},
            has_type_ids=has_type_ids,
            vocab_size=hub.vocabulary_size(),
            added_tokens={},
            files={},
        )

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        hidden = set(self.hub.special_token_ids) if skip_special_tokens else ()
        return str(self.hub.detokenize([int(i) for i in ids if i not in hidden]))

    def id_to_token(self, token_id: int) -> str | None:
        return self.hub.id_to_token(int(token_id)) if 0 <= token_id < self.vocab_size else None

    def token_to_id(self, token: str) -> int | None:
        return self._ids.get(token)

    def save(self, directory: str | os.PathLike, overwrite: bool = False) -> None:
        """Writes the tokenizer's part of a KerasHub preset."""
        if not overwrite and os.path.exists(os.path.join(directory, self.hub.config_file)):
            raise UserError(
                f"{os.fspath(directory)!r} already has a tokenizer. Save to a new directory, or give overwrite=True."
            )
        self.hub.save_to_preset(os.fspath(directory))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.hub.get_vocabulary())}

    def _encode_texts(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        return flatten(self.hub.tokenize(texts))

    def _identity(self) -> bytes:
        """The class, its options, and its vocabulary files, whatever they are."""
        options = {key: value for key, value in self.hub.get_config().items() if key not in _NOT_IDS}
        identity = [type(self.hub).__name__.encode(), json.dumps(options, sort_keys=True, default=str).encode()]
        with tempfile.TemporaryDirectory() as directory:
            self.hub.save_assets(directory)
            for path in sorted(Path(directory).iterdir()):
                identity += [path.name.encode(), path.read_bytes()]
        return b"\0".join(identity)


def _template(packer) -> Template:
    """Where a `MultiSegmentPacker` sets special tokens: each has the type of the text before it."""
    start, middle, end = (tuple(value or ()) for value in (packer.start_value, packer.sep_value, packer.end_value))
    zeros = tuple((0,) * len(group) for group in (start, middle, end))
    return Template(
        Layout((start, end), (zeros[0], zeros[2]), (0,)),
        Layout((start, middle, end), (zeros[0], zeros[1], (1,) * len(end)), (0, 1)),
    )
