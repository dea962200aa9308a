#!/usr/bin/env bash
# Installs the pinned packages into .venv of the working folder: packages.sh cpu|cuda
#
# All come from requirements.lock by their hashes. torch on PyPI brings 4 GB of CUDA; for the CPU its own index has a build
# of the same version, which the lock cannot know: TORCH_INDEX says where, TORCH_SHA256 (optional) what it must be.
set -euo pipefail
variant=${1:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
uv=(uv pip install --quiet --python .venv/bin/python --compile-bytecode --no-deps --require-hashes --requirement requirements.lock)
case "$variant" in
  cuda) "${uv[@]}" --excludes "$here/exclude.txt" ;;
  cpu)
    "${uv[@]}" --excludes "$here/exclude.txt" --excludes "$here/exclude-cpu.txt"
    torch=$(sed -n 's/^\(torch==[^ ]*\).*/\1+cpu/p' requirements.lock)
    wanted=$(mktemp)
    echo "$torch${TORCH_SHA256:+ --hash=sha256:$TORCH_SHA256}" >"$wanted"
    uv pip install --quiet --python .venv/bin/python --compile-bytecode --no-deps --default-index "$TORCH_INDEX" \
      ${TORCH_SHA256:+--require-hashes} --requirement "$wanted"
    rm "$wanted"
    ;;
  *)
    echo "VARIANT: got '$variant'; allowed: cpu, cuda" >&2
    exit 2
    ;;
esac
