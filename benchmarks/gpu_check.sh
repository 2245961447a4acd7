#!/bin/bash
# All that a machine with a GPU can say of the kernels, in under ten minutes: builds libmlcore_cuda.so for its card,
# runs the tests that the emulated kernels pass elsewhere, compute-sanitizer over some of them, and the benchmarks.
#
#   [PYTHON=...] [STEPS="build tests sanitizer benchmarks"] bash benchmarks/gpu_check.sh [folder]
#
# Every step leaves a log in the folder (default out/gpu) and a line in its summary.txt; exits with 1 when one failed.
# PYTHON has mlcore (or PYTHONPATH says where), CuPy and what the tests import. MLCORE_CUDA_LIBRARY: taken instead of
# building one. The benchmarks' models are fitted unless `benchmarks/gpu.py --prepare` left them in build/bench-data.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
out=$(realpath -m "${1:-out/gpu}")
python=${PYTHON:-$root/.venv/bin/python}
steps=${STEPS:-build tests sanitizer benchmarks}
mkdir -p "$out"
: >"$out/summary.txt"
failed=0

# step name seconds command ...
step() {
  local name=$1 limit=$2 begin=$SECONDS state
  shift 2
  if timeout "$limit" "$@" >"$out/$name.log" 2>&1; then state=passed; else state="failed ($?)" failed=1; fi
  echo "$name: $state, $((SECONDS - begin)) s" | tee -a "$out/summary.txt"
}
wanted() { [[ " $steps " == *" $1 "* ]]; }

command -v nvidia-smi >/dev/null && nvidia-smi >"$out/card.log" 2>&1

build() {
  local packages
  packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') &&
    cmake -S "$root" -B "$root/build/gpu" -DCMAKE_BUILD_TYPE=Release -DMLCORE_CUDA=ON -DMLCORE_PYTHON=OFF \
      -DMLCORE_TRITON=OFF -DMLCORE_SERVER=OFF -DCMAKE_CUDA_ARCHITECTURES=native -DCMAKE_PREFIX_PATH="$packages" &&
    cmake --build "$root/build/gpu" --target mlcore_cuda -j "$(nproc)"
}
export -f build
export root python
if [[ -z ${MLCORE_CUDA_LIBRARY:-} ]]; then
  wanted build && step build 240 bash -c build
  export MLCORE_CUDA_LIBRARY=$root/build/gpu/libmlcore_cuda.so
fi
if [[ ! -f $MLCORE_CUDA_LIBRARY ]]; then
  echo "expected libmlcore_cuda.so at $MLCORE_CUDA_LIBRARY but found none" | tee -a "$out/summary.txt"
  exit 1
fi

export MLCORE_TEST_GPU=1 OMP_NUM_THREADS=1
tests="$python -m pytest -q -p no:cacheprovider"
if wanted tests; then
  step tests 180 $tests tests/test_device.py tests/test_device_forests.py
  for binary in build/*/mlcore_tests; do
    [[ -x $binary ]] && step "tests-$(basename "$(dirname "$binary")")" 60 "$binary" --run_test=device
  done
fi
if wanted sanitizer; then
  for tool in memcheck racecheck initcheck; do
    step "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all \
      $tests tests/test_device_forests.py -k "test_every_depth and number and 6 or test_every_kind and categories"
  done
fi
if wanted benchmarks; then
  unset OMP_NUM_THREADS
  step benchmarks 240 "$python" benchmarks/gpu.py --out "$out"
fi
exit $failed
