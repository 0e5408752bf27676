/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

struct host host;

/* ---- the model ---- */

#define PROBES 8
static struct probe *probes[PROBES];

static int probe_create(struct pci_dev *dev, const char *const *args, void **state)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->dev = dev;
	mutex_init(&p->lock, RANK_MODEL);
	for (unsigned i = 0; i < PROBES; i++) {
		if (!probes[i]) {
			probes[i] = p;
			*state = p;
			return 0;
		}
	}
	abort();
}

static void probe_destroy(void *state)
{
	struct probe *p = state;

	for (unsigned i = 0; i < PROBES; i++) {
		if (probes[i] == p)
			probes[i] = NULL;
	}
	mutex_fini(&p->lock);
	free(p);
}

static void probe_reset(void *state)
{
	struct probe *p = state;

	mutex_lock(&p->lock);
	memset(p->regs, 0, sizeof(p->regs));
	p->raw = 0;
	p->resets++;
	mutex_unlock(&p->lock);
	pci_intx_set(p->dev, false);
}

static void probe_note(struct probe *p, unsigned bar, uint64_t offset, unsigned width, bool write)
{
	if (p->strict && bar != 1 && !pci_memory_decodes(p->dev))
		p->closed++;
	p->seen[p->nseen++ % ARRAY_SIZE(p->seen)] = (struct seen){ bar, width, offset, write };
}

static void probe_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct probe *p = state;

	SCOPED_LOCK(&p->lock);
	probe_note(p, bar, offset, width, false);
	memcpy(data, p->regs[bar] + offset, width);
}

static void probe_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct probe *p = state;

	mutex_lock(&p->lock);
	probe_note(p, bar, offset, width, true);
	memcpy(p->regs[bar] + offset, data, width);
	mutex_unlock(&p->lock);
	if (p->on_write)
		p->on_write(p, bar, offset);
}

static uint32_t probe_config_read(void *state, unsigned offset)
{
	struct probe *p = state;

	SCOPED_LOCK(&p->lock);
	return p->raw;
}

static void probe_config_write(void *state, unsigned offset, uint32_t value, uint32_t mask)
{
	struct probe *p = state;

	SCOPED_LOCK(&p->lock);
	p->raw = (p->raw & ~mask) | (value & mask);
}

#define PROBE_COMMON                                                                             \
	.size = sizeof(struct pci_model), .vendor = 0x1b36, .device = 0x0001, .subvendor = 0x1af4, \
	.subdevice = 0x1100, .class_code = 0x00ff00, .revision = 3, .create = probe_create,      \
	.destroy = probe_destroy, .reset = probe_reset, .read = probe_read, .write = probe_write, \
	.bar = {                                                                                 \
		{ .kind = PCI_BAR_MEM32, .size = BAR0_SIZE },                                    \
		{ .kind = PCI_BAR_IO, .size = 32 },                                              \
		{ .kind = PCI_BAR_MEM64, .size = BAR2_SIZE, .plain = true, .prefetchable = true }, \
		{ .kind = PCI_BAR_NONE },                                                        \
		{ .kind = PCI_BAR_MEM32, .size = BAR4_SIZE },                                    \
	}

#define PROBE_IRQS                                                                           \
	.intx_pin = 1, .msi_vectors = 4, .msi_64bit = true, .msi_maskable = true,            \
	.msix_vectors = VECTORS, .msix_bar = 0, .msix_table = TABLE, .msix_pba = PBA

static const struct pci_model probe_model = {
	PROBE_COMMON, PROBE_IRQS, .name = "probe", .express = true, .flr = true, .power_management = true,
	.extended_config_writable = { RAW_DWORD }, .config_read = probe_config_read,
	.config_write = probe_config_write,
};
static const struct pci_model sibling_model = {
	PROBE_COMMON, PROBE_IRQS, .name = "sibling", .express = true, .power_management = true,
};
static const struct pci_model old_model = {
	PROBE_COMMON, .name = "old", .intx_pin = 2, .msi_vectors = 1, .power_management = true,
};

/* ---- the caller ---- */

