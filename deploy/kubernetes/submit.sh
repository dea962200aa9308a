#!/usr/bin/env bash
# Runs a job of the image on Kubernetes with Spark alone, without the operator: driver and executors are pods.
#
#   deploy/kubernetes/submit.sh https://10.0.0.1:6443 registry.example.com/batchinfer:0.1.0-cpu \
#     jobs/backfill.py --pipeline income --from 2026-11-01 --to 2026-11-21 [--spark --conf spark.executor.instances=8 …]
#
# Nothing is shipped: package, jobs and conf/ are those of the image. Needs kubectl's rights to create pods in the namespace, and
# deploy/kubernetes/rights.yaml applied. What follows --spark goes to spark-submit as it is.
#
# spark-submit ends with 0 once the driver's pod has ended, whatever its end was. The run's exit code is the pod's:
#   kubectl -n batchinfer get pod POD -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}'
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 3 ] || [[ $3 != jobs/*.py ]]; then
  echo "usage: submit.sh API-SERVER IMAGE jobs/JOB.py [arguments of the job] [--spark arguments of spark-submit]" >&2
  exit 2
fi
server=$1 image=$2 job=$3
shift 3
arguments=() spark=()
while [ $# -gt 0 ] && [ "$1" != --spark ]; do
  arguments+=("$1")
  shift
done
[ $# -eq 0 ] || spark=("${@:2}")
submit=$here/../../.venv/bin/spark-submit
[ -x "$submit" ] || submit=spark-submit
exec "$submit" --master "k8s://$server" --deploy-mode cluster --name "batchinfer-$(basename "$job" .py)" \
  --properties-file "$here/spark.properties" \
  --conf "spark.kubernetes.container.image=$image" \
  --conf "spark.kubernetes.driver.podTemplateFile=$here/pod.yaml" \
  --conf "spark.kubernetes.executor.podTemplateFile=$here/pod.yaml" \
  "${spark[@]}" "local:///opt/batchinfer/$job" "${arguments[@]}" --env kubernetes
