// SPDX-License-Identifier: MIT

// As stub_prog.c, for a runtime that has its own signal stacks and handlers. Run by test_stub.c.
package main

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

const page = 4096

var bar []byte

func r32(off int) *uint32 { return (*uint32)(unsafe.Pointer(&bar[off])) }

//go:noinline
func read(p *uint32) uint32 { return *p }

//go:noinline
func write(p *uint32, v uint32) { *p = v }

func check(ok bool, what string) {
	if !ok {
		os.Stderr.WriteString("go: " + what + "\n")
		os.Exit(1)
	}
}

func nilDeref() (caught bool) {
	defer func() { caught = recover() != nil }()
	var p *uint32
	write(p, 1)
	return false
}

func main() {
	name := []byte("uvfio-test-bar\x00")
	fd, _, e := syscall.Syscall(319, uintptr(unsafe.Pointer(&name[0])), 0, 0)
	check(e == 0, "memfd_create")
	var err error
	bar, err = syscall.Mmap(int(fd), 0, 4*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err == nil, "mmap")
	write(r32(0), 0x12345678)
	check(read(r32(0)) == 0x12345678, "register")
	n := read(r32(0x20))
	check(read(r32(0x20)) == n+1, "side effect")
	check(nilDeref(), "a nil pointer panics")
	var wg sync.WaitGroup
	for g := 0; g < 4; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < 300; i++ {
				write(r32(0x38), 1)
				if i%50 == 0 {
					runtime.GC()
					check(nilDeref(), "a nil pointer panics in a goroutine")
				}
			}
		}()
	}
	wg.Wait()
	check(read(r32(0x38)) >= 1200, "counted")
	write(r32(2*page), 5)
	check(read(r32(2*page)) == 5, "plain memory")
	check(exec.Command("/bin/true").Run() == nil, "a child")
	check(nilDeref(), "a nil pointer panics after a child")
	os.Exit(42)
}