/* By the kernel, as for a caller in another process: it may point anywhere. */
static int move(void *here, uva_t there, size_t n, bool write)
{
	struct iovec l = { here, n }, r = { (void *)(uintptr_t)there, n };
	ssize_t done = write ? process_vm_writev(getpid(), &l, 1, &r, 1, 0)
			     : process_vm_readv(getpid(), &l, 1, &r, 1, 0);

	return done == (ssize_t)n ? 0 : -EFAULT;
}

static int t_copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	return move(dst, src, n, false);
}

static int t_copy_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	return move((void *)(uintptr_t)src, dst, n, true);
}

static struct caller *caller_of(struct task *t)
{
	return container_of(t, struct caller, task);
}

static int t_file_get(struct task *t, int fd, struct file **out)
{
	struct caller *c = caller_of(t);

	if (fd == HOST_FD)
		return -EBADFD;
	SCOPED_LOCK(&c->lock);
	if (fd < FD_BASE || fd >= FD_BASE + FDS || !c->fds[fd - FD_BASE])
		return -EBADF;
	*out = file_get(c->fds[fd - FD_BASE]);
	return 0;
}

static int t_fd_install(struct task *t, struct file *f, int oflags)
{
	struct caller *c = caller_of(t);

	SCOPED_LOCK(&c->lock);
	for (int i = 0; i < FDS; i++) {
		if (!c->fds[i]) {
			c->fds[i] = file_get(f);
			return FD_BASE + i;
		}
	}
	return -EMFILE;
}

static int t_event_get(struct task *t, int fd, struct event **out)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return fd >= FD_BASE && fd < FD_BASE + FDS && caller_of(t)->fds[fd - FD_BASE] ? -EINVAL : -EBADF;
	target[n] = '\0';
	return strstr(target, "[eventfd]") ? event_create(fcntl(fd, F_DUPFD_CLOEXEC, 3), out) : -EINVAL;
}

static bool t_capable(struct task *t, enum task_cap cap)
{
	return true;
}

static const struct task_ops task_ops = {
	.copy_in = t_copy_in,
	.copy_out = t_copy_out,
	.file_get = t_file_get,
	.fd_install = t_fd_install,
	.event_get = t_event_get,
	.capable = t_capable,
};

static uint64_t mm_limit(struct mm *mm)
{
	return UINT64_MAX;
}

static void mm_free(struct mm *mm)
{
	free(mm);
}

static const struct mm_ops mm_ops = { .memlock_limit = mm_limit, .free = mm_free };

struct caller *caller_create(void)
{
	struct caller *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->task.ops = &task_ops;
	c->task.mm = calloc(1, sizeof(*c->task.mm));
	assert_non_null(c->task.mm);
	c->task.mm->ops = &mm_ops;
	ref_init(&c->task.mm->ref);
	c->task.tid = c->task.tgid = getpid();
	mutex_init(&c->lock, RANK_NONE);
	return c;
}

void caller_destroy(struct caller *c)
{
	for (int i = FDS; i-- > 0;)
		file_put(c->fds[i]);
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
	f = c->fds[fd - FD_BASE];
	c->fds[fd - FD_BASE] = NULL;
	mutex_unlock(&c->lock);
	file_put(f);
}

struct file *file_of(struct caller *c, int fd)
{
	SCOPED_LOCK(&c->lock);
	return c->fds[fd - FD_BASE];
}

long sys_ioctl_u(struct caller *c, int fd, unsigned cmd, uint64_t arg)
{
	return file_ioctl(file_of(c, fd), &c->task, cmd, arg);
}

long sys_ioctl(struct caller *c, int fd, unsigned cmd, const void *arg)
{
	return sys_ioctl_u(c, fd, cmd, (uintptr_t)arg);
}

ssize_t sys_pread(struct caller *c, int fd, void *buf, size_t n, uint64_t pos)
{
	return file_pread(file_of(c, fd), &c->task, (uintptr_t)buf, n, pos);
}

ssize_t sys_pwrite(struct caller *c, int fd, const void *buf, size_t n, uint64_t pos)
{
	return file_pwrite(file_of(c, fd), &c->task, (uintptr_t)buf, n, pos);
}

/* ---- the host ---- */

static const struct iommu_unit unit = {
	.name = "unit0",
	.width = 48,
	.pgsizes = 0x40201000,
	.coherent = true,
	.enforce_coherency = true,
	.msi_isolated = true,
	.requests_acs = true,
	.default_domain = "DMA",
};

