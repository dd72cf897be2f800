"""Tiny random transformers models, their inputs, and what they compute (extra `parity`: PyTorch and transformers)."""

from __future__ import annotations

from typing import Any

import numpy as np
from hf_families import FAMILIES, Sizes

NUM_LABELS = {"classifier": 3, "regression": 1, "token_classifier": 5}
CHOICES = 3
_FIRST_ORDINARY_ID = 5


def make_config(family: str, head: str, sizes: Sizes = Sizes(), overrides: Any = None):
    """A transformers config of toy size; `overrides` in the family's own names, or a function of the sizes to them."""
    import transformers

    spec = FAMILIES[family]
    arguments = {"vocab_size": sizes.vocab, "pad_token_id": spec.pad_id % sizes.vocab, **spec.config(sizes)}
    if head in NUM_LABELS:
        arguments["num_labels"] = NUM_LABELS[head]
    overrides = overrides(sizes) if callable(overrides) else overrides or {}
    return getattr(transformers, spec.class_name("config"))(**{**arguments, **overrides})


def make_model(family: str, head: str, sizes: Sizes = Sizes(), seed: int = 0, overrides: Any = None):
    """A transformers model in eval mode whose every parameter and stored buffer is drawn from `seed`."""
    import torch
    import transformers

    config = make_config(family, head, sizes, overrides)
    model = in_plain_arithmetic(getattr(transformers, FAMILIES[family].class_name(head))(config))
    generator = torch.Generator().manual_seed(seed)
    stored, drawn = set(model.state_dict()), set()
    with torch.no_grad():
        for path, module in model.named_modules():
            kind = type(module).__name__
            tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for name, tensor in tensors:
                is_fixed = isinstance(tensor, torch.nn.Parameter) and not tensor.requires_grad  # sines and cosines
                if f"{path}.{name}".lstrip(".") not in stored or is_fixed or id(tensor) in drawn:
                    continue
                drawn.add(id(tensor))  # a tied tensor comes again
                if name.endswith("bias"):
                    mean, deviation = 0.0, 0.5
                elif "norm" in kind.lower() and not kind.startswith("Gemma"):  # Gemma's scales are offsets from 1
                    mean, deviation = 1.0, 0.2
                else:
                    mean, deviation = 0.0, 0.2
                tensor.normal_(mean, deviation, generator=generator)
    return model


def in_plain_arithmetic(model):
    """The model in eval mode, without fused kernels (those for experts want sizes that toys do not have)."""
    model.set_attn_implementation("eager")
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    return model.eval()


def make_inputs(config, head: str, sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, np.ndarray]:
    """Random ids, the last row padded on the right; int32, in the names of transformers."""
    generator = np.random.default_rng(seed)

    def ids_and_mask(lengths: list[int], width: int) -> tuple[np.ndarray, np.ndarray]:
        ids = generator.integers(_FIRST_ORDINARY_ID, config.vocab_size - 1, (len(lengths), width), dtype=np.int32)
        mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int32)
        ids[mask == 0] = config.pad_token_id
        return ids, mask

    rows = sizes.batch * (CHOICES if head == "multiple_choice" else 1)
    lengths = [*[sizes.length] * (rows - 1), sizes.real_tokens]
    if head == "multiple_choice":
        lengths[-2] = min(sizes.real_tokens + 2, sizes.length)
    input_ids, attention_mask = ids_and_mask(lengths, sizes.length)
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    if getattr(config, "type_vocab_size", 0) > 1:
        second_segment = np.arange(sizes.length) >= sizes.real_tokens // 2
        inputs["token_type_ids"] = second_segment.astype(np.int32) * attention_mask
    if config.is_encoder_decoder:
        # Labelled heads of BART and T5 read the place of the end token.
        input_ids[np.arange(rows), np.array(lengths) - 1] = config.eos_token_id
        if head in ("backbone", "seq2seq_lm"):
            lengths = [*[sizes.target_length] * (rows - 1), sizes.real_target_tokens]
            target_ids, target_mask = ids_and_mask(lengths, sizes.target_length)
            if config.decoder_start_token_id is not None:
                target_ids[:, 0] = config.decoder_start_token_id
            inputs |= {"decoder_input_ids": target_ids, "decoder_attention_mask": target_mask}
    if head == "multiple_choice":
        inputs = {name: value.reshape(sizes.batch, CHOICES, -1) for name, value in inputs.items()}
    return inputs


def compute_outputs(model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a float32 model gives: the fields of transformers' output that are single tensors."""
    import torch

    with torch.no_grad():
        outputs = model(**{name: torch.from_numpy(value).long() for name, value in inputs.items()})
    return {
        name: value.float().numpy()
        for name, value in outputs.items()
        if isinstance(value, torch.Tensor) and not name.startswith("encoder_")
    }
