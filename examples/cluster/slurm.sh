#!/bin/bash
# A large orthophoto in parts, one for each task of an array job; a last job joins them.
#
#     examples/cluster/slurm.sh --submit 8 MODEL ORTHO MAP.tif
#
# submits both. After a failure the same line goes on where it was.
#SBATCH --job-name=geoseg
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -euo pipefail

case $1 in
--submit)
    count=$2
    shift 2
    job=$(sbatch --parsable --array="1-$count" "$0" "$@")
    sbatch --dependency="afterok:$job" --kill-on-invalid-dep=yes "$0" --join "$3"
    ;;
--join)
    geoseg mosaic --parts "${2%.tif}_parts" -o "$2" --overwrite
    ;;
*)
    export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
    geoseg predict "$1" "$2" -o "${3%.tif}_parts" --part auto --resume
    ;;
esac
