/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define A "0000:01:00.0"
#define OLD "0000:03:00.0"

static struct use u;
static struct probe *p;

static int setup(void **state)
{
	host_start();
	use_open(&u, A);
	p = probe_of(A);
	p->strict = true;
	return 0;
}

static int teardown(void **state)
{
	p->strict = false;
	use_close(&u);
	assert_int_equal(p->closed, 0);
	host_stop();
	memset(&host.params, 0, sizeof(host.params));
	return 0;
}

/* ---- infos ---- */

/* DEV-01, 02, 03, 05, 06, 07, 08 */
static void device_info(void **state)
{
	struct vfio_device_info i = { .argsz = 15 };
	uint32_t word[6] = { 16, 1, 1, 1, 0xabcd, 0xabcd };

	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_INFO, &i), -EINVAL);
	assert_rc(sys_ioctl_u(u.c, u.dev, VFIO_DEVICE_GET_INFO, BAD_PTR), -EFAULT);
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_INFO, word), 0);
	assert_int_equal(word[1], VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(word[4], 0xabcd);
	i.argsz = sizeof(i);
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_INFO, &i), 0);
	assert_int_equal(i.num_regions, 9);
	assert_int_equal(i.num_irqs, 5);
	assert_int_equal(i.cap_offset, 0);
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_QUERY_GFX_PLANE, &i), -ENOTTY);
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_GFX_DMABUF, &i), -ENOTTY);
	assert_rc(sys_ioctl(u.c, u.dev, 0x3bff, &i), -ENOTTY);
}

static struct vfio_region_info region(uint32_t index)
{
	struct vfio_region_info r = { .argsz = sizeof(r), .index = index, .cap_offset = 0x77 };

	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_REGION_INFO, &r), 0);
	assert_int_equal(r.offset, REGION(index));
	return r;
}

/* REG-01..11, 16, 18, 21 */
static void regions(void **state)
{
	static const struct {
		uint64_t size;
		uint32_t flags;
	} want[8] = {
		{ BAR0_SIZE, 0xf }, { 32, 3 }, { BAR2_SIZE, 7 }, { 0, 0 },
		{ BAR4_SIZE, 7 }, { 0, 0 }, { 0, 0 }, { 4096, 3 },
	};
	struct {
		struct vfio_region_info r;
		struct vfio_info_cap_header h;
	} with = { .r.argsz = 31 };

	for (uint32_t i = 0; i < 8; i++) {
		struct vfio_region_info r = region(i);

		assert_int_equal(r.size, want[i].size);
		assert_int_equal(r.flags, want[i].flags);
		assert_int_equal(r.argsz, i == 0 ? 40 : 32);
		assert_int_equal(r.cap_offset, i == 0 ? 0 : 0x77);
	}
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_REGION_INFO, &with), -EINVAL);
	with.r.argsz = 40;
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_REGION_INFO, &with), 0);
	assert_int_equal(with.r.cap_offset, 32);
	assert_int_equal(with.h.id, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	assert_int_equal(with.h.version, 1);
	assert_int_equal(with.h.next, 0);
	for (uint32_t i = 8; i < 12; i++) {
		with.r.index = i;
		assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_REGION_INFO, &with), -EINVAL);
	}
}

/* IRQ-01..05 */
static void irq_info(void **state)
{
	static const uint32_t want[5][2] = { { 7, 1 }, { 9, 4 }, { 1, VECTORS }, { 9, 1 }, { 9, 1 } };
	struct vfio_irq_info i = { .argsz = 15 };

	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_IRQ_INFO, &i), -EINVAL);
	i.argsz = sizeof(i);
	for (i.index = 0; i.index < 5; i.index++) {
		assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_IRQ_INFO, &i), 0);
		assert_int_equal(i.flags, want[i.index][0]);
		assert_int_equal(i.count, want[i.index][1]);
	}
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_IRQ_INFO, &i), -EINVAL);
}

/* ---- reads and writes ---- */

static void seen_are(const unsigned *widths, unsigned n, bool write)
{
	assert_int_equal(p->nseen, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(p->seen[i].width, widths[i]);
		assert_int_equal(p->seen[i].write, write);
	}
	p->nseen = 0;
}

