#!/bin/sh
# Help, versions, unknown commands, and the names of Caffe's own programs.
. "$(dirname "$0")/t.sh"

commands="explain check run classify train test time convert data upgrade draw layers device_query"

run --version
expect version 0
out version "moka 0.1"
run
expect "no command" 2
out "no command" "usage: moka COMMAND"
run --help
expect help 0
for c in $commands; do
	out "help lists $c" "  $c "
done
run help
expect "help as a command" 0
for c in $commands; do
	run "$c" --help
	expect "$c --help" 0
	out "$c --help" "usage: moka $c"
	no_err "$c --help is a result" "usage"
	cp "$tmp/out" "$tmp/first"
	run help "$c"
	same "help $c is $c --help" "$tmp/first" "$tmp/out"
	run "$c" -h
	same "$c -h" "$tmp/first" "$tmp/out"
	# No line of help is wider than a wide terminal.
	if awk 'length > 140 { exit 1 }' "$tmp/first"; then good; else bad "$c --help" "a line over 140 columns"; fi
done
run help data images
expect "help of a command's command" 0
out "help of a command's command" "usage: moka data images"
run help nonsense
expect "help of nothing" 2

run explian x.prototxt
expect "unknown command" 2
err "unknown command" "did you mean 'explain'?"
run qqqqqq
expect "unknown command, far from any" 2
no_err "unknown command, far from any" "did you mean"
run --frobnicate
expect "an option before the command" 2
run data imagse
expect "unknown command of a command" 2
err "unknown command of a command" "did you mean 'images'?"
run data
expect "which command?" 2

# Through links.
ln -s "$MOKA" "$tmp/caffe"
"$tmp/caffe" >"$tmp/out" 2>"$tmp/err"
status=$?
expect "caffe alone" 2
out "caffe alone" "usage: caffe COMMAND"
no_out "caffe has caffe's commands only" "explain  "
for c in train test time device_query; do
	"$tmp/caffe" $c --help >"$tmp/out" 2>"$tmp/err"
	status=$?
	expect "caffe $c --help" 0
	out "caffe $c --help" "usage: caffe $c"
done
"$tmp/caffe" explain x >"$tmp/out" 2>"$tmp/err"
status=$?
expect "caffe explain" 2
"$tmp/caffe" device_query -gpu 0 >"$tmp/out" 2>"$tmp/err"
status=$?
expect "caffe device_query -gpu 0" 0
for p in convert_imageset convert_mnist_data convert_cifar_data compute_image_mean upgrade_net_proto_text upgrade_net_proto_binary \
	upgrade_solver_proto_text; do
	ln -s "$MOKA" "$tmp/$p"
	"$tmp/$p" --help >"$tmp/out" 2>"$tmp/err"
	status=$?
	expect "$p --help" 0
	"$tmp/$p" >"$tmp/out" 2>"$tmp/err"
	status=$?
	expect "$p without words" 2
done

# Results that can't be written are said.
if [ -w /dev/full ]; then
	"$MOKA" --help >/dev/full 2>"$tmp/err"
	status=$?
	expect "help on a full disk" 1
	err "help on a full disk" "No space left"
	"$MOKA" layers >/dev/full 2>"$tmp/err"
	status=$?
	expect "layers on a full disk" 1
else
	skip "full disk" "no /dev/full"
fi
# A reader that has seen enough is no error.
"$MOKA" layers 2>"$tmp/err" | head -1 >"$tmp/out"
no_err "layers | head" "error"
finish
