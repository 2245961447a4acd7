#!/usr/bin/env bash
# What the system tests need beside pip's packages in .venv. The Triton server and its clients, in an environment of their
# own; Debian packages: clang with its fuzzer runtime, valgrind, readelf and nm. The latter need root. Does nothing when
# all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

"${PYTHON:-.venv/bin/python}" benchmarks/install_peers.py --into build/system-env tests/system/triton.txt

packages=(binutils clang libclang-rt-dev util-linux valgrind)

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
