#!/bin/sh
# SPDX-License-Identifier: MIT
# QEMU passes functions through to a guest (qemu/guest.h), which tries their registers, DMA, interrupts, ROM and resets, and
# is reset itself, a hot reset. Then guests that touch a BAR whose memory they have disabled. Through the group and through
# iommufd; the second with a QEMU that can (8.2 and later): $UVFIO_QEMU, or what tools/backports-qemu has put beside the build.
. "$(dirname "$0")/lib.sh"
qemu=qemu-system-x86_64
need "$qemu"
ulimit -c 0
files=$here/qemu
sed 's/^machine: qemu/&\nblocked_access: all-ones/' "$files/machine.yaml" > "$tmp/all-ones.yaml"

# guest WORD MACHINE QEMU-OPTIONS...: one run of a guest, told WORD; $via is "" or ",iommufd=i0"
guest()
{
	word=$1 machine=$2
	shift 2
	: > "$tmp/console"
	timeout 300 "$uvfio" run -m "$machine" -- "$qemu" -machine q35 -accel tcg -smp 2 -m 64 -display none \
		-kernel "$build/guest.elf" -append "guest $word" -debugcon "file:$tmp/console" \
		-device isa-debug-exit,iobase=0xf4,iosize=4 ${via:+-object iommufd,id=i0} \
		-device "vfio-pci,host=0000:00:03.0,addr=05.0$via" -device "vfio-pci,host=0000:01:00.0,addr=06.0$via" \
		-device "vfio-pci,host=0000:02:00.0,addr=07.0,multifunction=on$via" \
		-device "vfio-pci,host=0000:02:00.1,addr=07.1$via" "$@" > "$tmp/qemu" 2>&1
	status=$?
	cat "$tmp/console"
	sed 's/^/# /' "$tmp/qemu"
}

# lived NAME N: the guest has come to its end, and all its N checks were well (isa-debug-exit makes 2n + 1 of what it says)
lived()
{
	check "$1-ends-well" test $status -eq 1
	check "$1-all-said" test "$(grep -c '^ok - guest' "$tmp/console")" -eq "$2"
}

# told NAME WORDS ANSWER: the report says how the guest disabled memory, and what came of it
told()
{
	check "$1-reported" grep -q "^  pcitest 0000:01:00.0 load of 4 bytes at BAR 2 + 0x240 by qemu-system-x86 (pid " "$tmp/qemu"
	check "$1-why" grep -q "^    $2 by qemu-system-x86 (pid [0-9]*), which wrote .* before)$" "$tmp/qemu"
	check "$1-answer" grep -q "^uvfio: .* with memory disabled: $3" "$tmp/qemu"
}

# asleep NAME: QEMU before 10 leaves the BAR of a sleeping function where it is
asleep()
{
	guest asleep "$files/machine.yaml"
	if "$qemu" -version | grep -q 'version [0-9]\.'; then
		check "$1-killed" test $status -eq 135
		told "$1" "it was put into D3hot" SIGBUS
	else
		lived "$1" 3
	fi
	guest asleep "$tmp/all-ones.yaml"
	lived "$1-ones" 3
}

# all NAME
all()
{
	guest all "$files/machine.yaml" -trace 'vfio_pci_hot_reset_result'
	lived "$1" 37
	check "$1-hot-resets" grep -q '0000:02:00\.[01] hot reset: Success' "$tmp/qemu"
	guest command "$files/machine.yaml"
	lived "$1-command" 2
	guest racing "$files/machine.yaml"
	check "$1-racing-killed" test $status -eq 135
	told "$1-racing" "COMMAND.MEM was cleared" SIGBUS
	guest racing "$tmp/all-ones.yaml"
	lived "$1-racing-ones" 1
	told "$1-racing-ones" "COMMAND.MEM was cleared" "all ones"
	asleep "$1-asleep"
}

via=
all qemu
qemu=${UVFIO_QEMU:-$build/../../backports-qemu/qemu}
[ -x "$qemu" ] || qemu=qemu-system-x86_64
if "$qemu" -object help | grep -q iommufd; then
	via=,iommufd=i0
	all qemu-iommufd
else
	echo "skip qemu-iommufd: this QEMU has no iommufd"
fi
finish
