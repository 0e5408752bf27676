#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux's own selftests of VFIO, unmodified: those in the folder $UVFIO_SELFTESTS, or that tools/linux-selftests has built.
# Some of these programs are rows of docs/spec.
. "$(dirname "$0")/lib.sh"
bin=${UVFIO_SELFTESTS:-$build/../../linux-selftests/bin}
if [ ! -d "$bin" ]; then
	echo "skip: no selftests of Linux: tools/linux-selftests DIR, and UVFIO_SELFTESTS=DIR/bin"
	exit 77
fi

# passed ROWS PROGRAM BDF... (ROWS may be ""): it passes, and has skipped nothing but what asks for huge pages
passed()
{
	rows=$1 program=$2
	shift 2
	said='not ok'
	timeout 600 "$uvfio" run -q -m "$here/selftests.yaml" -- "$bin/$program" "$@" > "$tmp/out" 2>&1 &&
		grep -q '^# Totals: pass:[1-9]' "$tmp/out" && ! grep '# SKIP' "$tmp/out" | grep -qv hugetlb && said=ok
	echo "$said ${rows:+$rows - }$program: $(sed -n 's/^# Totals: //p' "$tmp/out")"
	[ "$said" = ok ] || { failed=1; tail -n 60 "$tmp/out" | sed 's/^/# /'; }
}

passed '20:SEL-01 20:SEL-02' vfio_pci_device_test 0000:02:00.0
passed 20:SEL-03 vfio_pci_sriov_uapi_test 0000:02:00.0
passed 20:SEL-04 vfio_pci_driver_test 0000:01:00.0
passed 20:SEL-05 vfio_pci_driver_test 0000:03:00.0
passed 20:SEL-06 vfio_pci_driver_test 0000:04:00.0
passed 20:SEL-07 vfio_dma_mapping_mmio_test 0000:02:00.0
passed 20:SEL-08 vfio_pci_device_init_perf_test 0000:00:03.0 0000:01:00.0 0000:02:00.0
passed "" vfio_iommufd_setup_test 0000:01:00.0
passed "" vfio_dma_mapping_test 0000:02:00.0
finish