/* RW-01..06, 15, 16, 17 */
static void widths(void **state)
{
	uint8_t buf[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, back[64];

	assert_int_equal(sys_pwrite(u.c, u.dev, buf, 8, REGION(0) + 16), 8);
	seen_are((unsigned[]){ 8 }, 1, true);
	assert_int_equal(sys_pwrite(u.c, u.dev, buf, 7, REGION(0) + 1), 7);
	seen_are((unsigned[]){ 1, 2, 4 }, 3, true);
	assert_int_equal(sys_pread(u.c, u.dev, back, 12, REGION(0) + 4), 12);
	seen_are((unsigned[]){ 4, 8 }, 2, false);
	assert_int_equal(sys_pread(u.c, u.dev, back, 7, REGION(0) + 1), 7);
	assert_memory_equal(buf, back, 7);
	assert_int_equal(sys_pread(u.c, u.dev, back, 0, REGION(0)), 0);
	assert_int_equal(sys_pread(u.c, u.dev, back, 0, REGION(99)), 0);
	assert_rc(sys_pread(u.c, u.dev, back, 1, REGION(99)), -EINVAL);
	assert_rc(sys_pread(u.c, u.dev, back, 1, REGION(9)), -EINVAL);
	assert_rc(sys_pread(u.c, u.dev, back, 1, REGION(8)), -EINVAL);
	assert_rc(sys_pread(u.c, u.dev, back, 1, REGION(6)), -EINVAL);
	assert_rc(sys_pwrite(u.c, u.dev, back, 1, REGION(6)), -EINVAL);
	assert_rc(sys_pread(u.c, u.dev, back, 1, REGION(3)), -EINVAL);
	assert_rc(sys_pread(u.c, u.dev, back, 1, REGION(0) + BAR0_SIZE), -EINVAL);
	assert_int_equal(sys_pread(u.c, u.dev, back, 8, REGION(0) + BAR0_SIZE - 4), 4);
	assert_rc(sys_pread(u.c, u.dev, (void *)BAD_PTR, 8, REGION(0)), -EFAULT);
	assert_rc(sys_pwrite(u.c, u.dev, (void *)BAD_PTR, 8, REGION(0)), -EFAULT);
}

/* RW-10..13 */
static void msix_hole(void **state)
{
	uint8_t buf[128], ones[64];
	uint32_t entry[4];

	memset(ones, 0xff, sizeof(ones));
	memset(buf, 0, sizeof(buf));
	assert_int_equal(sys_pread(u.c, u.dev, buf, 64, REGION(0) + TABLE), 64);
	assert_memory_equal(buf, ones, 64);
	memset(buf, 0x5a, sizeof(buf));
	pci_bar_access(pci_of(A), 0, TABLE, entry, 16, false);
	assert_int_equal(sys_pwrite(u.c, u.dev, buf, 16, REGION(0) + TABLE), 16);
	memset(buf, 0, 16);
	pci_bar_access(pci_of(A), 0, TABLE, buf, 16, false);
	assert_memory_equal(buf, entry, 16);
	assert_int_equal(p->nseen, 0);
	/* across both edges */
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(sys_pwrite(u.c, u.dev, buf, 80, REGION(0) + TABLE - 8), 80);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(sys_pread(u.c, u.dev, buf, 80, REGION(0) + TABLE - 8), 80);
	assert_int_equal(buf[7], 0x5a);
	assert_memory_equal(buf + 8, ones, 64);
	assert_int_equal(buf[72], 0x5a);
	/* pending bits are no part of it */
	assert_int_equal(sys_pread(u.c, u.dev, buf, 8, REGION(0) + PBA), 8);
	assert_int_equal(buf[0], 0);
}

/* MEM-01, RW-14, MEM-05, MEM-04, IOE-09 */
static void gate(void **state)
{
	unsigned pm = cfg_cap(&u, PCI_CAP_ID_PM);
	uint64_t x = 0x1122334455667788, y;

	command(&u, PCI_COMMAND_IO);
	assert_rc(sys_pread(u.c, u.dev, &y, 8, REGION(0)), -EIO);
	assert_rc(sys_pwrite(u.c, u.dev, &y, 8, REGION(0)), -EIO);
	assert_rc(sys_pread(u.c, u.dev, &y, 8, REGION(2)), -EIO);
	assert_rc(mmio(&u, REGION(0), &y, 8, false), -EFAULT);
	assert_rc(mmio(&u, REGION(2), &y, 8, false), -EFAULT);
	assert_int_equal(sys_pwrite(u.c, u.dev, &x, 4, REGION(1)), 4);
	assert_int_equal(p->regs[1][0], 0x88);
	/* the upper byte of COMMAND does not open it */
	cfg_write(&u, PCI_COMMAND + 1, 1, 0);
	assert_rc(sys_pread(u.c, u.dev, &y, 8, REGION(0)), -EIO);
	command(&u, 3);
	assert_rc(mmio(&u, REGION(0), &x, 8, true), 0);
	assert_int_equal(sys_pread(u.c, u.dev, &y, 8, REGION(0)), 8);
	assert_int_equal(x, y);
	cfg_write(&u, pm + PCI_PM_CTRL, 2, 3);
	assert_rc(sys_pread(u.c, u.dev, &y, 8, REGION(0)), -EIO);
	assert_rc(mmio(&u, REGION(0), &y, 8, false), -EFAULT);
	cfg_write(&u, pm + PCI_PM_CTRL, 2, 0);
	assert_int_equal(sys_pread(u.c, u.dev, &y, 8, REGION(0)), 8);
}

/* ---- mappings ---- */

static int try_mmap(uint64_t offset, uint64_t length, int flags)
{
	struct file_mmap m = { .offset = offset, .length = length, .prot = PROT_READ | PROT_WRITE, .flags = flags };

	return file_mmap(file_of(u.c, u.dev), &u.c->task, &m);
}

/* MAP-01, 02, 03, 05, 09, 10 */
static void mmap_checks(void **state)
{
	assert_rc(try_mmap(REGION(0), BAR0_SIZE, MAP_SHARED), 0);
	assert_rc(try_mmap(REGION(0) + PAGE, PAGE, MAP_SHARED), 0);
	assert_rc(try_mmap(REGION(2), BAR2_SIZE - 1, MAP_SHARED), 0);
	assert_rc(try_mmap(REGION(4), PAGE, MAP_SHARED), 0);
	assert_rc(try_mmap(REGION(0), PAGE, MAP_PRIVATE), -EINVAL);
	assert_rc(try_mmap(REGION(0), BAR0_SIZE + 1, MAP_SHARED), -EINVAL);
	assert_rc(try_mmap(REGION(0) + PAGE, BAR0_SIZE, MAP_SHARED), -EINVAL);
	assert_rc(try_mmap(REGION(0) + BAR0_SIZE, PAGE, MAP_SHARED), -EINVAL);
	assert_rc(try_mmap(REGION(0), UINT64_MAX, MAP_SHARED), -EINVAL);
	assert_rc(try_mmap(REGION(4), PAGE + 1, MAP_SHARED), -EINVAL);
	for (unsigned i = 1; i < 12; i += i == 1 ? 2 : i == 3 ? 2 : 1)
		assert_rc(try_mmap(REGION(i), PAGE, MAP_SHARED), -EINVAL);
	command(&u, 0);
	assert_rc(try_mmap(REGION(0), BAR0_SIZE, MAP_SHARED), 0);
}

static struct file_page page_at(uint64_t offset)
{
	struct file *f = file_of(u.c, u.dev);
	struct file_page page;

	f->ops->page(f, offset, &page);
	return page;
}

static void pages(void **state)
{
	struct file_page page = page_at(REGION(0) + PAGE);

	assert_int_equal(page.kind, FILE_PAGE_TRAP);
	assert_int_equal(page.length, PAGE);
	page = page_at(REGION(2) + PAGE);
	assert_int_equal(page.kind, FILE_PAGE_PLAIN);
	assert_int_equal(page.memfd, mem_shm_fd(pci_bar(pci_of(A), 2)->shm));
	assert_int_equal(page.offset, PAGE);
	assert_int_equal(page.length, BAR2_SIZE - PAGE);
	assert_int_equal(page_at(REGION(4)).kind, FILE_PAGE_TRAP);
	assert_int_equal(page_at(REGION(2) + BAR2_SIZE).kind, FILE_PAGE_NONE);
	assert_int_equal(page_at(CONFIG).kind, FILE_PAGE_NONE);
	assert_int_equal(page_at(REGION(1)).kind, FILE_PAGE_NONE);
	assert_int_equal(page_at(REGION(50)).kind, FILE_PAGE_NONE);
}

static sigjmp_buf bus_env;

static void on_bus(int sig)
{
	siglongjmp(bus_env, 1);
}

/* Load through a mapping: -1 for SIGBUS. */
static int touch(volatile uint8_t *at)
{
	if (sigsetjmp(bus_env, 1))
		return -1;
	return *at;
}

/* MEM-02, MEM-03, MEM-04, MAP-04, MEM-09: a mapping of plain memory */
static void plain_mapping(void **state)
{
	struct sigaction act = { .sa_handler = on_bus }, old;
	struct file_page page = page_at(REGION(2));
	unsigned pm = cfg_cap(&u, PCI_CAP_ID_PM);
	uint8_t x = 0x5a, y;
	volatile uint8_t *map = mmap(NULL, BAR2_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, page.memfd, 0);

	assert_true(map != MAP_FAILED);
	sigaction(SIGBUS, &act, &old);
	map[5] = 0x77;
	assert_int_equal(sys_pread(u.c, u.dev, &y, 1, REGION(2) + 5), 1);
	assert_int_equal(y, 0x77);
	assert_int_equal(sys_pwrite(u.c, u.dev, &x, 1, REGION(2) + 6), 1);
	assert_int_equal(touch(map + 6), 0x5a);
	command(&u, 0);
	assert_int_equal(touch(map + 5), -1);
	command(&u, PCI_COMMAND_MEMORY);
	assert_int_equal(touch(map + 5), 0x77);
	cfg_write(&u, pm + PCI_PM_CTRL, 2, 3);
	assert_int_equal(touch(map + 5), -1);
	command(&u, 0);
	cfg_write(&u, pm + PCI_PM_CTRL, 2, 0);
	assert_int_equal(touch(map + 5), -1); /* D0, but still off */
	command(&u, PCI_COMMAND_MEMORY);
	assert_int_equal(touch(map + 5), 0x77);
	assert_rc(mmio(&u, REGION(2) + 5, &y, 1, false), 0);
	assert_int_equal(y, 0x77);
	/* a reset gives it back, enabled as before */
	assert_rc(sys_ioctl_u(u.c, u.dev, VFIO_DEVICE_RESET, 0), 0);
	assert_int_not_equal(touch(map + 5), -1);
	sigaction(SIGBUS, &old, NULL);
	munmap((void *)map, BAR2_SIZE);
}

/* IRQ-43, and the page of a BAR smaller than it */
static void mmio_edges(void **state)
{
	uint8_t zero[48] = { 0 }, buf[64];
	uint32_t entry[4], now[4];

	assert_rc(mmio(&u, REGION(0) + TABLE, entry, 16, false), 0);
	assert_rc(mmio(&u, REGION(0) + TABLE, zero, 16, true), 0);
	assert_rc(mmio(&u, REGION(0) + TABLE, now, 16, false), 0);
	assert_memory_equal(entry, now, 16);
	memset(buf, 0x33, sizeof(buf));
	assert_rc(mmio(&u, REGION(0) + TABLE - 8, buf, 16, true), 0);
	assert_int_equal(p->regs[0][TABLE - 1], 0x33);
	assert_rc(mmio(&u, REGION(0) + TABLE, now, 16, false), 0);
	assert_memory_equal(entry, now, 16);
	assert_rc(mmio(&u, REGION(0) + TABLE + 16 * VECTORS - 4, buf, 8, true), 0);
	assert_int_equal(p->regs[0][TABLE + 16 * VECTORS], 0x33);
	assert_rc(mmio(&u, REGION(4) + 0xf8, buf, 8, true), 0);
	assert_rc(mmio(&u, REGION(4) + 0xf8, buf, 16, false), 0);
	assert_int_equal(buf[0], 0x33);
	assert_int_equal(buf[8], 0xff);
	assert_rc(mmio(&u, REGION(4) + 0x100, buf, 4, true), 0);
	assert_rc(mmio(&u, REGION(4) + 0x100, buf, 4, false), 0);
	assert_int_equal(buf[0], 0xff);
	assert_rc(mmio(&u, REGION(4) + PAGE, buf, 4, false), -EFAULT);
	assert_rc(mmio(&u, REGION(1), buf, 4, false), -EFAULT);
	assert_rc(mmio(&u, CONFIG, buf, 4, false), -EFAULT);
}

/* MEM-12, MEM-13: where DMA to a mapping goes */
static void dma_target(void **state)
{
	struct file *f = file_of(u.c, u.dev);
	uint64_t length;
	phys_t phys;

	assert_rc(f->ops->dma_target(f, REGION(0) + PAGE, &phys, &length), 0);
	assert_int_equal(phys, pci_bar(pci_of(A), 0)->address + PAGE);
	assert_int_equal(length, BAR0_SIZE - PAGE);
	assert_rc(f->ops->dma_target(f, REGION(0) + BAR0_SIZE, &phys, &length), -EFAULT);
	assert_rc(f->ops->dma_target(f, REGION(1), &phys, &length), -EFAULT);
	assert_rc(f->ops->dma_target(f, CONFIG, &phys, &length), -EFAULT);
	command(&u, 0);
	assert_rc(f->ops->dma_target(f, REGION(0), &phys, &length), -EFAULT);
}

/* ---- ioeventfds ---- */

static long ioeventfd(uint32_t flags, uint64_t offset, uint64_t data, int fd)
{
	struct vfio_device_ioeventfd io = {
		.argsz = 28, .flags = flags, .offset = offset, .data = data, .fd = fd,
	};

	return sys_ioctl(u.c, u.dev, VFIO_DEVICE_IOEVENTFD, &io);
}

static int written = -1;

static void tell(struct probe *probe, unsigned bar, uint64_t offset)
{
	uint64_t one = 1;

	assert_int_equal(write(written, &one, 8), 8);
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, 8), 8);
}

