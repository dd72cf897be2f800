"""`TransformerConfig`: derived values, and values that are refused."""

from __future__ import annotations

import pytest

from tfllm.config import TransformerConfig
from tfllm.errors import UserError

GOOD = dict(vocab_size=9, hidden_size=16, num_layers=2, num_heads=4, intermediate_size=32)


def test_round_trip_and_derived():
    config = TransformerConfig(**GOOD)
    assert (config.head_dim, config.num_kv_heads) == (4, 4)
    assert TransformerConfig(**config.to_dict()) == config
    assert hash(config) == hash(TransformerConfig(**GOOD))


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 0},
        {"num_layers": 1.5},
        {"num_heads": 3},
        {"num_kv_heads": 3},
        {"norm": "batch"},
        {"dropout": 1.0},
        {"position": "rope"},
        {"activation": "swish"},
        {"position": "rotary", "head_dim": 3},
        {"pooled": "middle"},
    ],
)
def test_refuses(change):
    with pytest.raises(UserError, match=next(iter(change))):
        TransformerConfig(**{**GOOD, **change})


def test_flops_of_bert_base():
    base = TransformerConfig(vocab_size=30522, hidden_size=768, num_layers=12, num_heads=12, intermediate_size=3072)
    # 12 blocks x (4 D² + 8 D² multiply-adds), and 2 T D for the scores and the sum.
    assert base.flops_per_token(128) == 2 * 12 * (12 * 768**2 + 2 * 128 * 768)
