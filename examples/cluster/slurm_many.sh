#!/bin/bash
# Many orthophotos: each task of an array job takes every n-th line of a list.
#
#     sbatch --array=1-8 examples/cluster/slurm_many.sh MODEL ORTHOS.txt MAPS
#
# Submitted again, it goes on where it was. The maps of a task are in a folder of its own,
# MAPS/1, so that each has its own record of failures.
#SBATCH --job-name=geoseg
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -euo pipefail

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
own=$(mktemp --suffix=.txt)
trap 'rm -f "$own"' EXIT
split --number="r/$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" "$2" > "$own"
geoseg predict "$1" "@$own" -o "$3/$SLURM_ARRAY_TASK_ID" --resume
