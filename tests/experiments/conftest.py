from __future__ import annotations

import pytest
import toy_finetuning


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return toy_finetuning.save_toy_checkpoint(tmp_path_factory.mktemp("checkpoint"))
