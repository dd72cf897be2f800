from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "experiments" / "finetune.py"


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True)


def test_help_lists_the_flags():
    result = run("--help")
    assert result.returncode == 0 and "--learning_rate=3e-05" in result.stdout and "usage: finetune.py" in result.stdout


def test_errors_are_one_line_and_status_2():
    for arguments, message in [
        (["--modle=x"], "Did you mean: model"),
        (["--epochs=0"], "epochs must be at least 1"),
        (["--task=glue/mnil", "--model=x"], "did you mean glue/mnli?"),
    ]:
        result = run(*arguments)
        lines = [
            line
            for line in result.stderr.splitlines()
            if not line.startswith(("WARNING: All log", "I0000", "E0000", "To enable"))
        ]
        assert result.returncode == 2 and len(lines) == 1 and message in lines[0], result.stderr
        assert result.stdout == ""
