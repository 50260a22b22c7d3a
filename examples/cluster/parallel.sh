#!/bin/bash
# A large orthophoto in parts by GNU parallel: on this machine, or on others over SSH.
#
#     examples/cluster/parallel.sh 8 MODEL ORTHO MAP.tif
#     examples/cluster/parallel.sh 8 MODEL ORTHO MAP.tif --sshloginfile hosts.txt --workdir .
#
# Machines need geoseg, and the files under the same paths. After a failure the same line goes on.
set -euo pipefail

count=$1 model=$2 ortho=$3 map=$4
shift 4
parts="${map%.tif}_parts"
seq "$count" | parallel --jobs "${JOBS:-1}" --retries 2 --halt soon,fail=1 "$@" \
    geoseg predict "$model" "$ortho" -o "$parts" --part "{}/$count" --resume
geoseg mosaic --parts "$parts" -o "$map" --overwrite
