#!/usr/bin/env bash
# xgboost 3.2.0: a category that was not there at training is taken for the next one in sorted order.
#
# A regressor learns a -> 0, b -> 1, d -> 10, e -> 20 with enable_categorical. Asked about c, which it has never seen, it
# answers 10.0, as for d. A missing value gets 20.0. There is no error and no warning, whatever list of categories the column has.
# Expected: an error, or the answer for a missing value.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages xgboost==3.2.0 pandas==3.1.1 scikit-learn==1.9.1
"$PYTHON" - <<'PY'
import pandas as pd
import xgboost

wanted = {"a": 0.0, "b": 1.0, "d": 10.0, "e": 20.0}
rows = pd.DataFrame({"kind": pd.Categorical(list("abde") * 50)})
model = xgboost.XGBRegressor(enable_categorical=True, n_estimators=50, max_cat_to_onehot=1)
model.fit(rows, rows["kind"].map(wanted).astype(float))
unseen = float(model.predict(pd.DataFrame({"kind": pd.Categorical(["c"])}))[0])
missing = float(model.predict(pd.DataFrame({"kind": pd.Categorical([None], categories=list("abde"))}))[0])
print(f"unseen c: {unseen:.3f}, missing: {missing:.3f}")
assert abs(unseen - 10) < 0.01, "c is no longer taken for d"
assert abs(missing - 20) < 0.01, "a missing value is answered otherwise"
PY
