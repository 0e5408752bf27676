/* SPDX-License-Identifier: MIT */
/* type1: MAP, UNMAP, GET_INFO, dirty pages, attaching: errnos in check order, and what DMA sees. */
#include "harness.h"
#include <sys/mman.h>

/* One container with one group; tests that need more make it. */
static struct {
	struct caller *c;
	struct iommu_group *g;
	struct device *d;
	int cfd, gfd;
	char *mem; /* 64 pages, shared */
} t;

#define MEM_PAGES 64

static void boot(unsigned type)
{
	t.c = caller_create();
	t.g = group_create();
	t.d = device_add("a", t.g);
	t.mem = area_create(MEM_PAGES * PAGE, true, true);
	t.cfd = sys_open(t.c, CONTAINER);
	t.gfd = group_open_node(t.c, t.g);
	assert_rc(group_set(t.c, t.gfd, t.cfd), 0);
	if (type)
		assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_SET_IOMMU, type), 0);
}

static int setup(void **state)
{
	host_start();
	boot(VFIO_TYPE1v2_IOMMU);
	return 0;
}

static int setup_v1(void **state)
{
	host_start();
	boot(VFIO_TYPE1_IOMMU);
	return 0;
}

static int setup_no_iommu_set(void **state)
{
	host_start();
	boot(0);
	return 0;
}

static int teardown(void **state)
{
	caller_destroy(t.c);
	device_del(t.d);
	iommu_group_put(t.g);
	host_stop();
	return 0;
}

static long map_raw(uint32_t argsz, uint32_t flags, uint64_t vaddr, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map a = { argsz, flags, vaddr, iova, size };

	return sys_ioctl(t.c, t.cfd, VFIO_IOMMU_MAP_DMA, &a);
}

/* The number of pages at @page of the test's memory, at the same page of IOVA space. */
static long map_pages(unsigned page, unsigned n)
{
	return map(t.c, t.cfd, page * PAGE, t.mem + page * PAGE, n * PAGE, RW);
}

static int64_t unmap_pages(unsigned page, unsigned n)
{
	return unmap(t.c, t.cfd, page * PAGE, n * PAGE, 0);
}

static bool reachable(uint64_t iova)
{
	char byte;

	return iommu_dma_read(t.d->iommu, iova, &byte, 1) == 0;
}

/* MAP-01 to MAP-10 */
static void map_check_order(void **state)
{
	uintptr_t va = (uintptr_t)t.mem, ro = (uintptr_t)area_create(PAGE, false, false);
	const uint64_t top = -PAGE;

	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_IOMMU_MAP_DMA, BAD_PTR), -EFAULT);
	assert_rc(map_raw(31, RW, va, 0, PAGE), -EINVAL);
	assert_rc(map_raw(32, 8 | RW, va, 0, PAGE), -EINVAL);
	assert_rc(map_raw(32, RW, va, 0, 0), -EINVAL);
	assert_rc(map_raw(32, RW, va, top, 0), -EINVAL);
	assert_rc(map_raw(32, 0, va, top, 2 * PAGE), -EOVERFLOW); /* before the flags are looked at */
	assert_rc(map_raw(32, RW, top, 0, 2 * PAGE), -EOVERFLOW);
	assert_rc(map_raw(32, RW, va, top, PAGE), -EINVAL); /* no wrap, but beyond the aperture */
	assert_rc(map_raw(32, 0, va, 0, PAGE), -EINVAL);
	assert_rc(map_raw(32, RW | VFIO_DMA_MAP_FLAG_VADDR, va, 0, PAGE), -EINVAL);
	assert_rc(map_raw(32, RW, va, 1, PAGE), -EINVAL);
	assert_rc(map_raw(32, RW, va + 1, 0, PAGE), -EINVAL);
	assert_rc(map_raw(32, RW, va, 0, PAGE + 1), -EINVAL);
	assert_rc(map_raw(32, VFIO_DMA_MAP_FLAG_VADDR, va, 0, PAGE), -ENOENT);
	assert_rc(map_raw(48, RW, va, 0x10000, 4 * PAGE), 0);
	assert_rc(map_raw(32, VFIO_DMA_MAP_FLAG_VADDR, va, 0x10000, 4 * PAGE), -EINVAL);
	assert_rc(map_raw(32, RW, va, 0x13000, PAGE), -EEXIST);
	assert_rc(map_raw(32, RW, va, 0xf000, 6 * PAGE), -EEXIST);
	assert_rc(map_raw(32, RW, BAD_PTR, 0xf000, 2 * PAGE), -EEXIST);
	assert_rc(map_raw(32, RW, va, 0xfee00000, PAGE), -EINVAL);
	assert_rc(map_raw(32, RW, va, 0xfedff000, 2 * PAGE), -EINVAL);
	assert_rc(map_raw(32, RW, va, 0xfedff000, PAGE), 0);
	assert_rc(map_raw(32, RW, va, 1ull << 48, PAGE), -EINVAL);
	assert_rc(map_raw(32, RW, va, (1ull << 48) - PAGE, PAGE), 0);
	assert_rc(map_raw(32, RW, BAD_PTR, 0x20000, PAGE), -EFAULT);
	assert_rc(map_raw(32, RW, va + (MEM_PAGES - 1) * PAGE, 0x20000, 2 * PAGE), -EFAULT);
	assert_rc(map_raw(32, RW, ro, 0x20000, PAGE), -EFAULT);
	assert_false(reachable(0x20000));
	assert_int_equal(mem_pinned_pages(host.mem), 6);
	assert_rc(map_raw(32, VFIO_DMA_MAP_FLAG_READ, ro, 0x20000, PAGE), 0);
	assert_rc(iommu_dma_write(t.d->iommu, 0x20000, "x", 1), -EFAULT);
	assert_true(reachable(0x20000));
}