/* IOE-01..10 */
static void ioeventfds(void **state)
{
	int fd = efd(), other = efd();

	written = efd();
	p->on_write = tell;
	assert_rc(ioeventfd(0, REGION(0), 1, fd), -EINVAL);
	assert_rc(ioeventfd(3, REGION(0), 1, fd), -EINVAL);
	assert_rc(ioeventfd(16, REGION(0), 1, fd), -EINVAL);
	assert_rc(ioeventfd(4, REGION(0), 1, -2), -EINVAL);
	assert_rc(ioeventfd(4, REGION(6), 1, fd), -EINVAL);
	assert_rc(ioeventfd(4, CONFIG, 1, fd), -EINVAL);
	assert_rc(ioeventfd(4, REGION(0) + BAR0_SIZE - 3, 1, fd), -EINVAL);
	assert_rc(ioeventfd(4, REGION(0) + TABLE - 2, 1, fd), -EINVAL);
	assert_rc(ioeventfd(4, REGION(0), 1, 800), -EBADF);
	assert_rc(ioeventfd(4, REGION(0), 1, u.dev), -EINVAL);
	assert_rc(ioeventfd(4, REGION(0), 1, -1), -ENODEV);

	assert_rc(ioeventfd(4, REGION(0) + 0x20, 0x12345678, fd), 0);
	assert_rc(ioeventfd(4, REGION(0) + 0x20, 0x12345678, other), -EEXIST);
	signal_fd(fd);
	assert_int_equal(efd_wait(written), 1);
	assert_int_equal(p->seen[0].width, 4);
	assert_int_equal(p->seen[0].offset, 0x20);
	assert_int_equal(p->regs[0][0x23], 0x12);
	assert_int_equal(efd_take(fd), 0);
	assert_rc(ioeventfd(4, REGION(0) + 0x20, 0x12345678, -1), 0);
	assert_rc(ioeventfd(4, REGION(0) + 0x20, 0x12345678, -1), -ENODEV);

	/* readable already: written at once, not consumed */
	signal_fd(other);
	assert_rc(ioeventfd(1, REGION(4), 7, other), 0);
	assert_int_equal(efd_wait(written), 1);
	assert_int_equal(efd_take(other), 1);
	assert_int_equal(p->nseen, 2);

	/* while memory is off the signal is consumed and nothing written */
	command(&u, 0);
	signal_fd(other);
	while (efd_take(other))
		signal_fd(other); /* it was still there: give it back */
	command(&u, 3);
	signal_fd(other);
	assert_int_equal(efd_wait(written), 1);
	for (unsigned i = 0; i < 999; i++)
		assert_rc(ioeventfd(8, REGION(2), i, other), 0);
	assert_rc(ioeventfd(8, REGION(2), 1000, other), -ENOSPC);
	p->on_write = NULL;
}