static struct pci_dev *function_create(struct pci_bus *bus, struct pci_dev_desc desc, uint8_t secondary)
{
	struct pci_dev *d;

	desc.multifunction = -1;
	desc.unit = &unit;
	assert_int_equal(pci_dev_create(bus, &desc, secondary, &d), 0);
	return d;
}

static void announce(struct pci_dev *d)
{
	assert_int_equal(pci_dev_announce(d), 0);
	dev_autoprobe(&d->dev);
}

static void hardware_create(void)
{
	struct pci_dev *port[3], *below[4];
	struct pci_bus *root;

	assert_int_equal(pci_root_bus(host.pci, 0, 0, &root), 0);
	for (uint8_t i = 0; i < 3; i++) {
		struct pci_dev_desc bridge = {
			.slot = (uint8_t)(i + 1), .type = i < 2 ? PCI_ROOT_PORT : PCI_PCIE_TO_PCI, .bridge = true,
			.has_acs = i < 2, .acs_cap = 0x1f,
		};

		port[i] = function_create(root, bridge, (uint8_t)(i + 1));
	}
	for (unsigned i = 0; i < 3; i++)
		announce(port[i]);
	below[0] = function_create(port[0]->secondary, (struct pci_dev_desc){ .model = &probe_model }, 0);
	below[1] = function_create(port[1]->secondary, (struct pci_dev_desc){ .model = &sibling_model }, 0);
	below[2] = function_create(port[1]->secondary,
				   (struct pci_dev_desc){ .model = &sibling_model, .function = 1 }, 0);
	below[3] = function_create(port[2]->secondary, (struct pci_dev_desc){ .model = &old_model }, 0);
	for (unsigned i = 0; i < 4; i++)
		announce(below[i]);
}

void host_start(void)
{
	static const struct vfio_params vfio_params = { .type1_dma_entry_limit = 65535 };

	log_init(&host.log, NULL, NULL);
	assert_int_equal(tree_create(&host.tree), 0);
	assert_int_equal(tree_dir(host.tree, "/sys/kernel/iommu_groups"), 0);
	assert_int_equal(tree_dir(host.tree, "/sys/class/iommu"), 0);
	assert_int_equal(mem_create(&host.log, &host.mem), 0);
	assert_int_equal(iommu_create(host.mem, &host.log, &host.iommu), 0);
	assert_int_equal(event_loop_create(&host.loop), 0);
	assert_int_equal(bus_create("pci", &pci_bus_ops, host.tree, &host.log, &host.bus), 0);
	assert_int_equal(pci_create(host.bus, host.iommu, host.mem, &host.log, &host.pci), 0);
	assert_int_equal(vfio_create(host.tree, host.mem, host.iommu, &host.log, host.loop, &vfio_params, &host.vfio),
			 0);
	assert_int_equal(vfio_pci_create(host.vfio, host.pci, host.bus, &host.params, &host.vp), 0);
	hardware_create();
}

static int find_root(struct pci_dev *d, void *ctx)
{
	struct pci_dev **found = ctx;

	if (pci_bus_parent(d->bus))
		return 0;
	dev_get(&d->dev);
	*found = d;
	return 1;
}

void host_stop(void)
{
	struct pci_dev *d;

	while (pci_for_each(host.pci, find_root, &d)) {
		pci_dev_unplug(d);
		dev_put(&d->dev);
	}
	vfio_pci_destroy(host.vp);
	vfio_destroy(host.vfio);
	pci_destroy(host.pci);
	bus_destroy(host.bus);
	event_loop_destroy(host.loop);
	assert_int_equal(mem_pinned_pages(host.mem), 0);
	iommu_destroy(host.iommu);
	mem_destroy(host.mem);
	tree_destroy(host.tree);
	if (getenv("UVFIO_TEST_LOG"))
		log_dump(&host.log, stderr);
	log_fini(&host.log);
	for (unsigned i = 0; i < PROBES; i++)
		assert_null(probes[i]);
	memset(&host, 0, sizeof(host));
}

struct pci_dev *pci_of(const char *bdf)
{
	struct pci_dev *d = pci_find(host.pci, bdf);

