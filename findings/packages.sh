# Sourced by the findings: `packages NAME==VERSION …` makes an environment of these packages in a temporary folder, which goes
# when the shell ends, and leaves its Python in $PYTHON.
packages() {
  [ -n "${WORK:-}" ] || { WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT; }
  PYTHON="$(mktemp -d "$WORK/env.XXXX")/env/bin/python"
  if command -v uv >/dev/null; then
    uv venv --quiet --python "${FINDINGS_PYTHON:-3.11}" "${PYTHON%/bin/python}"
    uv pip install --quiet --python "$PYTHON" "$@"
  else
    "${FINDINGS_PYTHON:-python3}" -m venv "${PYTHON%/bin/python}"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check "$@"
  fi
}
