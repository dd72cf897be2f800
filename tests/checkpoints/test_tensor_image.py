"""A safetensors file in memory: what the safetensors library reads from it is what was put in."""

from __future__ import annotations

import errno
import os
import zlib

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from tfllm.checkpoints.tensor_image import TensorImage, checksum_of

DTYPES = ["float64", "float32", "float16", ml_dtypes.bfloat16, "int64", "int8", "uint32", "bool"]


def arrays_of(shapes) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        f"{number}/{name}": np.asarray(random.integers(0, 2, shape)).astype(dtype)
        for number, (name, shape, dtype) in enumerate(shapes)
    }


def assert_holds(path, arrays: dict[str, np.ndarray]) -> None:
    received = safetensors.numpy.load_file(path)
    assert set(received) == set(arrays)
    for name, array in arrays.items():
        assert received[name].dtype == array.dtype
        np.testing.assert_array_equal(received[name], array)


SHAPES = st.tuples(
    st.sampled_from(["kernel", "größe"]),
    st.lists(st.integers(0, 5), max_size=3).map(tuple),
    st.sampled_from(DTYPES),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(SHAPES, max_size=6))
def test_the_library_reads_what_was_put_in(tmp_path_factory, shapes):
    arrays, path = arrays_of(shapes), tmp_path_factory.mktemp("image") / "arrays.safetensors"
    image = TensorImage.of(arrays)
    checksum = image.write(path)
    assert_holds(path, arrays)
    assert checksum == image.checksum() == checksum_of(path) == zlib.crc32(path.read_bytes())
    assert {name: array.shape for name, array in image.items()} == {name: array.shape for name, array in arrays.items()}


def test_an_image_is_filled_and_written_again(tmp_path):
    image = TensorImage({"w": ((3000, 2), "float32"), "seed": ((2,), "uint32")})
    image.write(tmp_path / "zeros")
    image["w"][...] = 1.5
    image["seed"][...] = 7
    image.write(tmp_path / "values")
    assert_holds(tmp_path / "zeros", {"w": np.zeros((3000, 2), "float32"), "seed": np.zeros(2, "uint32")})
    assert_holds(tmp_path / "values", {"w": np.full((3000, 2), 1.5, "float32"), "seed": np.full(2, 7, "uint32")})


@pytest.mark.parametrize("refused", ["when it is opened", "when it is written"])
def test_a_file_system_without_direct_writes(tmp_path, monkeypatch, refused):
    if not hasattr(os, "O_DIRECT"):
        pytest.skip("this system has no direct writes")
    opened, wrote, direct = os.open, os.write, []

    def refuse() -> OSError:
        direct.append(refused)
        return OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def open_file(path, flags, mode=0o777):
        if flags & os.O_DIRECT and refused == "when it is opened":
            raise refuse()
        return opened(path, flags, mode)

    def write(descriptor, content):
        if refused == "when it is written" and not direct:
            raise refuse()
        return wrote(descriptor, content)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "write", write)
    TensorImage.of({"w": np.ones(5)}).write(tmp_path / "arrays")
    assert direct == [refused]
    assert_holds(tmp_path / "arrays", {"w": np.ones(5)})


def test_an_existing_file_stays(tmp_path):
    (tmp_path / "arrays").write_text("mine")
    with pytest.raises(FileExistsError):
        TensorImage.of({"w": np.ones(5)}).write(tmp_path / "arrays")
    assert (tmp_path / "arrays").read_text() == "mine"


def test_a_dtype_that_the_format_lacks():
    with pytest.raises(TypeError, match="complex64"):
        TensorImage({"w": ((1,), "complex64")})