/* MAP-07, INF-04: the limit is read when the instance is made */
static void map_limit(void **state)
{
	atomic_store(&host.vfio->dma_entry_limit, 2);
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	atomic_store(&host.vfio->dma_entry_limit, 1);
	assert_rc(map_pages(0, 1), 0);
	assert_rc(map_pages(4, 1), 0);
	assert_rc(map_pages(4, 1), -EEXIST);
	assert_rc(map_pages(8, 1), -ENOSPC);
	assert_rc(map_raw(32, RW, (uintptr_t)t.mem, 0xfee00000, PAGE), -ENOSPC);
	assert_int_equal(unmap_pages(0, 1), PAGE);
	assert_rc(map_raw(32, RW, BAD_PTR, 0x20000, PAGE), -EFAULT); /* costs nothing */
	assert_rc(map_pages(8, 1), 0);
}

static long unmap_raw(uint32_t argsz, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap a = { .argsz = argsz, .flags = flags, .iova = iova, .size = size };

	return sys_ioctl(t.c, t.cfd, VFIO_IOMMU_UNMAP_DMA, &a);
}

/* UNM-01, 02, 05 to 08, 11 */
static void unmap_check_order(void **state)
{
	const uint32_t dirty = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, all = VFIO_DMA_UNMAP_FLAG_ALL;

	assert_rc(map_pages(0, 4), 0);
	assert_rc(map_pages(8, 4), 0);
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_IOMMU_UNMAP_DMA, BAD_PTR), -EFAULT);
	assert_rc(unmap_raw(23, 0, 0, PAGE), -EINVAL);
	assert_rc(unmap_raw(24, 8, 0, PAGE), -EINVAL);
	assert_rc(unmap_raw(48, dirty | all, 0, 0), -EINVAL);
	assert_rc(unmap_raw(48, dirty | VFIO_DMA_UNMAP_FLAG_VADDR, 0, PAGE), -EINVAL);
	assert_rc(unmap_raw(47, dirty, 0, PAGE), -EINVAL);
	assert_rc(unmap_raw(24, 0, 1, PAGE), -EINVAL);
	assert_rc(unmap_raw(24, all, PAGE, 0), -EINVAL);
	assert_rc(unmap_raw(24, all, 0, PAGE), -EINVAL);
	assert_rc(unmap_raw(24, 0, 0, 0), -EINVAL);
	assert_rc(unmap_raw(24, 0, 0, PAGE + 1), -EINVAL);
	assert_rc(unmap_raw(24, 0, -PAGE, 2 * PAGE), -EOVERFLOW);
	assert_int_equal(unmap_pages(4, 4), 0);
	assert_rc(unmap_pages(1, 3), -EINVAL);
	assert_rc(unmap_pages(0, 2), -EINVAL);
	assert_rc(unmap_pages(0, 9), -EINVAL);
	assert_rc(unmap_pages(2, 10), -EINVAL);
	assert_true(reachable(0) && reachable(11 * PAGE));
	assert_int_equal(unmap_pages(0, 20), 8 * PAGE);
	assert_false(reachable(0) || reachable(11 * PAGE));
	assert_rc(map_pages(0, 4), 0);
	assert_rc(map_pages(30, 1), 0);
	assert_int_equal(unmap(t.c, t.cfd, 0, 0, all), 5 * PAGE);
	assert_int_equal(unmap(t.c, t.cfd, 0, 0, all), 0);
	assert_int_equal(unmap(t.c, t.cfd, 0, -PAGE, 0), 0);
	assert_int_equal(mem_pinned_pages(host.mem), 0);
}

