"""Tasks by name, listed without a heavy import."""

import subprocess
import sys

import pytest

from tfllm import tasks
from tfllm.errors import UserError


@pytest.mark.parametrize(
    "wrong, meant", [("glue/mnil", "glue/mnli"), ("glue/sst-2", "glue/sst2"), ("glue/cols", "glue/cola")]
)
def test_did_you_mean(wrong, meant):
    with pytest.raises(UserError, match=f"There is no task '{wrong}': did you mean {meant}"):
        tasks.get(wrong)


def test_nothing_near():
    with pytest.raises(UserError, match="There is no task 'xyz': `tfllm tasks` lists them, among others .*, glue/ax, "):
        tasks.get("xyz")


def test_register(tmp_path):
    @tasks.register("mine/small")
    def small(data_dir=None, upper=False):
        text = ["a", "b"] if not upper else ["A", "B"]
        return tasks.from_memory({"text": text, "label": [0, 1]}, name="mine/small")

    try:
        assert "mine/small" in tasks.names()
        assert tasks.get("mine/small", upper=True).examples("train").texts == (["A", "B"],)
        with pytest.raises(UserError, match="did you mean mine/small"):
            tasks.get("mine/smal")
        with pytest.raises(UserError, match="mine/small has no option 'lower'. Its options are: data_dir, upper."):
            tasks.get("mine/small", lower=True)
        with pytest.raises(UserError, match="already called 'mine/small'"):
            tasks.register("mine/small", lambda data_dir=None: None)
        tasks.register("mine/small", small)  # the same one again is no conflict
        tasks.register("mine/fixed", lambda: None)
        with pytest.raises(UserError, match="mine/fixed takes no data_dir"):
            tasks.get("mine/fixed", data_dir=tmp_path)
    finally:
        from tfllm.tasks import registry

        registry._FACTORIES.pop("mine/small")
        registry._FACTORIES.pop("mine/fixed", None)


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, tfllm; rows = [tfllm.tasks.get(name).describe() for name in tfllm.tasks.names()]; "
        "heavy = {'tensorflow', 'keras', 'sklearn', 'scipy', 'tensorflow_datasets', 'tokenizers'} & set(sys.modules); "
        "assert len(rows) >= 10 and not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
