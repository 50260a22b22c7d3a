#!/bin/sh
# Install geoseg into /opt/geoseg on a plain Debian, as root: sh install.sh WHAT [options of pip].
# WHAT is the source folder or a wheel. Without options, torch is the build for CPUs.
set -eu

what=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1

apt-get update -qq
apt-get install -y -qq --no-install-recommends ca-certificates python3 python3-venv
rm -rf /var/lib/apt/lists/*

python3 -m venv /opt/geoseg
[ $# -gt 0 ] || set -- --extra-index-url https://download.pytorch.org/whl/cpu \
    --constraint "$here/../constraints.txt"
/opt/geoseg/bin/pip install --quiet --no-cache-dir "$@" "$what"
