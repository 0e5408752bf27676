// SPDX-License-Identifier: MIT
// Go's runtime makes raw system calls, has its own signal handlers and small stacks, and interrupts itself by SIGURG.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const edu = "0000:00:03.0"

var failed = false

func check(ok bool, what string) {
	if ok {
		fmt.Println("ok - go:", what)
	} else {
		fmt.Println("not ok - go:", what)
		failed = true
	}
}

func ioctl(fd int, cmd, arg uintptr) (uintptr, syscall.Errno) {
	r, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), cmd, arg)
	return r, e
}

func main() {
	link, err := os.Readlink("/sys/bus/pci/devices/" + edu + "/iommu_group")
	check(err == nil, "readlink of the group")
	container, err := syscall.Open("/dev/vfio/vfio", syscall.O_RDWR, 0)
	check(err == nil, "open of the container")
	group, err := syscall.Open("/dev/vfio/"+filepath.Base(link), syscall.O_RDWR, 0)
	check(err == nil, "open of the group")
	fd32 := int32(container)
	_, e := ioctl(group, 0x3b68, uintptr(unsafe.Pointer(&fd32)))
	check(e == 0, "SET_CONTAINER")
	_, e = ioctl(container, 0x3b66, 3)
	check(e == 0, "SET_IOMMU")
	name := append([]byte(edu), 0)
	dev, e := ioctl(group, 0x3b6a, uintptr(unsafe.Pointer(&name[0])))
	check(e == 0, "GET_DEVICE_FD")
	buf := make([]byte, 4)
	n, err := syscall.Pread(int(dev), buf, 7<<40)
	check(err == nil && n == 4 && binary.LittleEndian.Uint32(buf) == 0x11e81234, "pread of config space")
	bar, err := syscall.Mmap(int(dev), 0, 0x100000, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err == nil, "mmap of the BAR")
	reg := func(off int) *uint32 { return (*uint32)(unsafe.Pointer(&bar[off])) }
	check(*reg(0) == 0x010000ed, "a load")
	atomic.StoreUint32(reg(4), 0x1234)
	check(atomic.LoadUint32(reg(4)) == ^uint32(0x1234), "a store and a load")
	var wg sync.WaitGroup
	var bad [4]int
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			for k := 0; k < 1000; k++ {
				if atomic.LoadUint32(reg(0)) != 0x010000ed {
					bad[i]++
				}
				if k%100 == 0 {
					runtime.GC()
				}
			}
		}(i)
	}
	wg.Wait()
	check(bad == [4]int{}, "4 goroutines of loads between garbage collections")
	func() {
		defer func() { check(recover() != nil, "a nil dereference still panics") }()
		var p *int
		*p = 1
	}()
	if failed {
		os.Exit(1)
	}
}
