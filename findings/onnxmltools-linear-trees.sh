#!/usr/bin/env bash
# onnxmltools 1.16.0: a LightGBM model with linear_tree is converted without an error, and its leaves lose their slopes.
#
# Trees of LightGBM may have a linear function in each leaf. The converter writes the constant of the leaf alone.
# Expected: a refusal, as for objectives that it does not know.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages onnxmltools==1.16.0 lightgbm==4.7.0 onnxruntime==1.32.0 onnx==1.23.2 skl2onnx==1.20.0
"$PYTHON" - <<'PY'
import lightgbm
import numpy as np
import onnxruntime
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

rows = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
wanted = 3 * rows[:, 0] - rows[:, 1]


def largest(**settings):
    model = lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, **settings).fit(rows, wanted)
    onnx = convert_lightgbm(model.booster_, initial_types=[("rows", FloatTensorType([None, 2]))])
    there = onnxruntime.InferenceSession(onnx.SerializeToString()).run(None, {"rows": rows})[0]
    return float(np.abs(there.reshape(-1) - model.predict(rows)).max())


plain, linear = largest(), largest(linear_tree=True)
print(f"largest difference: {plain:.1e} of plain trees, {linear:.1e} of linear ones")
assert plain < 1e-4
assert linear > 0.1, "linear trees are converted right, or nearly"
PY
