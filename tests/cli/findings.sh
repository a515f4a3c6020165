#!/bin/sh
# Every kind of finding, word for word: tests/golden/findings/NAME.prototxt says in its first lines how it is run
# (`# first: WORDS` to make ready, `# run: WORDS`; else `check NAME.prototxt`), NAME.txt what it gives. `findings.sh --update` rewrites
# them: read the difference before it is kept.
update=
[ "${1:-}" = --update ] && update=1 && shift
. "$(dirname "$0")/t.sh"

golden=$root/tests/golden/findings
cp "$golden"/* "$tmp/" 2>/dev/null
mkdir -p "$tmp/got"
cd "$tmp" || exit 1
for f in "$golden"/*.prototxt; do
	name=$(basename "$f" .prototxt)
	sed -n 's/^# first: //p' "$f" | while read -r words; do
		# shellcheck disable=SC2086
		"$MOKA" $words >/dev/null 2>&1
	done
	words=$(sed -n 's/^# run: //p' "$f")
	# shellcheck disable=SC2086
	run ${words:-check "$name.prototxt"}
	{
		cat out
		[ -s out ] && [ -s err ] && echo "--- standard error"
		cat err
		echo "--- exit $status"
	} >"got/$name.txt"
	if [ -n "$update" ]; then
		cp "got/$name.txt" "$golden/$name.txt"
	elif cmp -s "got/$name.txt" "$golden/$name.txt"; then
		good
	else
		: >out
		: >err
		bad "$name" "not as in tests/golden/findings/$name.txt:"
		diff "$golden/$name.txt" "got/$name.txt" | sed 's/^/    /' | head -20
	fi
done
finish
