"""`python -m tfllm.harness`: lm-evaluation-harness' own command line, with the model `tfllm` among its models."""

from __future__ import annotations

import importlib
import os
import sys


def main() -> int:
    """Runs it with the process's arguments; returns the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tfllm.errors import UserError

    try:
        importlib.import_module("tfllm.harness")  # registers the model, or says what is missing
        from lm_eval.__main__ import cli_evaluate

        sys.argv[0] = "python -m tfllm.harness"
        cli_evaluate()
    except UserError as error:
        print(f"tfllm.harness: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
