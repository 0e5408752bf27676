#!/bin/sh
# SPDX-License-Identifier: MIT
# The tools people look at PCI devices with, and plain shell.
. "$(dirname "$0")/lib.sh"
need lspci

run()
{
	timeout 120 "$uvfio" run -q -- "$@"
}

# expect NAME TEXT COMMAND...: the command succeeds and prints TEXT
expect()
{
	name=$1 text=$2
	shift 2
	# shellcheck disable=SC2016
	check "$name" sh -c 'out=$("$@" 2>&1); s=$?; echo "$out"; [ $s -eq 0 ] && echo "$out" | grep -qF -- "$0"' "$text" "$@"
}

expect lspci-ioat '01:00.0' "$uvfio" run -q -- lspci -nn
expect lspci-ids '[1234:11e8]' "$uvfio" run -q -- lspci -nn
expect lspci-driver 'Kernel driver in use: vfio-pci' "$uvfio" run -q -- lspci -vvv -nn -s 01:00.0
expect lspci-msix 'MSI-X:' "$uvfio" run -q -- lspci -vvv -s 01:00.0
expect lspci-acs 'ACSCtl:' "$uvfio" run -q -- lspci -vvv -s 00:01.0
expect lspci-xxxx 'ff0: ' "$uvfio" run -q -- lspci -xxxx -s 01:00.0
expect setpci-word 0006 "$uvfio" run -q -- sh -c 'setpci -s 00:03.0 COMMAND=0006 && setpci -s 00:03.0 COMMAND'
expect setpci-seen '00: 34 12 e8 11 06 00' "$uvfio" run -q -- sh -c 'setpci -s 00:03.0 COMMAND=6 && lspci -xxxx -s 00:03.0'
expect setpci-capability 0080 "$uvfio" run -q -- setpci -s 00:03.0 CAP_MSI+2.w
check setpci-read-only run sh -c '
	was=$(setpci -s 00:03.0 VENDOR_ID) && setpci -s 00:03.0 VENDOR_ID=ffff && [ "$(setpci -s 00:03.0 VENDOR_ID)" = "$was" ]'
expect find-groups '/sys/kernel/iommu_groups/' "$uvfio" run -q -- find /sys/kernel/iommu_groups
expect find-device '0000:01:00.0' "$uvfio" run -q -- find /sys/kernel/iommu_groups
expect cat-vendor 0x8086 "$uvfio" run -q -- cat /sys/bus/pci/devices/0000:01:00.0/vendor
expect glob-cd 0000:01:00.0 "$uvfio" run -q -- sh -c 'cd /sys/bus/pci/devices && echo *'
expect cd-relative 0x1234 "$uvfio" run -q -- sh -c 'cd /sys/bus/pci/devices/0000:00:03.0 && cat vendor'
expect pwd /sys/bus/pci/devices "$uvfio" run -q -- sh -c 'cd /sys/bus/pci/devices && /bin/pwd'
expect readlink-group 'iommu_groups/' "$uvfio" run -q -- readlink /sys/bus/pci/devices/0000:01:00.0/iommu_group
expect realpath /sys/devices/pci0000:00/ "$uvfio" run -q -- realpath /sys/bus/pci/devices/0000:01:00.0
expect node 'crw-' "$uvfio" run -q -- ls -l /dev/vfio/vfio

# One machine for the whole tree: what one process writes the next one sees.
expect override-seen vfio-pci "$uvfio" run -q -- sh -c '
	echo vfio-pci > /sys/bus/pci/devices/0000:04:00.0/driver_override
	cat /sys/bus/pci/devices/0000:04:00.0/driver_override'
expect override-probe vfio-pci "$uvfio" run -q -- sh -c '
	echo vfio-pci > /sys/bus/pci/devices/0000:04:00.0/driver_override &&
	echo 0000:04:00.0 > /sys/bus/pci/drivers_probe &&
	basename $(readlink /sys/bus/pci/devices/0000:04:00.0/driver)'
expect errno-reaches-the-shell 'No such device' "$uvfio" run -q -- bash -c '
	! echo 0000:00:1e.7 > /sys/bus/pci/drivers/vfio-pci/bind'
expect failure-reaches-dash 'I/O error' "$uvfio" run -q -- dash -c '
	! echo 0000:00:1e.7 > /sys/bus/pci/drivers/vfio-pci/bind'
expect errno-in-bash 'Device or resource busy' "$uvfio" run -q -- bash -c '
	! echo 0000:01:00.0 > /sys/bus/pci/drivers/vfio-pci/bind'
