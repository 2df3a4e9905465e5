#!/usr/bin/env bash
# Build the wheel from the source archive, install it with its core dependencies alone, and use it outside the checkout.
# Versions are those of the lock, and uv links files from its cache: a complete environment costs seconds and little disk.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
bin=${BIN:-$checkout/.venv/bin}
commit=$(git -C "$checkout" rev-parse --short=12 HEAD)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
say() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

say "build"
"$bin/uv" build --quiet --no-build-isolation --python "$bin/python" --out-dir "$place/dist" "$checkout"

say "install"
"$bin/uv" venv --quiet --python "$bin/python" "$place/venv"
"$bin/uv" pip install --quiet --python "$place/venv/bin/python" --constraints "$checkout/requirements.lock" \
  "$place"/dist/*.whl

unset PYTHONPATH FER_BENCH_DATA FER_BENCH_YUNET
export FER_BENCH_CACHE=$place/cache PATH=$place/venv/bin:$PATH
mkdir "$place/work" && cd "$place/work"

say "import every module, from the wheel"
CHECKOUT=$checkout python - <<'PYTHON'
import importlib, os, pkgutil, sys
from pathlib import Path

import fer_bench

assert Path(fer_bench.__file__).is_relative_to(sys.prefix), fer_bench.__file__
assert not any(path.startswith(os.environ["CHECKOUT"]) for path in sys.path), sys.path
names = [module.name for module in pkgutil.walk_packages(fer_bench.__path__, "fer_bench.")]
for name in names:
    importlib.import_module(name)
print(f"{len(names)} modules")
PYTHON

say "command line"
fer-bench --version | tee version.txt
grep -q "(commit $commit" version.txt
fer-bench docs sweeps | grep -q '^# Sweeps'
fer-bench docs ckplus | grep -q 'Cohn-Kanade'
fer-bench docs gcn > /dev/null
fer-bench doctor

say "sweep quick --dry-run"  # on tiny drawn faces: those of all seven datasets take minutes
fer-bench data synth --dataset oulu --size tiny --out faces
export FER_BENCH_DATA=$PWD/faces
fer-bench sweep quick --dataset oulu --targets none --profile quick --dry-run

say "one run and the leaderboard"
fer-bench run --method resemotenet --dataset oulu --targets none --max-epochs 1 --set method.width=0.05
fer-bench leaderboard
grep -q 'SYNTHETIC DATA' leaderboard/README.md

say "an export, in an environment without torch"  # written by the checkout, which has onnx
PYTHONPATH=$checkout "$bin/fer-bench" export runs/resemotenet/oulu/*/ --to onnx --out model.onnx
"$bin/uv" build --quiet --wheel --no-build-isolation --python "$bin/python" --out-dir "$place/light-dist" \
  "$checkout/packaging/onnx"
"$bin/uv" venv --quiet --python "$bin/python" "$place/light"
"$bin/uv" pip install --quiet --python "$place/light/bin/python" --constraints "$checkout/requirements.lock" \
  "$place"/light-dist/*.whl
picture=$(find faces -name '*.jpeg' | sort | head -n 1)
( export PATH=$place/light/bin:$PATH
  ! python -c 'import torch' 2> /dev/null
  fer-bench --version | grep -v unknown
  fer-bench predict model.onnx "$picture" --faces whole --out answers.csv
  grep -q 'happiness' answers.csv
  fer-bench card model.onnx | grep -q 'SYNTHETIC DATA'
  fer-bench docs export | grep -q '^# Export'
  ! fer-bench run --method erm --dataset oulu 2> refused.txt
  grep -q 'leaves out' refused.txt )

say "the wheel works without the checkout"
du -sh "$place/venv" "$place/light" "$place"/dist/* "$place"/light-dist/* | sed "s#$place/##"
echo "the wheel works outside the checkout"
