# What every example begins with: sourced by its run.sh, from the example's own folder.
# Sets $moka (MOKA= names another), $example, $pictures; makes demo/<example> and goes there.
set -eu
example=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$example/../.." && pwd)
moka=${MOKA:-$root/build/moka}
pictures=/usr/share/datasets/fashion-mnist
name=$(basename "$example")
mkdir -p "$root/demo/$name"
cd "$root/demo/$name"

# fashion DATABASE train|t10k [options of `moka data mnist`]: made once.
fashion() {
	database=$1 stem=$2
	shift 2
	[ -d "$database" ] || "$moka" data mnist "$pictures/$stem-images-idx3-ubyte.gz" "$pictures/$stem-labels-idx1-ubyte.gz" -o "$database" "$@"
}
