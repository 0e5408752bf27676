/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include <fcntl.h>

struct box box;

/* ---- the toy ---- */

static int toy_create(struct pci_dev *dev, const char *const *args, void **state);

static void toy_work(void *state)
{
	struct toy *t = state;

	t->works++;
	if (t->dma_to)
		t->dma_result = pci_dma_write(t->dev, t->dma_to, &t->dma_data, 8);
}

static int toy_create(struct pci_dev *dev, const char *const *args, void **state)
{
	struct toy *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->dev = dev;
	mutex_init(&t->lock, RANK_MODEL);
	if (pci_worker_create(dev, toy_work, t, &t->worker)) {
		free(t);
		return -EAGAIN;
	}
	*state = t;
	return 0;
}

static void toy_destroy(void *state)
{
	struct toy *t = state;

	pci_worker_destroy(t->worker);
	mutex_fini(&t->lock);
	free(t);
}

void (*toy_on_reset)(struct pci_dev *d), (*toy_on_read)(struct pci_dev *d);

static void toy_reset(void *state)
{
	struct toy *t = state;

	if (toy_on_reset)
		toy_on_reset(t->dev);
	pci_worker_drain(t->worker);
	mutex_lock(&t->lock);
	memset(t->regs, 0, sizeof(t->regs));
	t->dword = 0;
	t->resets++;
	mutex_unlock(&t->lock);
	pci_intx_set(t->dev, false);
}

static void toy_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct toy *t = state;

	if (toy_on_read)
		toy_on_read(t->dev);
	SCOPED_LOCK(&t->lock);
	t->reads++;
	t->last_offset = offset;
	t->last_width = width;
	if (offset + width <= sizeof(t->regs))
		memcpy(data, t->regs + offset, width);
}

static void toy_dma(struct toy *t, uint64_t offset)
{
	if (offset == 0x100)
		t->dma_result = pci_dma_write(t->dev, t->dma_to, &t->dma_data, 8);
	else
		t->dma_result = pci_dma_read(t->dev, t->dma_to, &t->dma_data, 8);
}

static void toy_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct toy *t = state;

	mutex_lock(&t->lock);
	t->writes++;
	t->last_offset = offset;
	t->last_width = width;
	if (offset + width <= sizeof(t->regs))
		memcpy(t->regs + offset, data, width);
	if (t->hold && (offset == 0x100 || offset == 0x108))
		toy_dma(t, offset);
	mutex_unlock(&t->lock);
	if (!t->hold && (offset == 0x100 || offset == 0x108))
		toy_dma(t, offset);
}

static uint32_t toy_config_read(void *state, unsigned offset)
{
	return ((struct toy *)state)->dword;
}

static void toy_config_write(void *state, unsigned offset, uint32_t value, uint32_t mask)
{
	struct toy *t = state;

	t->dword = (t->dword & ~mask) | (value & mask);
}

#define TOY_CALLS                                                                                      \
	.create = toy_create, .destroy = toy_destroy, .reset = toy_reset, .read = toy_read,            \
	.write = toy_write, .config_read = toy_config_read, .config_write = toy_config_write

const struct pci_model toy_model = {
	.size = sizeof(struct pci_model),
	.name = "toy",
	.vendor = 0x1234, .device = 0x0001, .subvendor = 0x1af4, .subdevice = 0x1100,
	.class_code = 0x088000, .revision = 3,
	.express = true,
	.bar = {
		[TOY_REGS] = { .kind = PCI_BAR_MEM32, .size = 0x2000 },
		[TOY_MEM] = { .kind = PCI_BAR_MEM64, .size = 0x10000, .plain = true, .prefetchable = true },
		[TOY_IO] = { .kind = PCI_BAR_IO, .size = 32 },
	},
	.intx_pin = 1,
	.msi_vectors = 4, .msi_64bit = true, .msi_maskable = true,
	.msix_vectors = TOY_VECTORS, .msix_bar = TOY_REGS, .msix_table = 0x1000, .msix_pba = 0x1800,
	.flr = true, .power_management = true,
	.extended_config_writable = { 0x180 },
	TOY_CALLS,
};

const struct pci_model toy_pci_model = {
	.size = sizeof(struct pci_model),
	.name = "toy-pci",
	.vendor = 0x1234, .device = 0x0002, .class_code = 0x00ff00,
	.bar = { [TOY_REGS] = { .kind = PCI_BAR_MEM32, .size = 0x1000 } },
	.intx_pin = 2,
	.msi_vectors = 1,
	.power_management = true,
	TOY_CALLS,
};

