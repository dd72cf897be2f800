"""Random PEFT adapters on tiny random transformers models (extra `parity`)."""

from __future__ import annotations

import dataclasses
from typing import Any

from hf_families import Sizes


@dataclasses.dataclass(frozen=True)
class Case:
    """An adapter on a family's head.

    Args:
        theirs: arguments of `LoraConfig`.
        ours: the targets of `tfllm.training.lora`.
    """

    family: str
    head: str
    theirs: dict[str, Any]
    ours: str = r"attention/(query|value)$"
    variant: str = ""
    sizes: Sizes = dataclasses.field(default_factory=Sizes)

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.family, self.head, self.variant)))


_EVERY = r"attention/|feed_forward/"
CASES = (
    Case("bert", "classifier", {"target_modules": ["query", "value"], "task_type": "SEQ_CLS"}),
    Case("roberta", "classifier", {"target_modules": ["query", "value"], "task_type": "SEQ_CLS"}),
    Case(
        "bert",
        "masked_lm",
        {
            "target_modules": ["query", "value", "intermediate.dense"],
            "rank_pattern": {"query": 2},
            "alpha_pattern": {"query": 3},
            "use_rslora": True,
        },
        ours=_EVERY,
        variant="patterns",
    ),
    Case("deberta-v2", "token_classifier", {"target_modules": ["query_proj", "value_proj"], "task_type": "TOKEN_CLS"}),
    Case("distilbert", "span_predictor", {"target_modules": ["q_lin", "v_lin"], "task_type": "QUESTION_ANS"}),
    Case("llama", "causal_lm", {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}),
    Case("llama", "classifier", {"target_modules": "all-linear", "task_type": "SEQ_CLS"}, ours=_EVERY),
    Case("t5", "seq2seq_lm", {"target_modules": ["q", "v"], "task_type": "SEQ_2_SEQ_LM"}),
    Case("t5", "classifier", {"target_modules": ["q", "v"], "modules_to_save": ["classification_head"]}),
    Case("bart", "seq2seq_lm", {"target_modules": ["q_proj", "v_proj"], "task_type": "SEQ_2_SEQ_LM"}),
    Case("gpt2", "causal_lm", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    Case("gpt2", "classifier", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "task_type": "SEQ_CLS"}, _EVERY),
    Case("phi3", "causal_lm", {"target_modules": ["qkv_proj", "gate_up_proj"], "task_type": "CAUSAL_LM"}, _EVERY),
    Case("phi3", "causal_lm", {"target_modules": ["qkv_proj"], "task_type": "CAUSAL_LM"}, variant="attention"),
    Case("gpt_neox", "causal_lm", {"target_modules": ["query_key_value"], "task_type": "CAUSAL_LM"}),
    Case("bloom", "causal_lm", {"target_modules": ["query_key_value", "dense"], "task_type": "CAUSAL_LM"}),
    Case("modernbert", "classifier", {"target_modules": ["Wqkv"], "task_type": "SEQ_CLS", "modules_to_save": ["head"]}),
)


def random_adapter(base, case: Case, seed: int):
    """`base` inside a PeftModel in eval mode, with random updates and random modules beside them."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(base, LoraConfig(**{"r": 4, "lora_alpha": 6, "lora_dropout": 0.1, **case.theirs}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                parameter.normal_(0, 0.3, generator=generator)
    return model.eval()