/* UNM-03, UNM-04 */
static void unmap_v1(void **state)
{
	assert_rc(map_pages(0, 4), 0);
	assert_rc(map_pages(4, 4), 0);
	assert_int_equal(unmap_pages(1, 3), 0);
	assert_int_equal(unmap_pages(1, 7), 0); /* the search ends at the first */
	assert_true(reachable(7 * PAGE));
	assert_int_equal(unmap_pages(0, 2), 4 * PAGE);
	assert_false(reachable(3 * PAGE));
	assert_int_equal(unmap_pages(2, 4), 4 * PAGE);
	assert_int_equal(unmap(t.c, t.cfd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
}

/* MAP-16, MAP-17, UNM-10, ATT-06 */
static void vaddr_update(void **state)
{
	const uint32_t vaddr = VFIO_DMA_UNMAP_FLAG_VADDR;
	struct iommu_group *g2 = group_create();
	struct device *d2 = device_add("b", g2);
	int gfd = group_open_node(t.c, g2);
	char *moved = area_create(4 * PAGE, true, true);

	assert_rc(map_pages(0, 4), 0);
	assert_rc(map_pages(4, 4), 0);
	assert_int_equal(unmap(t.c, t.cfd, 4 * PAGE, 4 * PAGE, vaddr), 4 * PAGE);
	assert_rc(unmap(t.c, t.cfd, 0, 8 * PAGE, vaddr), -EINVAL); /* undone: */
	assert_int_equal(unmap(t.c, t.cfd, 0, 4 * PAGE, vaddr), 4 * PAGE);
	assert_true(reachable(0));
	assert_rc(group_set(t.c, gfd, t.cfd), -EBUSY);
	assert_false(iommu_group_claimed(g2)); /* ATT-09 */
	assert_rc(map_raw(32, VFIO_DMA_MAP_FLAG_VADDR, (uintptr_t)moved, 0, PAGE), -EINVAL);
	assert_rc(map_raw(32, VFIO_DMA_MAP_FLAG_VADDR, (uintptr_t)moved, 0, 8 * PAGE), -EINVAL);
	assert_rc(map_raw(32, VFIO_DMA_MAP_FLAG_VADDR, (uintptr_t)moved, 0, 4 * PAGE), 0);
	assert_rc(map_raw(32, VFIO_DMA_MAP_FLAG_VADDR, (uintptr_t)moved, 0, 4 * PAGE), -EINVAL);
	assert_int_equal(unmap_pages(4, 4), 4 * PAGE); /* an invalid one may go */
	assert_rc(group_set(t.c, gfd, t.cfd), 0);
	assert_int_equal(unmap(t.c, t.cfd, 0, 0, vaddr | VFIO_DMA_UNMAP_FLAG_ALL), 4 * PAGE);
	assert_int_equal(unmap(t.c, t.cfd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 4 * PAGE);
	sys_close(t.c, gfd);
	device_del(d2);
	iommu_group_put(g2);
}

/* LCK-01 to LCK-03 */
static void locked_memory(void **state)
{
	caller_limit(t.c, 6 * PAGE);
	assert_rc(map_pages(0, 4), 0);
	assert_rc(map_pages(8, 4), -ENOMEM);
	assert_int_equal(atomic_load(&t.c->task.mm->locked_pages), 4);
	assert_rc(map(t.c, t.cfd, 0x100000, t.mem, 2 * PAGE, RW), 0); /* the same pages again */
	assert_rc(map_pages(8, 1), -ENOMEM);
	t.c->ipc_lock = true;
	assert_rc(map_pages(8, 1), 0);
	assert_int_equal(unmap_pages(0, 4), 4 * PAGE);
	assert_int_equal(atomic_load(&t.c->task.mm->locked_pages), 3);
}

struct info {
	struct vfio_iommu_type1_info i;
	struct vfio_iommu_type1_info_cap_migration migration;
	struct vfio_iommu_type1_info_dma_avail avail;
	uint32_t avail_pad;
	struct vfio_info_cap_header ranges;
	uint32_t nr, reserved;
	struct vfio_iova_range range[2];
	uint64_t beyond;
};

/* INF-01 to INF-05 */
static void info(void **state)
{
	const uint32_t needed = 24 + 32 + 16 + 16 + 2 * 16;
	struct info i;

	assert_int_equal(offsetof(struct info, beyond), needed);
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_IOMMU_GET_INFO, BAD_PTR), -EFAULT);
	memset(&i, 0xaa, sizeof(i));
	i.i.argsz = 15;
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_GET_INFO, &i), -EINVAL);
	i.i.argsz = 16;
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_GET_INFO, &i), 0);
	assert_int_equal(i.i.argsz, needed);
	assert_int_equal(i.i.flags, 3);
	assert_int_equal(i.i.iova_pgsizes, 0x40201000);
	assert_int_equal(i.i.cap_offset, 0xaaaaaaaa);
	i.i.argsz = needed - 1;
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_GET_INFO, &i), 0);
	assert_int_equal(i.i.argsz, needed);
	assert_int_equal(i.i.cap_offset, 0);
	assert_int_equal(i.migration.flags, 0xaaaaaaaa);

	assert_rc(map_pages(0, 1), 0);
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_GET_INFO, &i), 0);
	assert_int_equal(i.i.argsz, needed);
	assert_int_equal(i.i.cap_offset, 24);
	assert_int_equal(i.migration.header.id, 2);
	assert_int_equal(i.migration.header.version, 1);
	assert_int_equal(i.migration.header.next, 24 + 32);
	assert_int_equal(i.migration.pgsize_bitmap, PAGE);
	assert_int_equal(i.migration.max_dirty_bitmap_size, 268435456);
	assert_int_equal(i.avail.header.id, 3);
	assert_int_equal(i.avail.header.next, 24 + 32 + 16);
	assert_int_equal(i.avail.avail, 65534);
	assert_int_equal(i.ranges.id, 1);
	assert_int_equal(i.ranges.next, 0);
	assert_int_equal(i.nr, 2);
	assert_int_equal(i.range[0].start, 0);
	assert_int_equal(i.range[0].end, 0xfedfffff);
	assert_int_equal(i.range[1].start, 0xfef00000);
	assert_int_equal(i.range[1].end, (1ull << 48) - 1);
	assert_int_equal(i.beyond, 0xaaaaaaaaaaaaaaaa);
	i.i.argsz = sizeof(i);
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_GET_INFO, &i), 0);
	assert_int_equal(i.i.argsz, sizeof(i));
	assert_int_equal(i.beyond, 0xaaaaaaaaaaaaaaaa);
}