/* ---- features ---- */

static long feature(uint32_t flags, const void *data, size_t n)
{
	struct {
		uint32_t argsz, flags;
		uint8_t data[16];
	} a = { .argsz = (uint32_t)(VFIO_DEVICE_FEATURE_MINSZ + n), .flags = flags };

	if (n)
		memcpy(a.data, data, n);
	return sys_ioctl(u.c, u.dev, VFIO_DEVICE_FEATURE, &a);
}

#define SET   VFIO_DEVICE_FEATURE_SET
#define PROBE VFIO_DEVICE_FEATURE_PROBE

/* FTR-03, 04, 05, 06, 07; PWR-01..06; MEM-09; MIG-01 */
static void features(void **state)
{
	struct vfio_device_low_power_entry_with_wakeup w = { .wakeup_eventfd = -1 };
	int fd = efd();
	uint32_t x;

	assert_rc(feature(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &x, 4), -ENOTTY);
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_BUS_MASTER, &x, 4), -ENOTTY);
	assert_rc(feature(PROBE | SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, &x, 0), -ENOTTY);
	assert_rc(feature(PROBE | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, &x, 0), -EINVAL);
	assert_rc(feature(PROBE | SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &x, 0), 0);
	assert_rc(feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, &x, 0), -EINVAL);
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &w, 4), -EINVAL);
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &w, 8), -EINVAL);
	w.wakeup_eventfd = 800;
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &w, 8), -EBADF);

	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, NULL, 0), 0);
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, NULL, 0), 0);
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, NULL, 0), -EINVAL);
	assert_rc(mmio(&u, REGION(0), &x, 4, false), -EFAULT);
	assert_int_equal(sys_pread(u.c, u.dev, &x, 4, REGION(0)), 4);
	assert_int_equal(sys_pread(u.c, u.dev, &x, 4, REGION(2)), 4);
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, NULL, 0), 0);
	assert_rc(mmio(&u, REGION(0), &x, 4, false), 0);

	w.wakeup_eventfd = fd;
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &w, 8), 0);
	assert_rc(mmio(&u, REGION(0), &x, 4, false), -EFAULT);
	assert_int_equal(efd_take(fd), 0);
	cfg_read(&u, 0, 4);
	assert_int_equal(efd_take(fd), 1);
	assert_rc(mmio(&u, REGION(0), &x, 4, false), 0);
	assert_rc(feature(SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &w, 8), 0);
	/* the last close leaves the mode */
}

