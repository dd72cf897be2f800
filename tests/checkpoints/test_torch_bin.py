"""PyTorch's `.bin` files: read without PyTorch, and nothing that they say is run."""

from __future__ import annotations

import collections
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch_files
from safetensors.numpy import load_file
from torch_files import Named, Storage, tensor

import tfllm
from tfllm.checkpoints import open_checkpoint
from tfllm.checkpoints.torch_bin import TorchTensorFiles
from tfllm.errors import CheckpointError

TOYS = Path(__file__).parents[1] / "goldens" / "hf_toys"
FOUR = {"0": np.arange(4, dtype="float32").tobytes()}


def as_bin(name: str, directory: Path, shards: int = 1) -> Path:
    """A toy whose weights are in `.bin` files instead."""
    copy = Path(shutil.copytree(TOYS / name, directory))
    (copy / "model.safetensors").unlink()
    tensors = load_file(TOYS / name / "model.safetensors")
    if shards == 1:
        torch_files.save(tensors, copy / "pytorch_model.bin")
        return copy
    weight_map = {}
    for i in range(shards):
        file = f"pytorch_model-{i + 1:05d}-of-{shards:05d}.bin"
        part = dict(list(tensors.items())[i::shards])
        torch_files.save(part, copy / file)
        weight_map |= dict.fromkeys(part, file)
    (copy / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return copy


def read(directory: Path, content, records=FOUR, **options) -> TorchTensorFiles:
    torch_files.write(directory / "pytorch_model.bin", content, records, **options)
    return TorchTensorFiles(directory)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", ["bert-classifier", "llama-causal_lm", "llama-causal_lm-bf16"])
def test_weights_are_those_of_the_safetensors_directory(name, shards, tmp_path):
    model, expected = tfllm.load(as_bin(name, tmp_path / "bin", shards)), tfllm.load(TOYS / name)
    theirs = expected.named_weights()
    for path, weight in model.named_weights().items():
        np.testing.assert_array_equal(weight, theirs[path])
    assert model.checkpoint == expected.checkpoint


def test_safetensors_come_first(tmp_path):
    directory = Path(shutil.copytree(TOYS / "bert-classifier", tmp_path / "both"))
    (directory / "pytorch_model.bin").write_bytes(b"not read")
    tfllm.load(directory)


@pytest.mark.parametrize("dtype", [*(d for d in torch_files._STORAGES if d != "bfloat16"), torch_files.BFLOAT16])
def test_every_type(dtype, tmp_path):
    array = np.arange(6).astype(dtype).reshape(2, 3)
    torch_files.save({"a": array}, tmp_path / "pytorch_model.bin")
    found = TorchTensorFiles(tmp_path)["a"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_views_of_one_storage(tmp_path):
    """Strides, offsets, tensors that share a storage, parameters, scalars, empty and expanded tensors."""
    storage = Storage("0", "float32", 12)
    numbers = np.arange(12, dtype="float32")
    tensors = read(
        tmp_path,
        {
            "whole": tensor(storage, (3, 4), (4, 1)),
            "transposed": torch_files.PARAMETER(tensor(storage, (4, 3), (1, 4)), True, collections.OrderedDict()),
            "part": tensor(storage, (2, 2), (4, 2), 5),
            "scalar": tensor(storage, (), (), 11),
            "expanded": tensor(storage, (5, 2), (0, 1), 2),
            "empty": tensor(storage, (0, 3), (3, 1)),
        },
        {"0": numbers.tobytes()},
    )
    whole = numbers.reshape(3, 4)
    np.testing.assert_array_equal(tensors["whole"], whole)
    np.testing.assert_array_equal(tensors["transposed"], whole.T)
    np.testing.assert_array_equal(tensors["part"], [[5, 7], [9, 11]])
    np.testing.assert_array_equal(tensors["expanded"], [[2, 3]] * 5)
    assert tensors["scalar"] == 11 and tensors["empty"].shape == (0, 3)
    assert np.shares_memory(tensors["whole"], tensors["part"])  # views: nothing is copied
    with pytest.raises(ValueError, match="read-only"):
        tensors["whole"][0, 0] = 1


@pytest.mark.parametrize(
    "named",
    [
        Named("os", "system"),
        Named("builtins", "eval"),
        Named("builtins", "getattr"),
        Named("torch", "load"),
        Named("torch._utils", "_rebuild_qtensor"),
        Named("numpy._core.multiarray", "_reconstruct"),
        Named("collections", "defaultdict"),
        Named("__torch__.model", "Model"),
    ],
)
def test_anything_else_is_refused_by_name_and_not_run(named, tmp_path):
    ran = tmp_path / "ran"
    with pytest.raises(CheckpointError, match=rf"asks for {named.module}\.{named.name}.*nothing was run.*save_file"):
        read(tmp_path, {"a": named(f"touch {ran}")})
    assert not ran.exists()


@pytest.mark.parametrize(
    "content",
    [
        tensor(Storage("0", "float32", 4), (5,), (1,)),
        tensor(Storage("0", "float32", 4), (4,), (1,), 1),
        tensor(Storage("0", "float32", 4), (2, 2), (3, 1)),
        tensor(Storage("0", "float32", 4), (2,), (2**62,)),
        tensor(Storage("0", "float32", 4), (2,), (-1,), 1),
        tensor(Storage("0", "float32", 4), (-2,), (1,)),
        tensor(Storage("0", "float32", 4), (2,), (1,), -1),
        tensor(Storage("0", "float32", 4), (2, 2), (1,)),
        tensor(Storage("0", "float32", 5), (4,), (1,)),
        tensor(Storage("0", "float64", 4), (4,), (1,)),
        tensor(Storage("1", "float32", 4), (4,), (1,)),
        tensor(Storage("../data.pkl", "float32", 4), (4,), (1,)),
        torch_files.REBUILD("no storage", 0, (4,), (1,)),
        torch_files.REBUILD(),
    ],
)
def test_tensors_that_do_not_fit_their_storage(content, tmp_path):
    with pytest.raises(CheckpointError, match="data.pkl is damaged"):
        read(tmp_path, {"a": content})


def test_a_storage_of_another_type_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"torch\.ComplexFloatStorage"):
        read(tmp_path, {"a": tensor(Storage("0", "ComplexFloatStorage", 2), (2,), (1,))})


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"a": 1}, "epoch": 3}, {3: "x"}, "text"])
def test_no_dictionary_of_tensors(content, tmp_path):
    with pytest.raises(CheckpointError, match="expected a dictionary of tensors"):
        read(tmp_path, content)


