# Every target sets up what it needs by itself; the second time that takes a second.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.10 || echo python3.11)
UV_VERSION := 0.13.9
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: docs help setup demo test lint typecheck unit spark cluster coverage faults e2e s3 service deploy models collectors expectations gpu bench bench-setup bench-trees bench-gpu bench-scale bench-scale-model bench-duplicates bench-incremental bench-resume bench-lookup bench-soak bench-extract bench-load bench-transforms clean

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: .venv/.ready  ## virtual environment, pinned packages, Delta jars, class-data archive

demo: .venv/.ready  ## real records become predictions that can be looked up (about two minutes)
	@$(BIN)/python -m batchinfer.demo

test: .venv/.ready lint typecheck unit spark e2e  ## everything that must be green: walls, types, unit, spark, e2e

lint: .venv/.ready  ## ruff, and the walls between the rooms (import-linter)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

typecheck: .venv/.ready  ## strict types on src/
	@$(BIN)/basedpyright

unit: .venv/.ready  ## tests without a JVM
	@$(BIN)/pytest tests/unit -n 2

spark: .venv/.ready  ## tests on local sessions, one for each of two processes
	@$(BIN)/pytest tests/spark -n 2 --dist loadfile

cluster: .venv/.ready  ## a standalone cluster, YARN, GPUs as resources: executors without the checkout (15 minutes, 40 MB of jars)
	@$(BIN)/pytest tests/cluster

coverage: .venv/.ready  ## branches of src/ that the tests without a JVM take, file by file (15 minutes)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest tests/unit -n 2
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage json --quiet -o .coverage.json
	@$(BIN)/python tests/coverage_of_files.py .coverage.json

faults: .venv/.ready  ## kills at named points and at random times (long)
	@$(BIN)/pytest tests/faults

e2e: .venv/.ready  ## the real commands, in a temporary copy
	@$(BIN)/pytest tests/e2e -n 2 --dist loadfile

s3: .venv/.ready .venv/share/batchinfer/moto/.ready  ## s3a:// against a local S3 server; downloads 640 MB first (1.3 GB in .venv), so no part of test
	@$(BIN)/pytest tests/s3

service: .venv/.ready .venv/share/batchinfer/schemathesis/.ready .venv/share/batchinfer/moto/.ready .venv/share/batchinfer/valkey/.ready  ## lookups over HTTP with Schemathesis, online stores on real servers: Redis and PostgreSQL of the system's packages, Valkey, an emulator of DynamoDB (ten minutes)
	@$(BIN)/pytest tests/service tests/stores -rs

deploy: .venv/.ready .venv/share/batchinfer/airflow/.ready  ## the image's steps in a bare folder, Airflow, spark-submit for Kubernetes (ten minutes on two free cores)
	@$(BIN)/pytest tests/deploy

models: .venv/.ready .venv/share/batchinfer/boosting/.ready  ## XGBoost, LightGBM, CatBoost against our reading of their files; then the table of docs/models.md (five minutes)
	@.venv/share/batchinfer/boosting/bin/python -m pytest tests/boosting
	@PYTHONPATH=$(CURDIR)/tests .venv/share/batchinfer/boosting/bin/python -m boosting.table

collectors: .venv/.ready .venv/share/batchinfer/otelcol/collector  ## runs told to OpenTelemetry's own collector (Go builds it, minutes), the node exporter and promtool where they are
	@$(BIN)/pytest tests/collectors -rs

docs: .venv/.ready  ## writes the pages of docs/ that say what the code says, and the JSON Schema of a pipeline file (seconds)
	@PYTHONPATH=$(CURDIR)/tests $(BIN)/python -m reference_pages

expectations: .venv/.ready  ## writes docs/expectations.md: what every expectation says of rows that fit, that do not, nulls and NaN (two minutes)
	@PYTHONPATH=$(CURDIR)/tests $(BIN)/python -m spark.expectation_table

gpu: .venv/.ready  ## the engine on a CUDA GPU, memory and context lost; without a GPU all of it skips, so no part of test
	@$(BIN)/pytest tests/gpu -rs

bench: .venv/.ready  ## this engine against a bare PyTorch loop, Spark's own ways and what bench-setup installed (an hour)
	@$(BIN)/python -m benchmarks.engine tabular --repeats 1
	@$(BIN)/python -m benchmarks.engine text --repeats 1
	@$(BIN)/python -m benchmarks.engine image --repeats 1

bench-setup: .venv/.ready .venv/share/batchinfer/peers/.ready  ## Ray Data and Daft for bench, in an environment of their own

bench-trees: .venv/.ready .venv/share/batchinfer/boosting/.ready  ## 500 trees of XGBoost: this engine against the library alone and mlflow's spark_udf (ten minutes)
	@.venv/share/batchinfer/boosting/bin/python -m benchmarks.engine trees --repeats 1

