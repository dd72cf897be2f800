"""What older versions of transformers would have written: rewrites of a toy's `(config, tensors)`.

Checkpoints on the hub look like these: rotary positions at the config's top level, tied tensors written out, buffers stored,
prefixes left out, TensorFlow's names for norms. `make_hf_toys.py` checks that transformers reads each of them as the original.
"""

from __future__ import annotations


def _older(config: dict) -> dict:
    config = {**config, "torch_dtype": config["dtype"], "transformers_version": "4.30.0"}
    del config["dtype"]
    return config


def _position_ids(config: dict):
    import torch

    return torch.arange(config["max_position_embeddings"])[None]


def bert(config: dict, tensors: dict) -> tuple[dict, dict]:
    """bert-base-uncased: TensorFlow's names for norms, the position buffer and the tied decoder stored."""

    def rename(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    tensors = {rename(name): value for name, value in tensors.items()}
    tensors["bert.embeddings.position_ids"] = _position_ids(config)
    return _older(config), tensors


def roberta(config: dict, tensors: dict) -> tuple[dict, dict]:
    tensors["roberta.embeddings.position_ids"] = _position_ids(config)
    tensors["lm_head.decoder.weight"] = tensors["roberta.embeddings.word_embeddings.weight"].clone()
    tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"].clone()
    return _older(config), tensors


def distilbert(config: dict, tensors: dict) -> tuple[dict, dict]:
    tensors["vocab_projector.weight"] = tensors["distilbert.embeddings.word_embeddings.weight"].clone()
    return _older(config), tensors


def albert(config: dict, tensors: dict) -> tuple[dict, dict]:
    tensors["albert.embeddings.position_ids"] = _position_ids(config)
    tensors["predictions.decoder.weight"] = tensors["albert.embeddings.word_embeddings.weight"].clone()
    tensors["predictions.decoder.bias"] = tensors["predictions.bias"].clone()
    return _older(config), tensors


def electra(config: dict, tensors: dict) -> tuple[dict, dict]:
    tensors["electra.embeddings.position_ids"] = _position_ids(config)
    tensors["generator_lm_head.weight"] = tensors["electra.embeddings.word_embeddings.weight"].clone()
    return _older(config), tensors


def mpnet(config: dict, tensors: dict) -> tuple[dict, dict]:
    tensors["mpnet.embeddings.position_ids"] = _position_ids(config)
    tensors["lm_head.decoder.weight"] = tensors["mpnet.embeddings.word_embeddings.weight"].clone()
    tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"].clone()
    return _older(config), tensors


def modernbert(config: dict, tensors: dict) -> tuple[dict, dict]:
    config = _older(config)
    del config["layer_types"]
    rope = config.pop("rope_parameters")
    config["global_rope_theta"] = rope["full_attention"]["rope_theta"]
    config["local_rope_theta"] = rope["sliding_attention"]["rope_theta"]
    return config, tensors


def gpt2(config: dict, tensors: dict) -> tuple[dict, dict]:
    """gpt2: no `transformer.` prefix, and the causal masks stored."""
    import torch

    tensors = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    length = config["n_positions"]
    for layer in range(config["n_layer"]):
        tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(1, 1, length, length))
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return _older(config), tensors


def bloom(config: dict, tensors: dict) -> tuple[dict, dict]:
    """bloom-560m: no `transformer.` prefix, and other names for the sizes."""
    config = _older(config)
    config["n_embed"], config["num_attention_heads"] = config.pop("hidden_size"), config.pop("n_head")
    return config, {name.removeprefix("transformer."): value for name, value in tensors.items()}


def gpt_neox(config: dict, tensors: dict) -> tuple[dict, dict]:
    """pythia: `rotary_pct` and `rotary_emb_base`, and the causal masks stored."""
    import torch

    config = _older(config)
    rope = config.pop("rope_parameters")
    config["rotary_pct"], config["rotary_emb_base"] = rope["partial_rotary_factor"], int(rope["rope_theta"])
    length = config["max_position_embeddings"]
    for layer in range(config["num_hidden_layers"]):
        tensors[f"gpt_neox.layers.{layer}.attention.bias"] = torch.tril(torch.ones(1, 1, length, length)).bool()
        tensors[f"gpt_neox.layers.{layer}.attention.masked_bias"] = torch.tensor(-1e9)
    return config, tensors


def rope(config: dict, tensors: dict) -> tuple[dict, dict]:
    """Transformers 4: `rope_theta` and `rope_scaling` at the top level, and nothing that follows from the rest."""
    config = _older(config)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if (rope_type := rope.pop("rope_type")) != "default":
        rope.pop("partial_rotary_factor", None)
        config["rope_scaling"] = {"type": rope_type, **rope}
    config.pop("layer_types", None)
    if config.get("head_dim") == config["hidden_size"] // config["num_attention_heads"]:
        del config["head_dim"]
    return config, tensors


def llama(config: dict, tensors: dict) -> tuple[dict, dict]:
    """As `rope`, with the `inv_freq` buffers of the first Llama checkpoints."""
    import torch

    config, tensors = rope(config, tensors)
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    inv_freq = config["rope_theta"] ** -(torch.arange(0, head_dim, 2).float() / head_dim)
    for layer in range(config["num_hidden_layers"]):
        tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = inv_freq.clone()
    return config, tensors


def gemma(config: dict, tensors: dict) -> tuple[dict, dict]:
    """gemma-2b calls its activation gelu and means the approximation."""
    config, tensors = rope(config, tensors)
    return {**config, "hidden_act": "gelu"}, tensors


def gemma3(config: dict, tensors: dict) -> tuple[dict, dict]:
    config = _older(config)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["full_attention"].pop("rope_theta")
    config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    config["rope_scaling"] = rope["full_attention"] if len(rope["full_attention"]) > 1 else None
    # The toy's two layers: a local one, then a global one.
    del config["layer_types"], config["_sliding_window_pattern"]
    config["sliding_window_pattern"] = 2
    return config, tensors


def t5(config: dict, tensors: dict) -> tuple[dict, dict]:
    """t5-small: the one table four times, and a bias by distance that nothing reads."""
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors["shared.weight"].clone()
    bias = tensors["decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = bias + 1
    return _older(config), tensors


def bart(config: dict, tensors: dict) -> tuple[dict, dict]:
    """bart-base, opus-mt, m2m100: the one table four times, and the tables of fixed positions, too."""
    for name in ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors["model.shared.weight"].clone()
    return _older(config), tensors
