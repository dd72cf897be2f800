from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "experiments" / "sweep.py"


def test_help_lists_the_flags():
    result = subprocess.run([sys.executable, str(PROGRAM), "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--grid" in result.stdout and "--learning_rate=3e-05" in result.stdout
    assert "usage: sweep.py" in result.stdout
