#!/bin/sh
# Tells Spark which GPUs an executor has (spark.executor.resource.gpu.discoveryScript): one JSON object on standard output.
# The numbers are those of nvidia-smi, which are PyTorch's unless CUDA_VISIBLE_DEVICES says otherwise.
found=$(nvidia-smi --query-gpu=index --format=csv,noheader) || {
  echo "gpus.sh: nvidia-smi failed; does this machine have a GPU, its driver, and (in a container) NVIDIA's toolkit?" >&2
  exit 1
}
printf '{"name": "gpu", "addresses": [%s]}\n' "$(printf '%s' "$found" | sed 's/ //g; s/.*/"&"/' | paste -sd, -)"
