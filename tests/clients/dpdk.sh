#!/bin/sh
# SPDX-License-Identifier: MIT
# DPDK's own test of DMA devices, on the emulated I/OAT and DSA, in group mode. No group of its tests may be skipped.
# And its network driver on the emulated 82576: a port with an address and a link, which sends.
. "$(dirname "$0")/lib.sh"
need dpdk-test dpdk-testpmd

# dmadev [OPTION...]: on 0000:01:00.0 of the default machine, or of the options'
dmadev()
{
	echo dmadev_autotest | timeout 900 "$uvfio" run -q "$@" -- dpdk-test --no-huge -m 512 --iova-mode=va --no-telemetry \
		-a 0000:01:00.0 > "$tmp/out" 2>&1
	# it redraws a counter line thousands of times
	tr '\r' '\n' < "$tmp/out" | grep -v 'Ops completed' | tail -n 60
	grep -q '^Test OK' "$tmp/out"
}

# groups PREFIX: which tests it has run
groups()
{
	check "$1-copies" grep -q 'Running copy Tests' "$tmp/out"
	check "$1-burst-capacity" grep -q 'Running burst capacity Tests' "$tmp/out"
	check "$1-error-handling" grep -q 'Running error handling Tests' "$tmp/out"
	check "$1-fill" grep -q 'Running fill Tests' "$tmp/out"
	check "$1-nothing-skipped" sh -c "! tr '\r' '\n' < $tmp/out | grep -i 'skipping' | grep -q 0000:01:00.0"
}

check dpdk-dmadev_autotest dmadev
groups dpdk
check dpdk-dsa-dmadev_autotest dmadev -m "$here/../../examples/machines/dsa.yaml"
groups dpdk-dsa

port()
{
	printf 'show port info 0\nstart tx_first 4\nstop\nshow port stats 0\nquit\n' |
		timeout 300 "$uvfio" run -q -m "$here/../../examples/machines/nic.yaml" -- dpdk-testpmd --no-huge -m 512 \
			--iova-mode=va --no-telemetry -a 0000:01:00.0 -- -i --total-num-mbufs=4096 > "$tmp/port" 2>&1
}
check dpdk-port port
check dpdk-port-driver grep -q 'Driver name: net_e1000_igb' "$tmp/port"
check dpdk-port-address grep -q 'MAC address: 02:00:00:00:10:C9' "$tmp/port"
check dpdk-port-link grep -q 'Link status: up' "$tmp/port"
check dpdk-port-sent grep -q 'TX-packets: 128 .*TX-bytes:  8192' "$tmp/port"
finish
