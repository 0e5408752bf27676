/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct host host;

/* ---- memory ---- */

struct area {
	uva_t start;
	size_t size;
	bool shared, writable;
};
static struct area areas[16];
static unsigned nareas;

void *area_create(size_t size, bool shared, bool writable)
{
	void *p = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0),
		       MAP_ANONYMOUS | (shared ? MAP_SHARED : MAP_PRIVATE), -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_true(nareas < ARRAY_SIZE(areas));
	areas[nareas++] = (struct area){ (uintptr_t)p, size, shared, writable };
	return p;
}

static int move(void *here, uva_t there, size_t n, bool write)
{
	struct iovec l = { here, n }, r = { (void *)(uintptr_t)there, n };
	ssize_t done = write ? process_vm_writev(getpid(), &l, 1, &r, 1, 0) : process_vm_readv(getpid(), &l, 1, &r, 1, 0);

	return done == (ssize_t)n ? 0 : -EFAULT;
}

static int mm_area_of(struct mm *mm, uva_t at, struct mm_area *out)
{
	for (unsigned i = 0; i < nareas; i++) {
		const struct area *a = &areas[i];

		if (at < a->start || at >= a->start + a->size)
			continue;
		*out = (struct mm_area){
			.start = a->start,
			.last = a->start + a->size - 1,
			.readable = true,
			.writable = a->writable,
			.shared = a->shared,
		};
		return 0;
	}
	return -EFAULT;
}

static int mm_share(struct mm *mm, const struct mm_area *area, uva_t uva, uint64_t length, void **out)
{
	if (!area->shared)
		return -EOPNOTSUPP;
	*out = (void *)(uintptr_t)uva;
	return 0;
}

static void mm_unshare(struct mm *mm, void *p, uint64_t length)
{
}

static int mm_read(struct mm *mm, void *dst, uva_t src, size_t n)
{
	return move(dst, src, n, false);
}

static int mm_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	return move((void *)(uintptr_t)src, dst, n, true);
}

struct test_mm {
	struct mm mm;
	atomic_ullong limit;
	atomic_bool dead;
};

static bool mm_is_alive(struct mm *mm)
{
	return !atomic_load(&container_of(mm, struct test_mm, mm)->dead);
}

static uint64_t mm_limit(struct mm *mm)
{
	return atomic_load(&container_of(mm, struct test_mm, mm)->limit);
}

static void mm_free(struct mm *mm)
{
	assert_int_equal(atomic_load(&mm->locked_pages), 0);
	free(container_of(mm, struct test_mm, mm));
}

static const struct mm_ops mm_ops = {
	.area = mm_area_of,
	.share = mm_share,
	.unshare = mm_unshare,
	.read = mm_read,
	.write = mm_write,
	.memlock_limit = mm_limit,
	.free = mm_free,
	.alive = mm_is_alive,
};

/* ---- the caller ---- */

static struct caller *caller_of(struct task *t)
{
	return container_of(t, struct caller, task);
}

static void maybe_stick(struct task *t, uva_t at)
{
	struct caller *c = caller_of(t);

	if (!at || (at & -PAGE) != atomic_load(&c->stuck_page))
		return;
	atomic_fetch_add(&c->stuck, 1);
	while (atomic_load(&c->stuck_page)) {
		const struct timespec pause = { 0, 1000000 };

		nanosleep(&pause, NULL);
	}
	atomic_fetch_sub(&c->stuck, 1);
}

static int t_copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	maybe_stick(t, src);
	return move(dst, src, n, false);
}

static int t_copy_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	maybe_stick(t, dst);
	return move((void *)(uintptr_t)src, dst, n, true);
}

static int t_file_get(struct task *t, int fd, struct file **out)
{
	struct caller *c = caller_of(t);

	if (fd == HOST_FD)
		return -EBADFD;
	SCOPED_LOCK(&c->lock);
	if (fd < 0 || fd >= FDS || !c->fds[fd])
		return -EBADF;
	*out = file_get(c->fds[fd]);
	return 0;
}

static int t_fd_install(struct task *t, struct file *f, int oflags)
{
	struct caller *c = caller_of(t);

	SCOPED_LOCK(&c->lock);
	for (int i = 0; i < FDS; i++) {
		if (!c->fds[i]) {
			c->fds[i] = file_get(f);
			return i;
		}
	}
	return -EMFILE;
}

static int t_event_get(struct task *t, int fd, struct event **out)
{
	return -EBADF;
}

static bool t_capable(struct task *t, enum task_cap cap)
{
	struct caller *c = caller_of(t);

	return cap == TASK_CAP_IPC_LOCK ? c->ipc_lock : cap == TASK_CAP_SYS_RAWIO ? c->rawio : c->admin;
}

static const struct task_ops task_ops = {
	.copy_in = t_copy_in,
	.copy_out = t_copy_out,
	.file_get = t_file_get,
	.fd_install = t_fd_install,
	.event_get = t_event_get,
	.capable = t_capable,
};

