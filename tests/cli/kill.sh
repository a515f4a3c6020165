#!/bin/sh
# Killed at any moment while it writes snapshots: whatever has a snapshot's name is whole, and the run goes on from the newest to the
# same end as one that was never killed.
. "$(dirname "$0")/t.sh"
cd "$tmp" || exit 1

cat >solver.prototxt <<'END'
net_param { name: "killed"
  layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 8 dim: 300 } shape { dim: 8 dim: 20 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" min: 0 max: 1 } } }
  layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 300 weight_filler { type: "xavier" } } }
  layer { name: "d" type: "Dropout" bottom: "a" top: "a" }
  layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 20 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "loss" } }
base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 random_seed: 3
snapshot: 1 snapshot_prefix: "s" display: 0
END
max=60
set -- train --solver solver.prototxt --max-iter $max --threads 1 --keep-last 3

newest() {
	ls | sed -n 's/^s_iter_\([0-9]*\)\.solverstate$/\1/p' | sort -n | tail -1
}

# never killed
run "$@"
expect "unbroken" 0
mkdir whole && mv s_iter_$max.* whole/ && rm -f s_iter_*

kills=0
at=
for delay in 02 05 03 08 04 06 01 07 03 05 02 09 04 06 03 05; do
	from=
	[ -n "$at" ] && from="--snapshot s_iter_$at.solverstate"
	# shellcheck disable=SC2086
	"$MOKA" "$@" $from >out 2>err </dev/null &
	pid=$!
	sleep 0.$delay
	if kill -9 $pid 2>/dev/null; then
		kills=$((kills + 1))
	fi
	wait $pid 2>/dev/null
	if grep -qE 'Sanitizer|runtime error:' err; then
		bad "killed" "a sanitizer's report"
	fi
	before=$at
	at=$(newest)
	if [ "${at:-0}" -lt "${before:-0}" ]; then
		bad "killed" "iteration ${at:-none} after $before"
	fi
	# every state that is there can be gone on with, to the next iteration
	for state in s_iter_*.solverstate; do
		[ -e "$state" ] || continue
		i=${state#s_iter_}
		i=${i%.solverstate}
		mkdir probe
		sed 's/snapshot_prefix: "s"/snapshot_prefix: "probe\/s"/' solver.prototxt >probe.prototxt
		run train --solver probe.prototxt --snapshot "$state" --max-iter "$i" --threads 1
		expect "state $i after a kill" 0
		rm -rf probe
	done
	[ "$at" = $max ] && break
done
[ "$kills" -gt 0 ] && good || bad "killed" "it was never there to be killed"
from=
[ -n "$at" ] && from="--snapshot s_iter_$at.solverstate"
# shellcheck disable=SC2086
run "$@" $from
expect "to the end" 0
same "same weights as unbroken" whole/s_iter_$max.caffemodel s_iter_$max.caffemodel
same "same state as unbroken" whole/s_iter_$max.solverstate s_iter_$max.solverstate
finish