/* ATT-01 */
static void unsafe_interrupts(void **state)
{
	host.unit.msi_isolated = false;
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EPERM);
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EPERM);
	atomic_store(&host.vfio->allow_unsafe_interrupts, true);
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
}

static struct device *device_behind(const char *name, struct iommu_group *g, const struct iommu_unit *unit,
				    const struct iommu_resv *resv)
{
	struct device *d = device_create(name, NULL);

	iommu_dev_destroy(d->iommu);
	assert_rc(iommu_dev_create(host.iommu, d->dev.name, unit, &d->iommu), 0);
	if (resv)
		assert_rc(iommu_dev_add_resv(d->iommu, resv), 0);
	assert_rc(iommu_dev_join(d->iommu, g), 0);
	d->v.iommu = d->iommu;
	assert_rc(vfio_register(host.vfio, &d->v), 0);
	return d;
}

/* ATT-02, ATT-08, ATT-09 */
static void reserved_region(void **state)
{
	const struct iommu_resv resv = { 0x100000, 0x1fffff, IOMMU_RESV_RESERVED };
	const struct iommu_resv relaxable = { 0x300000, 0x3fffff, IOMMU_RESV_DIRECT_RELAXABLE };
	struct iommu_group *g2 = group_create(), *g3 = group_create();
	struct device *d2 = device_behind("b", g2, &host.unit, &resv), *d3 = device_behind("c", g3, &host.unit, &relaxable);
	int f2 = group_open_node(t.c, g2), f3 = group_open_node(t.c, g3);

	assert_rc(map(t.c, t.cfd, 0x1ff000, t.mem, 2 * PAGE, RW), 0);
	assert_rc(group_set(t.c, f2, t.cfd), -EINVAL);
	assert_false(iommu_group_claimed(g2));
	assert_int_equal(unmap(t.c, t.cfd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 2 * PAGE);
	assert_rc(group_set(t.c, f2, t.cfd), 0);
	assert_rc(map(t.c, t.cfd, 0x1ff000, t.mem, 2 * PAGE, RW), -EINVAL);
	sys_close(t.c, f2);
	assert_rc(map(t.c, t.cfd, 0x1ff000, t.mem, 2 * PAGE, RW), 0);
	assert_rc(map(t.c, t.cfd, 0x300000, t.mem, PAGE, RW), 0);
	assert_rc(group_set(t.c, f3, t.cfd), 0);
	sys_close(t.c, f3);
	device_del(d2);
	device_del(d3);
	iommu_group_put(g2);
	iommu_group_put(g3);
}

/* ATT-03, ATT-05, ATT-07: another unit, narrower and without coherency control */
static void other_unit(void **state)
{
	struct iommu_unit narrow = host.unit;
	struct iommu_group *g2 = group_create();
	struct vfio_iommu_type1_info i = { .argsz = 16 };
	struct device *d2;
	char byte;
	int f2;

	snprintf(narrow.name, sizeof(narrow.name), "unit1");
	narrow.width = 32;
	narrow.enforce_coherency = false;
	narrow.pgsizes = 0x1000;
	d2 = device_behind("b", g2, &narrow, NULL);
	f2 = group_open_node(t.c, g2);
	assert_rc(map(t.c, t.cfd, 1ull << 32, t.mem, PAGE, RW), 0);
	assert_rc(group_set(t.c, f2, t.cfd), -EINVAL);
	assert_int_equal(unmap(t.c, t.cfd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), PAGE);
	assert_rc(map_pages(0, 4), 0);
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), 1);
	assert_rc(group_set(t.c, f2, t.cfd), 0);
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), 0);
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_GET_INFO, &i), 0);
	assert_int_equal(i.iova_pgsizes, 0x1000);
	assert_rc(iommu_dma_read(d2->iommu, 3 * PAGE, &byte, 1), 0);
	assert_rc(map_pages(8, 1), 0);
	assert_rc(iommu_dma_read(d2->iommu, 8 * PAGE, &byte, 1), 0);
	assert_true(reachable(8 * PAGE));
	assert_int_equal(unmap_pages(8, 1), PAGE);
	assert_rc(iommu_dma_read(d2->iommu, 8 * PAGE, &byte, 1), -EFAULT);
	assert_rc(map(t.c, t.cfd, 1ull << 32, t.mem, PAGE, RW), -EINVAL);
	sys_close(t.c, f2);
	assert_true(reachable(3 * PAGE));
	assert_rc(map(t.c, t.cfd, 1ull << 32, t.mem, PAGE, RW), 0);
	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), 1);
	device_del(d2);
	iommu_group_put(g2);
}