	assert_non_null(d);
	dev_put(&d->dev); /* nothing is unplugged before host_stop() */
	return d;
}

struct probe *probe_of(const char *bdf)
{
	struct pci_dev *d = pci_of(bdf);

	for (unsigned i = 0; i < PROBES; i++) {
		if (probes[i] && probes[i]->dev == d)
			return probes[i];
	}
	fail_msg("no model behind %s", bdf);
	return NULL;
}

int bind(const char *bdf)
{
	assert_int_equal(dev_override(&pci_of(bdf)->dev, "vfio-pci"), 0);
	return drv_bind(drv_find(host.bus, "vfio-pci"), bdf);
}

void unbind(const char *bdf)
{
	assert_int_equal(drv_unbind(drv_find(host.bus, "vfio-pci"), bdf), 0);
}

/* ---- a use ---- */

int use_sibling(struct use *u, const char *bdf)
{
	return (int)sys_ioctl(u->c, u->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
}

void use_open(struct use *u, const char *bdf)
{
	struct pci_dev *d = pci_of(bdf);
	char node[64];
	int32_t fd;

	if (!dev_driver(&d->dev))
		assert_int_equal(bind(bdf), 0);
	u->c = caller_create();
	u->container = sys_open(u->c, "/dev/vfio/vfio");
	snprintf(node, sizeof(node), "/dev/vfio/%u", iommu_group_id(iommu_dev_group(d->iommu)));
	u->group = sys_open(u->c, node);
	assert_true(u->container >= FD_BASE && u->group >= FD_BASE);
	fd = u->container;
	assert_rc(sys_ioctl(u->c, u->group, VFIO_GROUP_SET_CONTAINER, &fd), 0);
	assert_rc(sys_ioctl_u(u->c, u->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	u->dev = use_sibling(u, bdf);
	assert_true(u->dev >= FD_BASE);
}

void use_close(struct use *u)
{
	caller_destroy(u->c);
}

uint32_t cfg_read(struct use *u, unsigned pos, unsigned width)
{
	uint32_t value = 0;

	assert_int_equal(sys_pread(u->c, u->dev, &value, width, CONFIG + pos), width);
	return value;
}

void cfg_write(struct use *u, unsigned pos, unsigned width, uint32_t value)
{
	assert_int_equal(sys_pwrite(u->c, u->dev, &value, width, CONFIG + pos), width);
}

unsigned cfg_cap(struct use *u, uint8_t id)
{
	unsigned pos = cfg_read(u, PCI_CAPABILITY_LIST, 1);

	for (unsigned i = 0; pos && i < 48; i++) {
		if (cfg_read(u, pos, 1) == id)
			return pos;
		pos = cfg_read(u, pos + 1, 1);
	}
	return 0;
}

void command(struct use *u, uint16_t value)
{
	cfg_write(u, PCI_COMMAND, 2, value);
}

int mmio(struct use *u, uint64_t offset, void *data, unsigned width, bool write)
{
	struct file *f = file_of(u->c, u->dev);

	return f->ops->mmio(f, &u->c->task, offset, data, width, write);
}

/* ---- interrupts ---- */

long irqs(struct use *u, uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const void *data,
	  size_t payload)
{
	uint8_t buf[sizeof(struct vfio_irq_set) + 512];
	struct vfio_irq_set *s = (void *)buf;

	assert_true(payload <= 512);
	s->argsz = (uint32_t)(sizeof(*s) + payload);
	s->flags = flags;
	s->index = index;
	s->start = start;
	s->count = count;
	if (payload)
		memcpy(s->data, data, payload);
	return sys_ioctl(u->c, u->dev, VFIO_DEVICE_SET_IRQS, buf);
}

long irq_fds(struct use *u, uint32_t index, uint32_t start, uint32_t count, const int32_t *fds)
{
	return irqs(u, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, index, start, count, fds, 4 * count);
}

long irq_off(struct use *u, uint32_t index)
{
	return irqs(u, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0, NULL, 0);
}

int efd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0 && fd < HOST_FD);
	return fd;
}

uint64_t efd_take(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

uint64_t efd_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 10000) == 1 ? efd_take(fd) : 0;
}
