#!/usr/bin/env bash
# skl2onnx 1.20.0: a tree of scikit-learn that sends NaN to the left is converted to one that sends it to the right.
#
# The tree learned that NaN belongs to class 0. scikit-learn says 0 for NaN, the converted model says 1, without an error. The
# direction (tree_.missing_go_to_left) does not reach the ONNX file. Forests are made of the same trees;
# HistGradientBoosting is converted right.
# Expected: the learned direction, or a refusal.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages skl2onnx==1.20.0 scikit-learn==1.9.1 onnxruntime==1.32.0 onnx==1.23.2
"$PYTHON" - <<'PY'
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.tree import DecisionTreeClassifier

rows = np.array([[0], [1], [2], [3], [np.nan], [np.nan]], np.float32)
tree = DecisionTreeClassifier(random_state=0).fit(rows, [0, 0, 1, 1, 0, 0])
model = to_onnx(tree, rows[:1], options={"zipmap": False})
there = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": rows})[0]
print("scikit-learn", tree.predict(rows), "ONNX", there)
assert tree.predict(rows).tolist() == [0, 0, 1, 1, 0, 0]
assert there.tolist() == [0, 0, 1, 1, 1, 1], "NaN goes another way now"
PY