expect tee 'No such device' "$uvfio" run -q -- sh -c '! echo nonsense | tee /sys/bus/pci/drivers/vfio-pci/unbind'
expect cat-into vfio-pci "$uvfio" run -q -- sh -c '
	printf vfio-pci > /tmp/uvfio-word.$$ && cat /tmp/uvfio-word.$$ > /sys/bus/pci/devices/0000:04:00.0/driver_override
	rm /tmp/uvfio-word.$$; cat /sys/bus/pci/devices/0000:04:00.0/driver_override'
expect list-live 0000:00 "$uvfio" run -q -- "$uvfio" list
expect explain-live 'nic' "$uvfio" run -q -- "$uvfio" explain 0000:02:00.0

check status-0 run true
check status-3 sh -c '"$0" run -q -- sh -c "exit 3"; test $? -eq 3' "$uvfio"
check status-signal sh -c '"$0" run -q -- sh -c "kill -SEGV \$\$"; test $? -eq 139' "$uvfio"
check status-missing sh -c '"$0" run -q -- /no/such/program; test $? -eq 127' "$uvfio"
check not-ours sh -c 'a=$(cat /proc/version); b=$("$0" run -q -- cat /proc/version); test "$a" = "$b"' "$uvfio"

if command -v dpdk-devbind.py > /dev/null; then
	expect devbind-status '0000:01:00.0' "$uvfio" run -q -- dpdk-devbind.py --status
	expect devbind-bind 'drv=vfio-pci' "$uvfio" run -q -- sh -c '
		dpdk-devbind.py -b vfio-pci 0000:02:00.1 && dpdk-devbind.py --status | grep 02:00.1'
	expect devbind-unbind 'unused=vfio-pci' "$uvfio" run -q -- sh -c '
		dpdk-devbind.py -u 0000:02:00.1 && dpdk-devbind.py --status-dev net'
	expect devbind-host 'drv=nic' "$uvfio" run -q -- sh -c '
		dpdk-devbind.py -u 0000:02:00.1 && dpdk-devbind.py -b nic 0000:02:00.1 && dpdk-devbind.py --status-dev net'
	expect devbind-and-back 'drv=nic' "$uvfio" run -q -- sh -c '
		dpdk-devbind.py -b vfio-pci 0000:02:00.1 && dpdk-devbind.py --status-dev net | grep drv=vfio-pci &&
		dpdk-devbind.py -b nic 0000:02:00.1 && dpdk-devbind.py --status-dev net'
fi
if command -v driverctl > /dev/null; then
	expect driverctl vfio-pci "$uvfio" run -q -- sh -c '
		driverctl --nosave set-override 0000:04:00.0 vfio-pci &&
		basename $(readlink /sys/bus/pci/devices/0000:04:00.0/driver)'
	expect driverctl-list '0000:02:00.1 nic' "$uvfio" run -q -- driverctl list-devices
	expect driverctl-overrides '0000:02:00.1 vfio-pci' "$uvfio" run -q -- sh -c '
		driverctl --nosave set-override 0000:02:00.1 vfio-pci && driverctl list-overrides'
	expect driverctl-unset '0000:02:00.1 nic' "$uvfio" run -q -- sh -c '
		driverctl --nosave set-override 0000:02:00.1 vfio-pci && driverctl --nosave unset-override 0000:02:00.1 &&
		driverctl list-devices'
	expect driverctl-refused 'failed to bind device 0000:00:02.0 to driver vfio-pci' "$uvfio" run -q -- sh -c '
		! driverctl --nosave set-override 0000:00:02.0 vfio-pci'
fi

# A refusal, its reason, and the advice followed.
expect refused-says-why 'is bound to "nic", which does DMA through the kernel' "$uvfio" run -q -- "$uvfio" explain 02:00.0
expect refused-advice 'is free: a program can open /dev/vfio/2' "$uvfio" run -q -- sh -c '
	eval "$("$0" explain 02:00.0 | grep "^  echo")" && "$0" explain 02:00.0' "$uvfio"
expect busy-says-who 'has /dev/vfio/3 open since' "$uvfio" run -q -- sh -c '
	exec 9<> /dev/vfio/3; ( : 8<> /dev/vfio/3 ) && exit 1; "$0" explain 00:03.0' "$uvfio"
expect check-warns 'driver "careless" of bridges says that users may have its group' sh -c '
	printf "machine: m\ndrivers:\n- {name: careless, match: [class 0604], managed: yes, does_dma: yes}\ndevices:\n- kind: host-bridge\n" > "$1" &&
	"$0" check "$1"' "$uvfio" "$tmp/careless.yaml"
finish
