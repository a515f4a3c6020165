#!/bin/sh
# A solver names its net as its author's working folder had it: from here, beside the solver, or from a folder above it. And a solver
# whose net is nowhere is explained all the same.
. "$(dirname "$0")/t.sh"
cd "$tmp" || exit 1
mkdir -p project/examples/small elsewhere
cat >project/examples/small/net.prototxt <<'END'
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "named_so" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 } }
END
for net in net.prototxt small/net.prototxt examples/small/net.prototxt project/examples/small/net.prototxt; do
	printf 'net: "%s"\nbase_lr: 0.01\nlr_policy: "step"\ngamma: 0.1\nstepsize: 100\nmax_iter: 300\n' "$net" \
		>project/examples/small/solver.prototxt
	run explain project/examples/small/solver.prototxt
	expect "net: $net" 0
	out "net: $net" "named_so"
	out "net: $net" "every 100"
done
cd elsewhere || exit 1
run explain ../project/examples/small/solver.prototxt
expect "from another folder" 0
out "from another folder" "named_so"
cd "$tmp" || exit 1

sed 's/^net: .*/net: "nowhere\/else.prototxt"/' project/examples/small/solver.prototxt >lonely.prototxt
run explain lonely.prototxt
expect "a net that is nowhere" 1
out "a net that is nowhere: the schedule" "every 100"
out "a net that is nowhere: the rate at the end" "1e-05"
out "a net that is nowhere: the finding" "the solver's net 'nowhere/else.prototxt' is neither here, nor beside the solver"
run explain lonely.prototxt -o schedule.txt
expect "to a file" 1
file "to a file" schedule.txt
run explain lonely.prototxt --format json
expect "JSON has no net to hold" 1
err "JSON has no net to hold" "nowhere/else.prototxt"
finish