const struct pci_model bare_model = {
	.size = sizeof(struct pci_model), .name = "bare", .vendor = 0x1234, .device = 0x0003, .class_code = 0xff0000,
	.express = true,
};

const struct pci_model bare_pci_model = {
	.size = sizeof(struct pci_model), .name = "bare-pci", .vendor = 0x1234, .device = 0x0004,
	.class_code = 0xff0000,
};

/* ---- the machine ---- */

int box_start(void **state)
{
	memset(&box, 0, sizeof(box));
	log_init(&box.log, NULL, NULL);
	assert_int_equal(tree_create(&box.tree), 0);
	assert_int_equal(mem_create(&box.log, &box.mem), 0);
	assert_int_equal(iommu_create(box.mem, &box.log, &box.iommu), 0);
	assert_int_equal(bus_create("pci", &pci_bus_ops, box.tree, &box.log, &box.bus), 0);
	assert_int_equal(pci_create(box.bus, box.iommu, box.mem, &box.log, &box.pci), 0);
	assert_int_equal(pci_root_bus(box.pci, 0, 0, &box.root), 0);
	box.unit = (struct iommu_unit){ .name = "dmar0", .width = 48, .pgsizes = 0x40201000, .coherent = true,
					.enforce_coherency = true, .msi_isolated = true, .requests_acs = true,
					.default_domain = "DMA-FQ" };
	return 0;
}

int box_stop(void **state)
{
	pci_unplug_all(box.pci);
	pci_destroy(box.pci);
	bus_destroy(box.bus);
	iommu_destroy(box.iommu);
	mem_destroy(box.mem);
	tree_destroy(box.tree);
	log_fini(&box.log);
	return 0;
}

struct pci_dev *add(struct pci_bus *bus, unsigned slot, unsigned function, const struct pci_model *model,
		    const struct iommu_unit *unit)
{
	struct pci_dev_desc desc = { .slot = (uint8_t)slot, .function = (uint8_t)function, .model = model,
				     .multifunction = -1, .unit = unit };
	struct pci_dev *d;

	assert_int_equal(pci_dev_create(bus, &desc, 0, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	return d;
}

struct pci_dev *add_port(unsigned slot, uint8_t secondary, const struct iommu_unit *unit)
{
	struct pci_dev_desc desc = { .slot = (uint8_t)slot, .bridge = true, .type = PCI_ROOT_PORT, .multifunction = -1,
				     .unit = unit, .has_acs = true, .acs_cap = PCI_ACS_ISOLATION };
	struct pci_dev *d;

	assert_int_equal(pci_dev_create(box.root, &desc, secondary, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	return d;
}

/* ---- sysfs as a program sees it; the "program" is this process ---- */

static int t_copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	memcpy(dst, (void *)(uintptr_t)src, n);
	return 0;
}

static int t_copy_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	memcpy((void *)(uintptr_t)dst, src, n);
	return 0;
}

static bool t_capable(struct task *t, enum task_cap cap)
{
	return true;
}

static const struct task_ops task_ops = { .copy_in = t_copy_in, .copy_out = t_copy_out, .capable = t_capable };
static struct task root = { .ops = &task_ops, .tid = 1, .tgid = 1, .comm = "test" };

const char *tree_read(const char *path)
{
	static char text[8192];
	struct file *f;
	ssize_t n;

	if (tree_open(box.tree, &root, path, O_RDONLY, &f))
		return NULL;
	n = file_pread(f, &root, (uva_t)(uintptr_t)text, sizeof(text) - 1, 0);
	file_put(f);
	if (n < 0)
		return NULL;
	text[n] = 0;
	return text;
}

long tree_write(const char *path, const char *text)
{
	struct file *f;
	long n = tree_open(box.tree, &root, path, O_WRONLY, &f);

	if (n)
		return n;
	n = file_write(f, &root, (uva_t)(uintptr_t)text, strlen(text));
	file_put(f);
	return n;
}

const char *sysfs_read(const struct pci_dev *d, const char *name)
{
	char path[320];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", d->dev.name, name);
	return tree_read(path);
}

long sysfs_write(const struct pci_dev *d, const char *name, const char *text)
{
	char path[320];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", d->dev.name, name);
	return tree_write(path, text);
}
