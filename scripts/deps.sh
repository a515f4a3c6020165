#!/bin/sh
# Installs the Debian packages that building, testing and the demo need, where they are missing.
# Asks apt only when something is missing; says what it can't do.
set -eu

packages="gcc clang clang-format libclang-rt-14-dev meson ninja-build pkg-config python3 make
 libhdf5-dev liblmdb-dev libleveldb-dev libjpeg-dev libpng-dev zlib1g-dev
 libcmocka-dev protobuf-compiler graphviz librsvg2-bin dataset-fashion-mnist"
# scripts/cross.sh: NEON's kernels, checked where no ARM is
[ "$(uname -m)" != x86_64 ] || packages="$packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"

missing=
for p in $packages; do
	state=$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true)
	[ "$state" = "install ok installed" ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing" >&2
sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps: run this as root, or install by hand: apt-get install$missing" >&2
		exit 1
	}
	sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
