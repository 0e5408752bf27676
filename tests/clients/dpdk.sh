#!/bin/sh
# SPDX-License-Identifier: MIT
# DPDK's own test of DMA devices, on the emulated I/OAT, in group mode. No group of its tests may be skipped.
. "$(dirname "$0")/lib.sh"
need dpdk-test

dmadev()
{
	echo dmadev_autotest | timeout 900 "$uvfio" run -q -- dpdk-test --no-huge -m 512 --iova-mode=va --no-telemetry \
		-a 0000:01:00.0 > "$tmp/out" 2>&1
	# it redraws a counter line thousands of times
	tr '\r' '\n' < "$tmp/out" | grep -v 'Ops completed' | tail -n 60
	grep -q '^Test OK' "$tmp/out"
}
check dpdk-dmadev_autotest dmadev
check dpdk-copies grep -q 'Running copy Tests' "$tmp/out"
check dpdk-burst-capacity grep -q 'Running burst capacity Tests' "$tmp/out"
check dpdk-error-handling grep -q 'Running error handling Tests' "$tmp/out"
check dpdk-fill grep -q 'Running fill Tests' "$tmp/out"
check dpdk-nothing-skipped sh -c "! tr '\r' '\n' < $tmp/out | grep -i 'skipping' | grep -q 0000:01:00.0"
finish
