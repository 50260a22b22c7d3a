#!/usr/bin/env bash
# Install the wheel of `make dist` as users do, and try it: check.sh VENV.
#
# Dependencies are those of VENV: they are 6 GB, and `make install` has shown that they install.
# First into an empty environment; then, where root may set one up with debootstrap, by the steps
# of the Dockerfile into a plain Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

deps=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
wheel=$(ls dist/geoseg-*.whl)
work=$(mktemp -d)
root=$work/debian

clean_up() {
    for each in deps proc sys; do
        if mountpoint -q "$root/$each"; then umount "$root/$each" || return 0; fi
    done # nothing is removed while the dependencies are still mounted in it
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT

echo "== $wheel in an empty environment"
"$1/bin/python" -m venv "$work/venv"
site=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-index "$wheel"
echo "$deps" >"$site/dependencies.pth"
mkdir "$work/first"
(cd "$work/first" && PATH="$work/venv/bin:$PATH" sh "$OLDPWD/release/try.sh" "$OLDPWD/sample_data")

echo "== the Dockerfile's steps in a plain Debian"
minor=$("$1/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ "$minor" != 3.11 ]; then
    echo "left out: Debian 12 has Python 3.11, the dependencies are for $minor"
    exit
fi
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
    echo "left out: needs root and debootstrap"
    exit
fi
if ! timeout 600 debootstrap --variant=minbase bookworm "$root" >"$work/debootstrap.log" 2>&1; then
    echo "left out: no Debian could be set up ($(tail -n 1 "$work/debootstrap.log"))"
    exit
fi
mkdir -p "$root/deps" "$root/src" "$root/data"
cp -r release sample_data constraints.txt "$wheel" "$root/src/"
cp /etc/resolv.conf "$root/etc/"
if ! { mount --bind "$deps" "$root/deps" && mount -o remount,ro,bind "$root/deps" &&
    mount -t proc proc "$root/proc" && mount -t sysfs -o ro sysfs "$root/sys"; }; then
    echo "left out: folders may not be mounted here"
    exit
fi
chroot "$root" sh /src/release/install.sh "/src/$(basename "$wheel")" --no-deps --no-index
echo /deps >"$root/opt/geoseg/lib/python3.11/site-packages/dependencies.pth"
chroot "$root" env -i PATH=/opt/geoseg/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/root \
    sh -c 'cd /data && sh /src/release/try.sh /src/sample_data'
