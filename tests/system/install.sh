#!/usr/bin/env bash
# What the system tests need beside pip's packages in .venv. The Triton server and its clients, in an environment of their
# own; MLflow's client and Schemathesis, what validates Kubernetes objects, and nvcc where there is none, in folders beside
# .venv's packages; Debian packages: clang with its fuzzer runtime, valgrind, readelf and nm, buildah, chromium, systemd's checks,
# Debian's own Python for the image that buildah starts from. The latter need root. Does nothing when all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-.venv/bin/python}
"$python" benchmarks/install_peers.py --into build/system-env tests/system/triton.txt

folders=(clients deploy)
command -v nvcc >/dev/null || folders+=(cuda)
for name in "${folders[@]}"; do
  list=tests/system/$name.txt
  folder=build/system-env/$name
  if ! cmp --silent "$list" "$folder/installed"; then
    rm -rf "$folder"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --target "$folder" --requirement "$list"
    cp "$list" "$folder/installed"
  fi
done

packages=(binutils buildah chromium clang libclang-rt-dev python3 systemd util-linux valgrind)

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "expected apt-get to install ${missing[*]} but found none; install them by other means" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "expected root to install ${missing[*]} but found user $(id -un); run: sudo bash $0" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
