"""The metadata of a GGUF file as Hugging Face's `config.json` says it."""

from __future__ import annotations

from typing import Any

from tfllm.checkpoints.gguf_file import GGUFFile
from tfllm.checkpoints.gguf_metadata import GGUFMetadata
from tfllm.checkpoints.gguf_rope import rope_scaling
from tfllm.errors import CheckpointError

# llama.cpp's architectures to transformers' model type and the prefix of its classes. Mistral's models are "llama" there.
ARCHITECTURES = {
    "gemma": ("gemma", "Gemma"),
    "gemma2": ("gemma2", "Gemma2"),
    "gemma3": ("gemma3_text", "Gemma3"),
    "llama": ("llama", "Llama"),
    "olmo2": ("olmo2", "Olmo2"),
    "phi3": ("phi3", "Phi3"),
    "qwen2": ("qwen2", "Qwen2"),
    "qwen3": ("qwen3", "Qwen3"),
    "starcoder2": ("starcoder2", "Starcoder2"),
}
# Numbers of layers of the models (27 billion weights) whose attention scores llama.cpp scales by the width over the number of heads.
_LARGEST_GEMMA = {"gemma2": 46, "gemma3": 62}


def read_gguf_config(file: GGUFFile) -> dict[str, Any]:
    """A `config.json` for the model of a GGUF file.

    Args:
        file: the file.

    Returns:
        The keys that `transformers` writes for such a model.

    Raises:
        CheckpointError: an architecture that is not known, a missing key, or something that would change the model's numbers.
    """
    architecture = file.metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{file.path}: expected general.architecture to be one of {sorted(ARCHITECTURES)}. Received: {architecture!r}."
        )
    metadata = GGUFMetadata(file, architecture)
    metadata.refuse_unsupported()
    if "token_embd.weight" not in file.tensors:
        raise CheckpointError(
            f"{file.path}: expected a language model. It has no token_embd.weight but {sorted(file.tensors)[:5]}."
        )
    model_type, prefix = ARCHITECTURES[architecture]
    hidden, heads = metadata.number("embedding_length"), metadata.number("attention.head_count")
    if not hidden or not heads:
        raise CheckpointError(f"{file.path}: expected a width and a number of heads. Received: {hidden} and {heads}.")
    head_dim = metadata.number("attention.key_length", hidden // heads)
    if metadata.number("attention.value_length", head_dim) != head_dim:
        raise CheckpointError(
            f"{file.path}: expected keys and values of one width. Received: {head_dim} and {metadata.number('attention.value_length')}."
        )
    config = {
        "model_type": model_type,
        "architectures": [f"{prefix}ForCausalLM"],
        "vocab_size": file.tensors["token_embd.weight"][0],
        "hidden_size": hidden,
        "num_hidden_layers": metadata.number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.number("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "intermediate_size": metadata.number("feed_forward_length"),
        "max_position_embeddings": metadata.number("context_length"),
        "rope_theta": metadata.number("rope.freq_base", 10000.0),
        "rope_scaling": rope_scaling(file, metadata, head_dim),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "torch_dtype": "float32",
        **{
            f"{role}_token_id": file.metadata.get(f"tokenizer.ggml.{name}_token_id")
            for role, name in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
        },
    }
    rotated = metadata.number("rope.dimension_count", head_dim)
    if rotated != head_dim:
        if architecture != "phi3":
            raise CheckpointError(
                f"{file.path}: rotary positions on {rotated} of {head_dim} dimensions are not supported for {architecture}."
            )
        config["partial_rotary_factor"] = rotated / head_dim
    return {**config, **_own_keys(file, metadata, config)}


def _own_keys(file: GGUFFile, metadata: GGUFMetadata, config: dict[str, Any]) -> dict[str, Any]:
    """What only some architectures have."""
    architecture = metadata.architecture
    has_bias = "blk.0.attn_q.bias" in file.tensors
    window = metadata.number("attention.sliding_window", None) or None
    if architecture == "starcoder2":
        return {
            "norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
            "use_bias": has_bias,
            "hidden_act": "gelu_pytorch_tanh",
            "sliding_window": window,
        }
    keys = {"rms_norm_eps": metadata.number("attention.layer_norm_rms_epsilon"), "hidden_act": "silu"}
    if architecture.startswith("gemma"):
        keys |= {
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh",
            "attention_bias": has_bias,
        }
    if architecture in _LARGEST_GEMMA:
        largest = config["num_hidden_layers"] == _LARGEST_GEMMA[architecture]
        keys |= {
            "query_pre_attn_scalar": config["hidden_size"] // config["num_attention_heads"]
            if largest
            else config["head_dim"],
            "attn_logit_softcapping": metadata.number(
                "attn_logit_softcapping", 50.0 if architecture == "gemma2" else None
            ),
            "final_logit_softcapping": metadata.number(
                "final_logit_softcapping", 30.0 if architecture == "gemma2" else None
            ),
            "sliding_window": window or 4096,
        }
    if architecture == "gemma3":
        keys["rope_local_base_freq"] = metadata.number("rope.freq_base_swa", 10000.0)
        keys["layer_types"] = _layer_types(file, config["num_hidden_layers"])
    if architecture in ("llama", "qwen3"):
        keys["attention_bias"] = has_bias
    if architecture == "llama":
        keys["mlp_bias"] = "blk.0.ffn_up.bias" in file.tensors
        if window:
            keys |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": window}
    if architecture == "phi3":
        keys["sliding_window"] = window
        keys["original_max_position_embeddings"] = metadata.number(
            "rope.scaling.original_context_length", config["max_position_embeddings"]
        )
    if architecture == "olmo2" and window:
        raise CheckpointError(
            f"{file.path}: olmo2 with attention.sliding_window={window} is OLMo 3, which is not supported."
        )
    return keys


def _layer_types(file: GGUFFile, count: int) -> list[str]:
    """Gemma 3: five local layers to a global one, unless the file says otherwise."""
    pattern = file.metadata.get("gemma3.attention.sliding_window_pattern", 6)
    if isinstance(pattern, list):
        local = [bool(value) for value in pattern][:count]
    else:
        local = [bool((i + 1) % pattern) if pattern else False for i in range(count)]
    return ["sliding_attention" if value else "full_attention" for value in local]