bench-gpu: .venv/.ready  ## the engine, without Spark, against a bare loop on a CUDA GPU (four minutes)
	@$(BIN)/python -m benchmarks.gpu

bench-scale: .venv/.ready  ## `score` at 1, 5 and 20 million rows, and on one row
	@$(BIN)/python -m benchmarks.scale

bench-scale-model: .venv/.ready  ## what breaks first at 10^9, 10^11 and 10^13 rows, if the measured runs are reproduced (seconds)
	@$(BIN)/python -m benchmarks.scale_model

bench-resume: .venv/.ready  ## `score` after a kill, and after one of thirty files has changed
	@$(BIN)/python -m benchmarks.resume

bench-duplicates: .venv/.ready  ## `score` on rows that stand ten times, with and without looking for them
	@$(BIN)/python -m benchmarks.duplicates

bench-incremental: .venv/.ready  ## `score` of a slice of which one row in a hundred has changed, against a run of all rows (half an hour)
	@$(BIN)/python -m benchmarks.incremental

bench-lookup: .venv/.ready  ## lookups in process and over HTTP, beside the bare library and bare FastAPI routes (wrk and redis-server have to be installed)
	@$(BIN)/python -m benchmarks.lookup
	@$(BIN)/python -m benchmarks.lookup_redis

bench-soak: .venv/.ready  ## ten minutes of lookups over HTTP while generations change: no answer may fail (wrk has to be installed)
	@$(BIN)/python -m benchmarks.soak --minutes 10

bench-extract: .venv/.ready  ## extraction against Spark's own readers; memory; bad records; tiny files
	@$(BIN)/python -m benchmarks.extract

bench-load: .venv/.ready  ## a million rows into Redis and PostgreSQL, against redis-cli --pipe and a bare COPY (five minutes)
	@$(BIN)/python -m benchmarks.load

bench-transforms: .venv/.ready  ## transforms against scikit-learn, hand-written Spark and pyspark.ml; one row in process
	@$(BIN)/python -m benchmarks.transforms

clean:  ## removes the environment and all local state
	rm -rf .venv var

# The interpreter and Java are looked at first: a wrong one should cost a second, not a download.
# Byte code is made once, at set-up: where it cannot be written later, every worker would compile PyTorch anew (half of its start).
.venv/.ready: requirements.lock pyproject.toml src/batchinfer/jars.lock
	@PYTHONPATH=src $(PYTHON) -m batchinfer.java
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo "installing the pinned packages (5 GB with torch and its CUDA libraries; a few minutes the first time)" >&2
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m batchinfer.install
	@touch $@

# The server has an environment of its own: what it needs is none of ours. Its jars come with the first command that needs them.
.venv/share/batchinfer/moto/.ready: tests/s3/requirements.lock | .venv/.ready
	@test -x $(@D)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --python $(@D)/bin/python --requirement $<
	@touch $@

# What asks the service whatever its OpenAPI document allows, and what it does not: none of it is ours.
.venv/share/batchinfer/schemathesis/.ready: tests/service/requirements.lock | .venv/.ready
	@test -x $(@D)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --python $(@D)/bin/python --requirement $<
	@touch $@

# A server alone: the client is ours.
.venv/share/batchinfer/valkey/.ready: tests/stores/requirements.lock | .venv/.ready
	@test -x $(@D)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --python $(@D)/bin/python --requirement $<
	@touch $@

# Nobody publishes it as a package that can be pinned by its hash; its modules can.
.venv/share/batchinfer/otelcol/collector: tests/collectors/otel/main.go tests/collectors/otel/go.mod tests/collectors/otel/go.sum | .venv/.ready
	@command -v go > /dev/null || { echo "make collectors: go is not on the PATH; install Go 1.26 or newer" >&2; exit 2; }
	@echo "building OpenTelemetry's collector (some minutes the first time)" >&2
	@mkdir -p $(@D)
	@cd tests/collectors/otel && go build -trimpath -o $(CURDIR)/$@ .

# Airflow has an environment of its own: it pins packages that are ours at other versions.
.venv/share/batchinfer/airflow/.ready: tests/deploy/requirements-airflow.lock | .venv/.ready
	@test -x $(@D)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --python $(@D)/bin/python --requirement $<
	@touch $@

# Other systems have their own packages; torch and what the benchmarks import is ours, behind theirs.
.venv/share/batchinfer/peers/.ready: benchmarks/peers/requirements.lock | .venv/.ready
	@test -x $(@D)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --python $(@D)/bin/python --requirement $<
	@$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $$($(@D)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/zz_ours.pth
	@touch $@

# The libraries of boosted trees alone; everything else is ours, behind them.
.venv/share/batchinfer/boosting/.ready: tests/boosting/requirements.lock | .venv/.ready
	@test -x $(@D)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --compile-bytecode --no-deps --require-hashes --python $(@D)/bin/python --requirement $<
	@$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'), '$(CURDIR)/src', sep='\n')" > $$($(@D)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/zz_ours.pth
	@touch $@