static unsigned domains(int container)
{
	struct vfio_container *c = t.c->fds[container]->priv;
	struct type1_domain *d;
	unsigned n = 0;

	LIST_FOREACH(d, &type1_of(c->backend)->domains, link)
		n++;
	return n;
}

/* What a program cannot see: how many page tables there are. */
static void ATT_05_groups_share_a_domain_when_their_coherency_is_the_same(void **state)
{
	struct iommu_unit weak = host.unit, other = host.unit;
	struct iommu_group *g[3] = { group_create(), group_create(), group_create() };
	struct device *d[3];
	int f[3];

	snprintf(weak.name, sizeof(weak.name), "weak");
	weak.enforce_coherency = false;
	snprintf(other.name, sizeof(other.name), "other");
	d[0] = device_behind("b", g[0], &host.unit, NULL);
	d[1] = device_behind("c", g[1], &other, NULL);
	d[2] = device_behind("d", g[2], &weak, NULL);
	for (int i = 0; i < 3; i++)
		f[i] = group_open_node(t.c, g[i]);
	assert_rc(map_pages(0, 4), 0);
	assert_int_equal(domains(t.cfd), 1);
	assert_rc(group_set(t.c, f[0], t.cfd), 0);
	assert_rc(group_set(t.c, f[1], t.cfd), 0); /* another IOMMU, but of the same kind */
	assert_int_equal(domains(t.cfd), 1);
	assert_rc(group_set(t.c, f[2], t.cfd), 0);
	assert_int_equal(domains(t.cfd), 2);
	for (int i = 0; i < 3; i++) {
		assert_rc(iommu_dma_write(d[i]->iommu, 3 * PAGE, "x", 1), 0);
		sys_close(t.c, f[i]);
		assert_int_equal(domains(t.cfd), i == 2 ? 1 : 2);
		assert_rc(iommu_dma_write(d[i]->iommu, 3 * PAGE, "x", 1), -EFAULT);
		device_del(d[i]);
		iommu_group_put(g[i]);
	}
	assert_true(reachable(3 * PAGE));
}