/* ---- the driver ---- */

static long device_fd(const char *name)
{
	long fd = sys_ioctl(u.c, u.group, VFIO_GROUP_GET_DEVICE_FD, name);

	if (fd >= FD_BASE)
		sys_close(u.c, (int)fd);
	return fd < 0 ? fd : 0;
}

/* spec 10, 3.10; SRV-12, 13, 16; DEV-12, DEV-21 */
static void names(void **state)
{
#define UUID "12345678-1234-1234-1234-123456789abc"
	unsigned resets = p->resets;

	assert_rc(device_fd(A), 0);
	assert_rc(device_fd(A "   "), 0);
	assert_int_equal(p->resets, resets);
	assert_rc(device_fd("0000:01:00.1"), -ENODEV);
	assert_rc(device_fd(A "x"), -ENODEV);
	assert_rc(device_fd("0000:01:00."), -ENODEV);
	assert_rc(device_fd(A " vf_token=" UUID), -EINVAL);
	assert_rc(device_fd(A " vf_token=1234"), -EINVAL);
	assert_rc(device_fd(A " vf_token=" UUID " vf_token=" UUID), -EINVAL);
	assert_rc(device_fd(A " token"), -EINVAL);
}

/* DEV-16, DEV-17 and the static table */
static void binding(void **state)
{
	struct drv *drv = drv_find(host.bus, "vfio-pci");
	struct pci_dev *d = pci_of(OLD);

	assert_rc(bind("0000:00:01.0"), -EINVAL);
	assert_rc(drv_bind(drv, OLD), -ENODEV); /* no override, no id */
	d->vendor = 0x8086;
	d->device = 0x0b25;
	assert_rc(bind(OLD), -EINVAL);
	d->vendor = 0x1b36;
	d->device = 0x0001;
	assert_rc(bind(OLD), 0);
	unbind(OLD);
	assert_rc(dev_override(&d->dev, NULL), 0);
	assert_rc(drv_new_id(drv, "1b36 0001"), 0);
	assert_ptr_equal(dev_driver(&d->dev), drv);
	unbind(OLD);
}

