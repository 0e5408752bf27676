#!/bin/sh
# SPDX-License-Identifier: MIT
# QEMU passes the edu through to a guest; the guest reads its identity, does DMA both ways and takes an MSI.
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64

timeout 300 "$uvfio" run -q -- qemu-system-x86_64 -machine q35 -accel tcg -m 64 -display none -no-reboot \
	-kernel "$build/guest.elf" -device vfio-pci,host=0000:00:03.0,addr=05.0 \
	-debugcon "file:$tmp/console" -device isa-debug-exit,iobase=0xf4,iosize=4 > "$tmp/qemu" 2>&1
status=$?
cat "$tmp/console"
# isa-debug-exit makes 2n + 1 of what the guest says
check qemu-ends-well test $status -eq 1
check qemu-all-said test "$(grep -c '^ok - guest' "$tmp/console")" -eq 8
sed 's/^/# /' "$tmp/qemu"
finish
