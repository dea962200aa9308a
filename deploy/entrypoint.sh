#!/usr/bin/env bash
# What the image starts: a driver or an executor that Spark on Kubernetes asks for, or any other command.
#
#   driver ARGUMENTS    spark-submit in client mode, with the address that Spark gave this pod
#   executor            one executor's JVM, made of the variables that the driver set for its pod
#   ANYTHING ELSE       run as it is: batchinfer score …, ./spark-submit.sh …, bash
#
# Names and meaning of the arguments and variables are Spark's. Source: apache/spark v4.1.1,
# resource-managers/kubernetes/core/src/main/scala/org/apache/spark/deploy/k8s/features/BasicExecutorFeatureStep.scala and Constants.scala.
# Every road ends in exec: the process gets the signals itself, and its exit code is the container's.
set -euo pipefail

if ! id -un >/dev/null 2>&1; then
  echo "entrypoint: got user $(id -u), who has no name in /etc/passwd; allowed: 185 (Hadoop asks for the name)." >&2
  echo "Hint: runAsUser: 185 in the pod" >&2
  exit 2
fi

# Settings that Spark mounts, and those of Hadoop, come before what Spark's jars bring.
classpath="${SPARK_CONF_DIR:-$SPARK_HOME/conf}:${HADOOP_CONF_DIR:+$HADOOP_CONF_DIR:}$SPARK_HOME/jars/*${SPARK_EXTRA_CLASSPATH:+:$SPARK_EXTRA_CLASSPATH}"

start_executor() {
  # SPARK_JAVA_OPT_0, SPARK_JAVA_OPT_1 …: an option each, which may hold spaces.
  local options=() place=0 name
  while name="SPARK_JAVA_OPT_$place" && [ -n "${!name+set}" ]; do
    options+=("${!name}")
    place=$((place + 1))
  done
  exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "$classpath" org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" \
    --executor-id "$SPARK_EXECUTOR_ID" \
    --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" \
    --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
    --podName "$SPARK_EXECUTOR_POD_NAME"
}

case "${1:-}" in
  driver)
    shift
    exec "$SPARK_HOME/bin/spark-submit" --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" --deploy-mode client "$@"
    ;;
  executor) start_executor ;;
  "") exec batchinfer --help ;;
  *) exec "$@" ;;
esac