static void read_param(const char *name, char *text, size_t n)
{
	char path[128];
	int fd;
	ssize_t got;

	snprintf(path, sizeof(path), "/sys/module/vfio_pci/parameters/%s", name);
	fd = sys_open(u.c, path);
	if (fd < 0) { /* read-only */
		struct file *f;

		assert_rc(tree_open(host.tree, &u.c->task, path, O_RDONLY, &f), 0);
		got = file_read(f, &u.c->task, (uintptr_t)text, n);
		file_put(f);
	} else {
		got = file_read(file_of(u.c, fd), &u.c->task, (uintptr_t)text, n);
		sys_close(u.c, fd);
	}
	assert_true(got > 0);
	text[got] = '\0';
}

static void module(void **state)
{
	struct node_stat st;
	char text[64];
	int fd = sys_open(u.c, "/sys/module/vfio_pci/parameters/enable_sriov");

	read_param("enable_sriov", text, sizeof(text) - 1);
	assert_string_equal(text, "N\n");
	assert_int_equal(file_write(file_of(u.c, fd), &u.c->task, (uintptr_t)"on\n", 3), 3);
	assert_rc(file_write(file_of(u.c, fd), &u.c->task, (uintptr_t)"x\n", 2), -EINVAL);
	read_param("enable_sriov", text, sizeof(text) - 1);
	assert_string_equal(text, "Y\n");
	read_param("disable_denylist", text, sizeof(text) - 1);
	assert_string_equal(text, "N\n");
	sys_close(u.c, fd);
	assert_rc(tree_stat(host.tree, "/sys/module/vfio_pci/drivers/pci:vfio-pci", true, &st, NULL), 0);
	assert_rc(tree_stat(host.tree, "/sys/bus/pci/drivers/vfio-pci/module/parameters", true, &st, NULL), 0);
	assert_rc(tree_stat(host.tree, "/sys/module/vfio_pci/parameters/ids", true, &st, NULL), -ENOENT);
}

static int setup_ids(void **state)
{
	strcpy(host.params.ids, "bad,1b36:0001:1af4");
	return setup(state);
}

/* ids=: everything that matches is bound as it appears */
static void ids(void **state)
{
	assert_non_null(dev_driver(&pci_of(OLD)->dev));
	assert_string_equal(dev_driver(&pci_of(OLD)->dev)->name, "vfio-pci");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(device_info),
		TEST(regions),
		TEST(irq_info),
		TEST(widths),
		TEST(msix_hole),
		TEST(gate),
		TEST(mmap_checks),
		TEST(pages),
		TEST(plain_mapping),
		TEST(mmio_edges),
		TEST(dma_target),
		TEST(ioeventfds),
		TEST(features),
		TEST(names),
		TEST(binding),
		TEST(module),
		cmocka_unit_test_setup_teardown(ids, setup_ids, teardown),
	};

	return cmocka_run_group_tests_name("vfio_pci-device", tests, NULL, NULL);
}
