#!/bin/sh
# SPDX-License-Identifier: MIT
# QEMU passes the edu through to a guest; the guest reads its identity, does DMA both ways and takes an MSI. Through the
# group and through iommufd; the second with a QEMU that can (8.2 and later): $UVFIO_QEMU, or what tools/backports-qemu
# has put beside the build.
. "$(dirname "$0")/lib.sh"
qemu=qemu-system-x86_64
need "$qemu"

# passed RUN OPTIONS...: one run of the guest
passed()
{
	run=$1
	shift
	timeout 300 "$uvfio" run -q -- "$qemu" -machine q35 -accel tcg -m 64 -display none -no-reboot -kernel "$build/guest.elf" \
		"$@" -debugcon "file:$tmp/console" -device isa-debug-exit,iobase=0xf4,iosize=4 > "$tmp/qemu" 2>&1
	status=$?
	cat "$tmp/console"
	# isa-debug-exit makes 2n + 1 of what the guest says
	check "$run-ends-well" test $status -eq 1
	check "$run-all-said" test "$(grep -c '^ok - guest' "$tmp/console")" -eq 8
	sed 's/^/# /' "$tmp/qemu"
}

passed qemu -device vfio-pci,host=0000:00:03.0,addr=05.0
qemu=${UVFIO_QEMU:-$build/../../backports-qemu/qemu}
[ -x "$qemu" ] || qemu=qemu-system-x86_64
if "$qemu" -object help | grep -q iommufd; then
	passed qemu-iommufd -object iommufd,id=i0 -device vfio-pci,host=0000:00:03.0,addr=05.0,iommufd=i0
else
	echo "skip qemu-iommufd: this QEMU has no iommufd"
fi
finish