def test_other_containers(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    good = {"a": tensor(Storage("0", "float32", 4), (4,), (1,))}
    path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02")  # how torch.save began before version 1.6
    with pytest.raises(CheckpointError, match=r"a pickle, as PyTorch wrote them before version 1\.6.*torch\.load"):
        TorchTensorFiles(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="expected a zip archive"):
        TorchTensorFiles(tmp_path)
    with pytest.raises(CheckpointError, match="is compressed"):
        read(tmp_path, good, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="another byte order"):
        read(tmp_path, good, byteorder=b"big")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/file", b"")
    with pytest.raises(CheckpointError, match="expected a data.pkl"):
        TorchTensorFiles(tmp_path)


def test_a_file_cut_short_anywhere(tmp_path):
    directory = as_bin("bert-classifier", tmp_path / "bin")
    path = directory / "pytorch_model.bin"
    content = path.read_bytes()
    for size in range(0, len(content), 2003):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="pytorch_model.bin: "):
            tfllm.load(directory)


def test_a_damaged_pickle(tmp_path):
    directory = as_bin("bert-classifier", tmp_path / "bin")
    path = directory / "pytorch_model.bin"
    content = bytearray(path.read_bytes())
    start = content.index(b"\x80\x02")
    for place in range(start, start + 400, 7):
        damaged = content.copy()
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            open_checkpoint(directory)
        except CheckpointError:
            pass


@pytest.mark.parametrize("evil", ["../pytorch_model.bin", "/etc/passwd", ".."])
def test_a_shard_outside_of_the_directory(evil, tmp_path):
    directory = as_bin("bert-classifier", tmp_path / "bin", shards=2)
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": evil}}))
    with pytest.raises(CheckpointError, match="same directory"):
        tfllm.load(directory)


def test_a_pickle_of_another_name_is_not_opened(tmp_path):
    directory = as_bin("bert-classifier", tmp_path / "bin")
    (directory / "pytorch_model.bin").rename(directory / "weights.pt")
    with pytest.raises(CheckpointError, match=r"Found weights\.pt, a pickle.*torch\.load\('weights\.pt'\)"):
        tfllm.load(directory)


def test_a_hub_repository_with_bin_files_alone(monkeypatch, tmp_path):
    """They are fetched only where there are no safetensors files."""
    source, fetched = as_bin("bert-classifier", tmp_path / "bin"), []

    def snapshot_download(handle, revision, allow_patterns):
        fetched.append(allow_patterns)
        (tmp_path / "hub").mkdir(exist_ok=True)
        for pattern in allow_patterns:
            for file in source.glob(pattern):
                shutil.copy(file, tmp_path / "hub")
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert tfllm.load("someone/old").num_labels == 3
    assert len(fetched) == 2 and fetched[1] == ["pytorch_model*.bin"]
    source = Path(shutil.copytree(TOYS / "bert-classifier", tmp_path / "safe"))
    shutil.rmtree(tmp_path / "hub")
    tfllm.load("someone/new")
    assert len(fetched) == 3 and not any("bin" in pattern for pattern in fetched[2])


@pytest.mark.parity
def test_what_torch_saves(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "plain": base,
        "transposed": base.T,
        "part": base[1:, 2:4],
        "shared": base.view(-1)[3:9],
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "expanded": torch.ones(1).expand(5),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        **{str(dtype): torch.arange(5).to(dtype) for dtype in (torch.bfloat16, torch.float16, torch.int64, torch.bool)},
    }
    torch.save(collections.OrderedDict(state), tmp_path / "pytorch_model.bin")
    tensors = TorchTensorFiles(tmp_path)
    assert list(tensors) == list(state)
    for name, expected in state.items():
        np.testing.assert_array_equal(tensors[name].astype("float32"), expected.detach().float().numpy())
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="before version 1.6"):
        TorchTensorFiles(tmp_path)
