# t.sh - a few words for tests of the command line, read by each of them with `.`.
#
#   run WORDS...            runs moka: $status, $tmp/out, $tmp/err
#   expect NAME STATUS      that status, and no crash
#   out|err NAME TEXT       standard output (error) holds TEXT
#   no_out|no_err NAME TEXT
#   finish                  the one line at the end
#
# MOKA is the program; it is set by Meson, or the first argument.
set -u
MOKA=${MOKA:-${1:?usage: MOKA=path/to/moka $0}}
here=$(cd "$(dirname "$0")" && pwd)
root=${MOKA_SOURCE_ROOT:-$(cd "$here/../.." && pwd)}
shared=${MOKA_SHARED:-$root/../shared}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0
unset COLUMNS NO_COLOR
LC_ALL=C.UTF-8
export LC_ALL

good() {
	passed=$((passed + 1))
}

bad() { # NAME WHY
	failed=$((failed + 1))
	printf 'FAILED %s: %s\n' "$1" "$2"
	[ -s "$tmp/out" ] && sed 's/^/    out: /' "$tmp/out" | head -20
	[ -s "$tmp/err" ] && sed 's/^/    err: /' "$tmp/err" | head -20
}

skip() { # NAME WHY
	skipped=$((skipped + 1))
	printf 'skipped %s: %s\n' "$1" "$2"
}

# A sanitizer's report ends with an innocent status: look for its words. 124: it hung. $cap kilobytes of address space, where set (a
# sanitizer needs terabytes: not then).
run() {
	if [ -n "${cap:-}" ]; then
		(
			ulimit -v "$cap"
			exec timeout "${limit:-60}" "$MOKA" "$@"
		) >"$tmp/out" 2>"$tmp/err" </dev/null
	else
		timeout "${limit:-60}" "$MOKA" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	fi
	status=$?
	if grep -qE 'Sanitizer|runtime error:' "$tmp/err"; then
		status=99
	fi
}

expect() {
	if [ "$status" = "$2" ]; then good; else bad "$1" "exit status $status, $2 wanted"; fi
}

holds() { # FILE TEXT
	grep -qF -e "$2" "$1"
}

out() { if holds "$tmp/out" "$2"; then good; else bad "$1" "output lacks '$2'"; fi; }
err() { if holds "$tmp/err" "$2"; then good; else bad "$1" "standard error lacks '$2'"; fi; }
no_out() { if holds "$tmp/out" "$2"; then bad "$1" "output has '$2'"; else good; fi; }
no_err() { if holds "$tmp/err" "$2"; then bad "$1" "standard error has '$2'"; else good; fi; }
same() { # NAME FILE FILE
	if cmp -s "$2" "$3"; then good; else bad "$1" "$2 and $3 differ"; fi
}
file() { # NAME FILE: it is there and has bytes
	if [ -s "$2" ]; then good; else bad "$1" "no $2"; fi
}

# An .npy file of zeros: npy FILE "(1, 3)" BYTES; what the header says need not be what there is.
npy() {
	{
		printf '\223NUMPY\001\000\166\000'
		printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': $2, }"
		head -c "$3" /dev/zero
	} >"$1"
}

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
	exit
}
