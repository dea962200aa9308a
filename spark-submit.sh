#!/usr/bin/env bash
# Runs a job through Spark's own spark-submit, with the settings of the environment.
#
#   ./spark-submit.sh jobs/score.py --pipeline income --slice 2026-11-21 [--spark --num-executors 8 …]
#
# SPARK_MASTER      master URL, in place of the environment's
# SPARK_CONF_FILE   a properties file for spark-submit; the environment's own settings win over it
# BATCHINFER_ENV    local (default), cluster, …; also --env NAME among the job's arguments
# What follows --spark goes to spark-submit as it is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ ! -x "$here/.venv/bin/python" ]; then
  echo "batchinfer: $here/.venv is not there. Hint: make setup" >&2
  exit 2
fi
if [ $# -eq 0 ] || [[ $1 == -* ]]; then
  echo "usage: ./spark-submit.sh jobs/JOB.py [arguments of the job] [--spark arguments of spark-submit]" >&2
  exit 2
fi
exec "$here/.venv/bin/python" -m batchinfer.submit "$@"