/* struct vfio_iommu_type1_dirty_bitmap with its payload */
struct dirty {
	uint32_t argsz, flags;
	struct vfio_iommu_type1_dirty_bitmap_get g;
};

static long dirty_get(uint64_t iova, uint64_t size, uint64_t pgsize, void *bits, uint64_t bytes)
{
	struct dirty d = {
		.argsz = sizeof(d),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.g = { iova, size, { pgsize, bytes, (uintptr_t)bits } },
	};

	return sys_ioctl(t.c, t.cfd, VFIO_IOMMU_DIRTY_PAGES, &d);
}

static long dirty_flag(uint32_t argsz, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap h = { argsz, flags };

	return sys_ioctl(t.c, t.cfd, VFIO_IOMMU_DIRTY_PAGES, &h);
}

/* DRT-02 to DRT-05, DRT-07 */
static void dirty_pages(void **state)
{
	uint64_t bits[4] = { 0 };

	assert_rc(sys_ioctl_u(t.c, t.cfd, VFIO_IOMMU_DIRTY_PAGES, BAD_PTR), -EFAULT);
	assert_rc(dirty_flag(7, 1), -EINVAL);
	assert_rc(dirty_flag(8, 0), -EINVAL);
	assert_rc(dirty_flag(8, 3), -EINVAL);
	assert_rc(dirty_flag(8, 8), -EINVAL);
	assert_rc(dirty_flag(47, 4), -EINVAL);
	assert_rc(map_pages(0, 2), 0);
	assert_rc(map_pages(3, 1), 0);
	assert_rc(dirty_get(0, 0, PAGE, bits, 8), -EINVAL);
	assert_rc(dirty_get(-PAGE, 2 * PAGE, PAGE, bits, 8), -EOVERFLOW);
	assert_rc(dirty_get(0, 4 * PAGE, PAGE, bits, 8), -EINVAL); /* off */
	assert_rc(dirty_flag(8, 1), 0);
	assert_rc(dirty_flag(8, 1), 0);
	assert_rc(dirty_get(0, 4 * PAGE, PAGE, (void *)-8ull, 8), -EINVAL);
	assert_rc(dirty_get(0, 4 * PAGE, 0, bits, 8), -EINVAL);
	assert_rc(dirty_get(0, 4 * PAGE, PAGE, bits, 7), -EINVAL);
	assert_rc(dirty_get(0, 65 * PAGE, PAGE, bits, 8), -EINVAL);
	assert_rc(dirty_get(0, 4 * PAGE, PAGE, bits, 268435457), -EINVAL);
	assert_rc(dirty_get(0, 4 * PAGE, 2 * PAGE, bits, 8), -EINVAL);
	assert_rc(dirty_get(0, 4 * PAGE + 1, PAGE, bits, 8), -EINVAL);
	assert_rc(dirty_get(PAGE, 4 * PAGE, PAGE, bits, 8), -EINVAL);
	assert_rc(dirty_get(0, PAGE, PAGE, bits, 8), -EINVAL);
	assert_rc(dirty_get(0, 4 * PAGE, PAGE, (void *)BAD_PTR, 8), -EFAULT);
	for (int i = 0; i < 2; i++) {
		bits[0] = 0xf0ull << 56; /* overwritten by the mapping at bit 0 */
		assert_rc(dirty_get(0, 4 * PAGE, PAGE, bits, 8), 0);
		assert_int_equal(bits[0], 0xb);
	}
	bits[0] = 0xf0ull << 56; /* kept beside the mapping inside the word */
	assert_rc(dirty_get(2 * PAGE, 2 * PAGE, PAGE, bits, 8), 0);
	assert_int_equal(bits[0], 0xf0ull << 56 | 2);
	assert_rc(dirty_flag(8, 2), 0);
	assert_rc(dirty_flag(8, 2), 0);
	assert_rc(dirty_get(0, 4 * PAGE, PAGE, bits, 8), -EINVAL);
}