struct caller *caller_create(void)
{
	struct caller *c = calloc(1, sizeof(*c));
	struct test_mm *m = calloc(1, sizeof(*m));

	assert_true(c && m);
	m->mm.ops = &mm_ops;
	ref_init(&m->mm.ref);
	atomic_init(&m->limit, UINT64_MAX);
	c->task.ops = &task_ops;
	c->task.mm = &m->mm;
	c->task.tgid = c->task.tid = getpid();
	snprintf(c->task.comm, sizeof(c->task.comm), "tester");
	mutex_init(&c->lock, RANK_NONE);
	return c;
}

void caller_limit(struct caller *c, uint64_t bytes)
{
	atomic_store(&container_of(c->task.mm, struct test_mm, mm)->limit, bytes);
}

void caller_end(struct caller *c)
{
	atomic_store(&container_of(c->task.mm, struct test_mm, mm)->dead, true);
}

void caller_destroy(struct caller *c)
{
	for (int i = FDS; i-- > 0;) {
		file_put(c->fds[i]);
		c->fds[i] = NULL;
	}
	mm_put(c->task.mm);
	mutex_fini(&c->lock);
	free(c);
}

int sys_open(struct caller *c, const char *path)
{
	struct file *f;
	int rc = tree_open(host.tree, &c->task, path, O_RDWR, &f);

	if (rc)
		return rc;
	rc = t_fd_install(&c->task, f, O_RDWR);
	file_put(f);
	return rc;
}

void sys_close(struct caller *c, int fd)
{
	struct file *f;

	mutex_lock(&c->lock);
	f = c->fds[fd];
	c->fds[fd] = NULL;
	mutex_unlock(&c->lock);
	file_put(f);
}

long sys_ioctl_u(struct caller *c, int fd, unsigned cmd, uint64_t arg)
{
	struct file *f;
	long rc = t_file_get(&c->task, fd, &f);

	if (rc)
		return rc;
	rc = file_ioctl(f, &c->task, cmd, arg);
	file_put(f);
	return rc;
}

long sys_ioctl(struct caller *c, int fd, unsigned cmd, const void *arg)
{
	return sys_ioctl_u(c, fd, cmd, (uintptr_t)arg);
}

/* ---- the host ---- */

void host_start(void)
{
	host.unit = (struct iommu_unit){
		.name = "unit0",
		.width = 48,
		.pgsizes = 0x40201000,
		.coherent = true,
		.enforce_coherency = true,
		.msi_isolated = true,
		.default_domain = "DMA",
	};
	host.params = (struct vfio_params){ .type1_dma_entry_limit = 65535 };
	log_init(&host.log, NULL, NULL);
	assert_int_equal(tree_create(&host.tree), 0);
	assert_int_equal(mem_create(&host.log, &host.mem), 0);
	assert_int_equal(iommu_create(host.mem, &host.log, &host.iommu), 0);
	assert_int_equal(vfio_create(host.tree, host.mem, host.iommu, &host.log, NULL, &host.params, &host.vfio), 0);
	host.vfio->request_ms = 20;
}

void host_stop(void)
{
	vfio_destroy(host.vfio);
	assert_int_equal(mem_pinned_pages(host.mem), 0);
	iommu_destroy(host.iommu);
	mem_destroy(host.mem);
	tree_destroy(host.tree);
	log_fini(&host.log);
	while (nareas) {
		nareas--;
		munmap((void *)(uintptr_t)areas[nareas].start, areas[nareas].size);
	}
}

struct iommu_group *group_create(void)
{
	struct iommu_group *g;

	assert_int_equal(iommu_group_create(host.iommu, &g), 0);
	return g;
}

/* ---- devices ---- */

static struct device *device_of(struct vfio_device *v)
{
	return container_of(v, struct device, v);
}

static int v_open(struct vfio_device *v)
{
	if (device_of(v)->open_rc)
		return device_of(v)->open_rc;
	device_of(v)->opens++;
	return 0;
}

static void v_close(struct vfio_device *v)
{
	device_of(v)->closes++;
}

/* "name" or "name option"; an option of "bad" is refused. */
static int v_match(struct vfio_device *v, const char *text)
{
	size_t n = strlen(v->dev->name);

	if (strncmp(text, v->dev->name, n) || (text[n] && text[n] != ' '))
		return 0;
	return strstr(text, " bad") ? -EINVAL : 1;
}

static long v_ioctl(struct vfio_device *v, struct task *t, unsigned cmd, uint64_t arg)
{
	return cmd == VFIO_DEVICE_RESET ? 0 : -ENOTTY;
}

