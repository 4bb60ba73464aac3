#!/bin/bash
# An archive by a Slurm array of 64 jobs, each of which embeds its part: sbatch examples/archive/slurm.sh
# Everything lies on a file system that all nodes share. When all are done, build the index:
#   sbatch --dependency=afterany:JOB --wrap "alta archive optimize $ARCHIVE"
#SBATCH --array=0-63
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail
: "${SOURCE:=/shared/studies}" "${ENGINE:=/shared/chest.alta}" "${ARCHIVE:=/shared/studies.lance}"
export ALTA_SITE_KEY="${ALTA_SITE_KEY:-/shared/alta-site.key}"
code=0
alta embed "$SOURCE" --engine "$ENGINE" --out "$ARCHIVE" --workers "${SLURM_CPUS_PER_TASK:-1}" \
  --shard "${SLURM_ARRAY_TASK_ID:-0}/${SLURM_ARRAY_TASK_COUNT:-1}" ${MORE:-} || code=$?
# 1 with studies that could not be read: alta archive status counts them. Anything else is a failure of the job.
if [ "$code" -eq 1 ] && alta archive status "$ARCHIVE" >/dev/null; then code=0; fi
exit "$code"
