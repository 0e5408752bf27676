#!/bin/sh
# SPDX-License-Identifier: MIT
# DPDK with physical addresses, on a DMA engine without IOMMU. It takes huge pages and the rights of root.
. "$(dirname "$0")/lib.sh"
need dpdk-test
pages=/proc/sys/vm/nr_hugepages
before=$(cat $pages)
restore()
{
	echo "$before" > $pages
	rm -rf "$tmp"
}
if ! { echo $((before + 80)) > $pages; } 2> /dev/null; then
	echo "skip: huge pages cannot be had here"
	exit 77
fi
trap restore EXIT
if [ "$(grep HugePages_Free /proc/meminfo | tr -dc 0-9)" -lt 80 ]; then
	echo "skip: not enough memory for huge pages"
	exit 77
fi

dmadev()
{
	echo dmadev_autotest | timeout 900 "$uvfio" run -q -m "$here/../../examples/machines/dpdk-noiommu.yaml" -- \
		dpdk-test --in-memory -m 128 --iova-mode=pa --no-telemetry -a 0000:01:00.0 > "$tmp/out" 2>&1
	tr '\r' '\n' < "$tmp/out" | grep -v 'Ops completed' | tail -n 60
	grep -q '^Test OK' "$tmp/out"
}
check noiommu-dmadev_autotest dmadev
check noiommu-iova-pa grep -q "Selected IOVA mode 'PA'" "$tmp/out"
check noiommu-type-8 grep -q 'Using IOMMU type 8' "$tmp/out"
check noiommu-copies grep -q 'Running copy Tests' "$tmp/out"
check noiommu-fill grep -q 'Running fill Tests' "$tmp/out"
finish