/* A mapping that spans words, begun inside one. DRT-08 */
static void dirty_unmap(void **state)
{
	struct { /* struct vfio_iommu_type1_dma_unmap with its payload */
		uint32_t argsz, flags;
		uint64_t iova, size;
		struct vfio_bitmap b;
	} a = { sizeof(a), VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, 0, 256 * PAGE, { PAGE, 32, 0 } };
	char *big = area_create(200 * PAGE, true, true);
	uint64_t bits[5] = { 0 };

	assert_rc(map(t.c, t.cfd, 10 * PAGE, big, 200 * PAGE, RW), 0);
	a.b.data = (uintptr_t)bits;
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_UNMAP_DMA, &a), -EINVAL);
	assert_rc(dirty_flag(8, 1), 0);
	a.b.data = BAD_PTR;
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_UNMAP_DMA, &a), -EFAULT);
	assert_true(reachable(10 * PAGE));
	a.b.data = (uintptr_t)bits;
	a.b.size = 31;
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_UNMAP_DMA, &a), -EINVAL);
	a.b.size = 32;
	assert_rc(sys_ioctl(t.c, t.cfd, VFIO_IOMMU_UNMAP_DMA, &a), 0);
	assert_int_equal(a.size, 200 * PAGE);
	assert_int_equal(bits[0], ~0ull << 10);
	assert_int_equal(bits[1], ~0ull);
	assert_int_equal(bits[2], ~0ull);
	assert_int_equal(bits[3], (1ull << (210 - 192)) - 1);
	assert_int_equal(bits[4], 0);
	assert_false(reachable(10 * PAGE));
}

/* The tree against a plain table: disjoint ranges come and go at random. */
static void against_a_table(void **state)
{
	unsigned char owner[MEM_PAGES] = { 0 }; /* pages of a mapping carry its number */
	unsigned next = 1;

	srandom(1);
	for (int step = 0; step < 3000; step++) {
		unsigned page = random() % MEM_PAGES, n = 1 + random() % (MEM_PAGES - page), bytes = 0;
		bool clash = false, cut;

		if (random() % 2)
			n = 1 + n % 5;
		if (page + n > MEM_PAGES)
			n = MEM_PAGES - page;
		if (random() % 3) {
			for (unsigned i = page; i < page + n; i++)
				clash |= owner[i];
			assert_rc(map_pages(page, n), clash ? -EEXIST : 0);
			if (!clash)
				memset(&owner[page], next = next % 255 + 1, n);
			continue;
		}
		cut = (page && owner[page] && owner[page - 1] == owner[page]) ||
		      (page + n < MEM_PAGES && owner[page + n] && owner[page + n - 1] == owner[page + n]);
		for (unsigned i = page; i < page + n; i++)
			bytes += owner[i] ? PAGE : 0;
		assert_int_equal(unmap_pages(page, n), cut ? -EINVAL : (int64_t)bytes);
		if (!cut)
			memset(&owner[page], 0, n);
		for (unsigned i = 0; i < MEM_PAGES; i++)
			assert_int_equal(reachable(i * PAGE), owner[i] != 0);
	}
}

#define T(f)         cmocka_unit_test_setup_teardown(f, setup, teardown)
#define T_V1(f)      cmocka_unit_test_setup_teardown(f, setup_v1, teardown)
#define T_NO_SET(f)  cmocka_unit_test_setup_teardown(f, setup_no_iommu_set, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(map_check_order), T_NO_SET(map_limit), T(unmap_check_order), T_V1(unmap_v1), T(vaddr_update),
		T(locked_memory), T(info), T_NO_SET(unsafe_interrupts), T(reserved_region), T(other_unit), T(dirty_pages),
		T(dirty_unmap), T(against_a_table), T(ATT_05_groups_share_a_domain_when_their_coherency_is_the_same),
	};

	return cmocka_run_group_tests_name("vfio type1", tests, NULL, NULL);
}