static long v_feature(struct vfio_device *v, struct task *t, uint32_t flags, uva_t data, size_t size)
{
	int rc;

	if ((flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_PCI_VF_TOKEN)
		return -ENOTTY;
	rc = vfio_feature_check(flags, size, VFIO_DEVICE_FEATURE_SET, 16);
	return rc > 0 ? 7 : rc;
}

static void v_request(struct vfio_device *v, unsigned count)
{
	assert_int_equal(count, device_of(v)->requests);
	device_of(v)->requests++;
}

static const struct vfio_device_ops v_ops = {
	.name = "test",
	.open = v_open,
	.close = v_close,
	.match = v_match,
	.ioctl = v_ioctl,
	.feature = v_feature,
	.request = v_request,
};

struct device *device_create(const char *name, struct iommu_group *g)
{
	struct device *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	snprintf(d->dev.name, sizeof(d->dev.name), "%s", name);
	snprintf(d->dev.sysfs, sizeof(d->dev.sysfs), "/sys/devices/test/%s", name);
	assert_int_equal(tree_dir(host.tree, d->dev.sysfs), 0);
	assert_int_equal(iommu_dev_create(host.iommu, d->dev.name, g ? &host.unit : NULL, &d->iommu), 0);
	if (g)
		assert_int_equal(iommu_dev_join(d->iommu, g), 0);
	d->v = (struct vfio_device){ .ops = &v_ops, .dev = &d->dev, .iommu = d->iommu };
	return d;
}

static int pin_slot(struct device *d, uint64_t iova)
{
	for (unsigned i = 0; i < ARRAY_SIZE(d->pins); i++) {
		if (d->pins[i].n && d->pins[i].iova == iova)
			return (int)i;
	}
	return -1;
}

int device_pin(struct device *d, uint64_t iova, unsigned prot, phys_t *phys)
{
	phys_t none;
	int rc, slot;

	SCOPED_LOCK(&d->pin_lock);
	rc = vfio_pin_pages(&d->v, iova, 1, prot, phys ? phys : &none);
	if (rc < 0)
		return rc;
	slot = pin_slot(d, iova);
	for (unsigned i = 0; slot < 0 && i < ARRAY_SIZE(d->pins); i++) {
		if (!d->pins[i].n)
			slot = (int)i;
	}
	assert_true(slot >= 0);
	d->pins[slot].iova = iova;
	d->pins[slot].n++;
	return rc;
}

void device_unpin(struct device *d, uint64_t iova)
{
	int slot;

	SCOPED_LOCK(&d->pin_lock);
	slot = pin_slot(d, iova);
	if (slot >= 0)
		d->pins[slot].n--;
	vfio_unpin_pages(&d->v, iova, 1);
}

static void v_dma_unmap(struct vfio_device *v, iova_t iova, uint64_t length)
{
	struct device *d = device_of(v);

	atomic_fetch_add(&d->notices, 1);
	SCOPED_LOCK(&d->pin_lock);
	for (unsigned i = 0; i < ARRAY_SIZE(d->pins); i++) {
		for (; d->pins[i].n && d->pins[i].iova - iova < length; d->pins[i].n--)
			vfio_unpin_pages(v, d->pins[i].iova, 1);
	}
}

static void v_close_pinning(struct vfio_device *v)
{
	v_dma_unmap(v, 0, UINT64_MAX);
	v_close(v);
}

static const struct vfio_device_ops pinning_ops = {
	.name = "pinning",
	.open = v_open,
	.close = v_close_pinning,
	.match = v_match,
	.ioctl = v_ioctl,
	.request = v_request,
	.dma_unmap = v_dma_unmap,
};

struct device *device_create_pinning(const char *name, struct iommu_group *g)
{
	struct device *d = device_create(name, g);

	mutex_init(&d->pin_lock, RANK_VFIO_EMULATED);
	d->v.ops = &pinning_ops;
	if (!g)
		d->v.iommu = NULL;
	return d;
}

void device_destroy(struct device *d)
{
	if (iommu_dev_group(d->iommu))
		iommu_dev_leave(d->iommu);
	iommu_dev_destroy(d->iommu);
	tree_remove(host.tree, d->dev.sysfs);
	free(d);
}

struct device *device_add(const char *name, struct iommu_group *g)
{
	struct device *d = device_create(name, g);

	assert_int_equal(vfio_register(host.vfio, &d->v), 0);
	return d;
}

void device_del(struct device *d)
{
	vfio_unregister(&d->v);
	device_destroy(d);
}

/* ---- calls ---- */

int group_open_node(struct caller *c, struct iommu_group *g)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%u", iommu_group_id(g));
	return sys_open(c, path);
}

long group_set(struct caller *c, int group, int container)
{
	int32_t fd = container;

	return sys_ioctl(c, group, VFIO_GROUP_SET_CONTAINER, &fd);
}

long map(struct caller *c, int container, uint64_t iova, const void *vaddr, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map a = {
		.argsz = sizeof(a),
		.flags = flags,
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};

	return sys_ioctl(c, container, VFIO_IOMMU_MAP_DMA, &a);
}

int64_t unmap(struct caller *c, int container, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap a = { .argsz = sizeof(a), .flags = flags, .iova = iova, .size = size };
	long rc = sys_ioctl(c, container, VFIO_IOMMU_UNMAP_DMA, &a);

	if (rc) /* UNM-11 */
		assert_int_equal(a.size, size);
	return rc ? rc : (int64_t)a.size;
}
