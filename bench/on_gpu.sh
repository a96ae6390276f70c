#!/usr/bin/env bash
# Everything that needs a GPU, in under nine minutes: bash bench/on_gpu.sh OUT
#
# Installs nothing. Needs Python 3.11+ (PYTHON=...) with numpy, pillow, safetensors, threadpoolctl, tqdm, numba, CuPy,
# pytest and hypothesis; PyTorch for the yardsticks, numba-cuda for the naive kernels; compute-sanitizer where there is
# one. In OUT afterwards:
#     log.txt                     what was printed: facts, tests, memory and race checks, both benches
#     kernels-CARD-DATE.json      every kernel beside cuBLAS, cuDNN and PyTorch
#     train-CARD-DATE.json        whole steps beside PyTorch
#     RESULTS.md, roofline-*.png  the same to read
# To keep the numbers: cp OUT/*-*-20*.json bench/results/ && python bench/report.py && git add bench
# Exit code: 0; 1 if a test, a check or a bench failed (the later stages run all the same); 2 usage; 3 without a GPU.
# LIMIT=SECONDS (510) is the time for all but the report; TUNE=1 looks for the best tiles before the benches, and leaves
# tiles.json in OUT. INACHUS_COMMIT=... names the commit where git does not know it.
set -uo pipefail

out=${1:-}
if [ -z "$out" ]; then
    echo "usage: bash bench/on_gpu.sh OUT" >&2
    exit 2
fi
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3}
limit=${LIMIT:-510}
failed=0

# the import package `inachus`, as setup.py maps it, made of links
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/inachus"
ln -s "$PWD"/engine/_root/* "$PWD/engine" "$PWD/kernels" "$PWD/models" "$scratch/inachus/"
export PYTHONPATH="$scratch${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR="$scratch/numba"
export CUPY_CACHE_DIR="${CUPY_CACHE_DIR:-$scratch/cupy}" XDG_CACHE_HOME="$scratch/cache"
export HYPOTHESIS_STORAGE_DIRECTORY="$scratch/hypothesis"

problem=$("$python" -c 'from inachus.kernels import cuda_problem; print(cuda_problem() or "")' 2>&1 | tail -1)
if [ -n "$problem" ]; then
    echo "no GPU to test on: $problem" >&2
    exit 3
fi

say() { printf '\n--- %s (%s s)\n' "$*" "$SECONDS" | tee -a "$out/log.txt"; }

# stage NAME SECONDS COMMAND...: runs it for at most so long, and no longer than is left; notes a failure
stage() {
    local name=$1 most=$2 left=$((limit - SECONDS)) code before
    shift 2
    most=$((most < left ? most : left))
    if [ "$most" -lt 5 ]; then
        say "$name: no time left"
        return
    fi
    say "$name, at most $most s"
    before=$(wc -l < "$out/log.txt")
    timeout --kill-after=5 "$most" "$@" >> "$out/log.txt" 2>&1
    code=$?
    tail -n "+$((before + 1))" "$out/log.txt" | tail -n "${SHOWN:-12}" | cut -c1-200
    if [ "$code" -ne 0 ]; then
        say "$name: exit code $code$([ "$code" -eq 124 ] && echo ', its time was up')"
        failed=1
    fi
}

: > "$out/log.txt"
query=name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit,temperature.gpu
if command -v nvidia-smi > /dev/null; then stage "the GPU" 15 nvidia-smi "--query-gpu=$query" --format=csv; fi
stage "versions" 60 "$python" -c '
import sys
from importlib.metadata import PackageNotFoundError, version
print("python", sys.version.split()[0])
for name in ("numpy", "cupy-cuda13x", "cupy-cuda12x", "numba", "numba-cuda", "torch", "triton", "pytest", "hypothesis"):
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass'

# --- tests -----------------------------------------------------------------------------------------------------

workers=()
if "$python" -c 'import xdist' 2> /dev/null; then workers=(-n 8); fi
tests=()
for name in kernels adjoint random cuda_conv cuda_loops device; do
    if [ -f "tests/test_$name.py" ]; then tests+=("tests/test_$name.py"); fi
done
export INACHUS_TEST_DEVICE=cuda
SHOWN=30 stage "tests" 150 "$python" -m pytest "${tests[@]}" "${workers[@]}" -q -p no:cacheprovider --tb=short

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null || true)
if [ -n "$sanitizer" ]; then
    toys=("$python" bench/kernels.py --toy --without-torch --seconds 0 --precisions tf32)
    for tool in memcheck racecheck; do
        stage "$tool" 40 "$sanitizer" --tool "$tool" --error-exitcode 1 "${toys[@]}"
    done
else
    say "no compute-sanitizer here"
fi

# --- benches ---------------------------------------------------------------------------------------------------

if [ -n "${TUNE:-}" ]; then
    stage "tuning" 240 "$python" bench/kernels.py --quick --tune --without-torch --seconds 0.005 --only 'batch' --budget 220
    cp "$XDG_CACHE_HOME/inachus/tiles.json" "$out/" 2> /dev/null
fi
stage "kernels" 140 "$python" bench/kernels.py --quick --budget 115 --out "$out"
stage "train" 150 "$python" bench/train.py --device cuda --seconds 8 --budget 110 --out "$out"
limit=$((limit + 20))
stage "report" 20 "$python" bench/report.py --results "$out" --out "$out/RESULTS.md"

if [ -f "$out/RESULTS.md" ]; then head -n 45 "$out/RESULTS.md" | cut -c1-200; fi
say "done, failed: $failed"
exit "$failed"
