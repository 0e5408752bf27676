/* SPDX-License-Identifier: MIT */
/*
 * /sys/devices/pciDDDD:BB/.../BDF: the attributes of a function. One table for all functions; what a function does
 * not have is invisible. core/ adds driver_override, remove, rescan and the links; sysfs_group.c the group.
 *
 * Reads of config, resource and the ids are what lspci and every user-space driver start with.
 */
#include "pci/priv.h"
#include <string.h>
#include <unistd.h>

/* Flags of the kernel's resources, as the third column of "resource" shows them. */
#define RES_IO        0x00000100ull
#define RES_MEM       0x00000200ull
#define RES_PREFETCH  0x00002000ull
#define RES_READONLY  0x00004000ull
#define RES_SIZEALIGN 0x00040000ull
#define RES_SHADOW    0x00000012ull /* a ROM's copy, at a place that stays */
#define RES_MEM64     0x00100000ull
#define RES_ENDPOINT  13 /* BARs, ROM, six for virtual functions */
#define RES_BRIDGE    17 /* and four windows */

static int parse_number(const char *text, unsigned long *out)
{
	char *end;

	errno = 0;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	*out = strtoul(text, &end, 0);
	end += *end == '\n';
	return *end || errno ? -EINVAL : 0;
}

/* ---- identity ---- */

#define SHOW(name, ...)                                        \
	static int name##_show(void *priv, FILE *out)          \
	{                                                      \
		struct pci_dev *d = priv;                      \
                                                               \
		(void)d;                                       \
		fprintf(out, __VA_ARGS__);                     \
		return 0;                                      \
	}

SHOW(vendor, "0x%04x\n", d->vendor)
SHOW(device, "0x%04x\n", d->device)
SHOW(subvendor, "0x%04x\n", d->subvendor)
SHOW(subdevice, "0x%04x\n", d->subdevice)
SHOW(class, "0x%06x\n", d->class_code)
SHOW(revision, "0x%02x\n", d->priv->model.revision)
SHOW(irq, "%u\n", pci_config_read(d, PCI_INTERRUPT_PIN, 1) ? pci_config_read(d, PCI_INTERRUPT_LINE, 1) : 0)
SHOW(numa_node, "-1\n")
SHOW(dma_mask_bits, "32\n")
SHOW(ari_enabled, "0\n")

#define MODALIAS_FMT "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n"
#define MODALIAS_ARGS(d)                                                                                    \
	(d)->vendor, (d)->device, (d)->subvendor, (d)->subdevice, (d)->class_code >> 16 & 0xff,             \
		(d)->class_code >> 8 & 0xff, (d)->class_code & 0xff

SHOW(modalias, MODALIAS_FMT, MODALIAS_ARGS(d))

static int uevent_show(void *priv, FILE *out)
{
	struct pci_dev *d = priv;
	struct drv *drv = dev_driver(&d->dev);

	if (drv)
		fprintf(out, "DRIVER=%s\n", drv->name);
	fprintf(out, "PCI_CLASS=%04X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\nPCI_SLOT_NAME=%s\n", d->class_code,
		d->vendor, d->device, d->subvendor, d->subdevice, d->dev.name);
	fprintf(out, "MODALIAS=" MODALIAS_FMT, MODALIAS_ARGS(d));
	return 0;
}

/* Nobody listens to uevents here; an action that Linux knows is accepted. */
static ssize_t uevent_store(void *priv, struct task *t, const char *buf, size_t n)
{
	static const char *const action[] = { "add", "remove", "change", "move", "online", "offline", "bind",
					      "unbind" };

	for (unsigned i = 0; i < ARRAY_SIZE(action); i++) {
		size_t len = strlen(action[i]);

		if (strncmp(buf, action[i], len) == 0 && strchr(" \n", buf[len]))
			return (ssize_t)n;
	}
	return -EINVAL;
}

static int local_cpus_show(void *priv, FILE *out)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), words = (cpus + 31) / 32;

	for (long w = words; w-- > 0;) {
		long n = MIN(cpus - 32 * w, 32L);

		fprintf(out, w == words - 1 ? "%x" : "%08x", n == 32 ? ~0u : (1u << n) - 1);
		fputc(w ? ',' : '\n', out);
	}
	return 0;
}

static int local_cpulist_show(void *priv, FILE *out)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus > 1)
		fprintf(out, "0-%ld\n", cpus - 1);
	else
		fprintf(out, "0\n");
	return 0;
}

/* ---- resources ---- */

static void show_bar(const struct pci_bar *b, FILE *out)
{
	uint64_t flags = RES_SIZEALIGN;

	if (!b || !b->size) {
		fprintf(out, "0x%016x 0x%016x 0x%016x\n", 0, 0, 0);
		return;
	}
	if (b->kind == PCI_BAR_IO)
		flags |= RES_IO | PCI_BASE_ADDRESS_SPACE_IO;
	else
		flags |= RES_MEM;
	if (b->kind == PCI_BAR_MEM64)
		flags |= RES_MEM64 | PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (b->prefetchable)
		flags |= RES_PREFETCH | PCI_BASE_ADDRESS_MEM_PREFETCH;
	fprintf(out, "0x%016llx 0x%016llx 0x%016llx\n", (unsigned long long)b->address,
		(unsigned long long)(b->address + b->size - 1), (unsigned long long)flags);
}

/* An image that firmware brought is no resource. */
static void show_rom(struct pci_dev *d, FILE *out)
{
	struct pci_rom rom = pci_rom(d);
	uint64_t flags = RES_MEM | (rom.kind == PCI_ROM_SHADOW ? RES_SHADOW : RES_PREFETCH | RES_READONLY | RES_SIZEALIGN);

	if (!rom.address)
		show_bar(NULL, out);
	else
		fprintf(out, "0x%016llx 0x%016llx 0x%016llx\n", (unsigned long long)rom.address,
			(unsigned long long)(rom.address + rom.size - 1), (unsigned long long)flags);
}

static int resource_show(void *priv, FILE *out)
{
	static const uint64_t flags[PCI_WINS] = {
		[PCI_WIN_IO] = RES_IO | PCI_IO_RANGE_TYPE_32,
		[PCI_WIN_MEM] = RES_MEM,
		[PCI_WIN_PREF] = RES_MEM | RES_PREFETCH | RES_MEM64 | PCI_PREF_RANGE_TYPE_64,
	};
	struct pci_dev *d = priv;

	for (unsigned i = 0; i < RES_ENDPOINT; i++) {
		if (i == PCI_ROM)
			show_rom(d, out);
		else
			show_bar(d->bridge ? NULL : pci_bar(d, i), out);
	}
	for (unsigned i = RES_ENDPOINT; d->bridge && i < RES_BRIDGE; i++) {
		unsigned w = i - RES_ENDPOINT;
		struct pci_range r = { 1, 0 };

		if (w < PCI_WINS) {
			SCOPED_LOCK(&d->pci->topo);
			r = d->priv->win[w];
		}
		if (r.first > r.last)
			show_bar(NULL, out);
		else
			fprintf(out, "0x%016llx 0x%016llx 0x%016llx\n", (unsigned long long)r.first,
				(unsigned long long)r.last, (unsigned long long)flags[w]);
	}
	return 0;
}

static ssize_t config_pread(void *priv, void *buf, size_t n, uint64_t pos)
{
	return (ssize_t)pci_config_span(priv, pos, buf, n, false);
}

static ssize_t config_pwrite(void *priv, const void *buf, size_t n, uint64_t pos)
{
	struct pci_dev *d = priv;

	if (pos > d->config_size)
		return 0;
	return (ssize_t)pci_config_span(d, pos, (void *)buf, n, true); /* only read from */
}

static uint64_t config_bytes(void *priv)
{
	return ((struct pci_dev *)priv)->config_size;
}

/* ---- switches ---- */

static int enable_show(void *priv, FILE *out)
{
	struct pci_dev *d = priv;
	bool bound = dev_driver(&d->dev) != NULL;

	SCOPED_LOCK(&d->lock);
	fprintf(out, "%u\n", d->priv->enables + bound);
	return 0;
}

static ssize_t enable_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct pci_dev *d = priv;
	unsigned long on;

	if (!task_capable(t, TASK_CAP_SYS_ADMIN))
		return -EPERM;
	if (parse_number(buf, &on))
		return -EINVAL;
	SCOPED_LOCK(&d->dev.lock);
	if (d->dev.driver)
		return -EBUSY;
	if (on) {
		pci_config_write(d, PCI_COMMAND, 2,
				 pci_config_read(d, PCI_COMMAND, 2) | PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
		mutex_lock(&d->lock);
		d->priv->enables++;
		mutex_unlock(&d->lock);
		return (ssize_t)n;
	}
	mutex_lock(&d->lock);
	on = d->priv->enables;
	d->priv->enables -= on ? 1 : 0;
	mutex_unlock(&d->lock);
	if (!on)
		return -EIO;
	if (on == 1)
		pci_config_write(d, PCI_COMMAND, 2,
				 pci_config_read(d, PCI_COMMAND, 2) & ~(uint32_t)PCI_COMMAND_MASTER);
	return (ssize_t)n;
}

#define FLAG(name)                                                                                         \
	static int name##_show(void *priv, FILE *out)                                                      \
	{                                                                                                  \
		struct pci_dev *d = priv;                                                                  \
                                                                                                           \
		SCOPED_LOCK(&d->lock);                                                                     \
		fprintf(out, "%d\n", d->priv->name);                                                       \
		return 0;                                                                                  \
	}                                                                                                  \
	static ssize_t name##_store(void *priv, struct task *t, const char *buf, size_t n)                 \
	{                                                                                                  \
		struct pci_dev *d = priv;                                                                  \
		unsigned long on;                                                                          \
                                                                                                           \
		if (parse_number(buf, &on))                                                                \
			return -EINVAL;                                                                    \
		SCOPED_LOCK(&d->lock);                                                                     \
		d->priv->name = on != 0;                                                                   \
		return (ssize_t)n;                                                                         \
	}

FLAG(msi_bus)
FLAG(broken_parity)
FLAG(d3cold)

static int power_state_show(void *priv, FILE *out)
{
	static const char *const state[] = { "D0", "D1", "D2", "D3hot" };

	fprintf(out, "%s\n", state[pci_power(priv) & 3]);
	return 0;
}

/* ---- links ---- */

static const char *speed_text(uint32_t link)
{
	static const char *const gts[] = { "Unknown", "2.5 GT/s PCIe", "5.0 GT/s PCIe", "8.0 GT/s PCIe",
					   "16.0 GT/s PCIe", "32.0 GT/s PCIe", "64.0 GT/s PCIe" };
	unsigned speed = link & 0xf;

	return gts[speed < ARRAY_SIZE(gts) ? speed : 0];
}

static uint32_t link_cap(struct pci_dev *d)
{
	return pci_config_read(d, d->priv->cap_exp + PCI_EXP_LNKCAP, 4);
}

static uint32_t link_status(struct pci_dev *d)
{
	return pci_config_read(d, d->priv->cap_exp + PCI_EXP_LNKSTA, 2);
}

SHOW(max_speed, "%s\n", speed_text(link_cap(d)))
SHOW(current_speed, "%s\n", speed_text(link_status(d)))
SHOW(max_width, "%u\n", link_cap(d) >> 4 & 0x3f)
SHOW(current_width, "%u\n", link_status(d) >> 4 & 0x3f)
SHOW(secondary, "%u\n", d->secondary->number)
SHOW(subordinate, "%u\n", pci_config_read(d, PCI_SUBORDINATE_BUS, 1))

static bool has_link(void *priv)
{
	struct pci_dev *d = priv;

	return d->priv->cap_exp && d->type != PCI_RC_ENDPOINT && d->type != PCI_RC_EVENT;
}

static bool is_bridge(void *priv)
{
	return ((struct pci_dev *)priv)->bridge;
}

static bool is_endpoint(void *priv)
{
	return !is_bridge(priv);
}

/* ---- reset ---- */

static bool resettable(void *priv)
{
	uint8_t methods[PCI_RESET_METHODS];

	return pci_reset_methods(priv, methods) != 0;
}

/* Linux blocks only the device's lock here: a bound driver's user sees the reset happen. */
static ssize_t reset_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct pci_dev *d = priv;
	unsigned long one;
	int rc;

	if (parse_number(buf, &one) || one != 1)
		return -EINVAL;
	SCOPED_LOCK(&d->dev.lock);
	rc = pci_reset_function(d);
	return rc ? rc : (ssize_t)n;
}

static int reset_method_show(void *priv, FILE *out)
{
	struct pci_dev *d = priv;

	SCOPED_LOCK(&d->lock);
	for (unsigned i = 0; i < d->priv->nreset; i++)
		fprintf(out, "%s%s", i ? " " : "", pci_reset_method_name(d->priv->reset_order[i]));
	if (d->priv->nreset)
		fputc('\n', out);
	return 0;
}

static int parse_methods(struct pci_dev *d, char *names, uint8_t order[PCI_RESET_METHODS], unsigned *n)
{
	uint8_t have[PCI_RESET_METHODS];
	unsigned nhave = pci_reset_methods(d, have);
	char *save = NULL;

	for (char *name = strtok_r(names, " \n", &save); name; name = strtok_r(NULL, " \n", &save)) {
		unsigned i = 0;

		while (i < nhave && strcmp(pci_reset_method_name(have[i]), name) != 0)
			i++;
		if (i == nhave || *n == PCI_RESET_METHODS || memchr(order, have[i], *n))
			return -EINVAL;
		order[(*n)++] = have[i];
	}
	return 0;
}

static ssize_t reset_method_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct pci_dev *d = priv;
	AUTO_FREE char *names = strndup(buf, n);
	uint8_t order[PCI_RESET_METHODS];
	unsigned count = 0;

	if (!names)
		return -ENOMEM;
	if (strcmp(names, "default") == 0 || strcmp(names, "default\n") == 0)
		count = pci_reset_methods(d, order);
	else if (parse_methods(d, names, order, &count))
		return -EINVAL;
	SCOPED_LOCK(&d->lock);
	memcpy(d->priv->reset_order, order, count);
	d->priv->nreset = count;
	return (ssize_t)n;
}

/* ---- the table ---- */

static const struct attr attrs[] = {
	{ .name = "vendor", .mode = 0444, .show = vendor_show },
	{ .name = "device", .mode = 0444, .show = device_show },
	{ .name = "subsystem_vendor", .mode = 0444, .show = subvendor_show, .visible = is_endpoint },
	{ .name = "subsystem_device", .mode = 0444, .show = subdevice_show, .visible = is_endpoint },
	{ .name = "class", .mode = 0444, .show = class_show },
	{ .name = "revision", .mode = 0444, .show = revision_show },
	{ .name = "irq", .mode = 0444, .show = irq_show },
	{ .name = "numa_node", .mode = 0644, .show = numa_node_show },
	{ .name = "local_cpus", .mode = 0444, .show = local_cpus_show },
	{ .name = "local_cpulist", .mode = 0444, .show = local_cpulist_show },
	{ .name = "modalias", .mode = 0444, .show = modalias_show },
	{ .name = "uevent", .mode = 0644, .show = uevent_show, .store = uevent_store },
	{ .name = "resource", .mode = 0444, .show = resource_show },
	{ .name = "config", .mode = 0644, .pread = config_pread, .pwrite = config_pwrite, .size = config_bytes },
	{ .name = "enable", .mode = 0644, .show = enable_show, .store = enable_store },
	{ .name = "broken_parity_status", .mode = 0644, .show = broken_parity_show, .store = broken_parity_store },
	{ .name = "msi_bus", .mode = 0644, .show = msi_bus_show, .store = msi_bus_store },
	{ .name = "dma_mask_bits", .mode = 0444, .show = dma_mask_bits_show },
	{ .name = "consistent_dma_mask_bits", .mode = 0444, .show = dma_mask_bits_show },
	{ .name = "d3cold_allowed", .mode = 0644, .show = d3cold_show, .store = d3cold_store },
	{ .name = "ari_enabled", .mode = 0444, .show = ari_enabled_show },
	{ .name = "power_state", .mode = 0444, .show = power_state_show },
	{ .name = "max_link_speed", .mode = 0444, .show = max_speed_show, .visible = has_link },
	{ .name = "max_link_width", .mode = 0444, .show = max_width_show, .visible = has_link },
	{ .name = "current_link_speed", .mode = 0444, .show = current_speed_show, .visible = has_link },
	{ .name = "current_link_width", .mode = 0444, .show = current_width_show, .visible = has_link },
	{ .name = "secondary_bus_number", .mode = 0444, .show = secondary_show, .visible = is_bridge },
	{ .name = "subordinate_bus_number", .mode = 0444, .show = subordinate_show, .visible = is_bridge },
	{ .name = "reset", .mode = 0200, .store = reset_store, .visible = resettable },
	{ .name = "reset_method", .mode = 0644, .show = reset_method_show, .store = reset_method_store,
	  .visible = resettable },
	ATTR_END
};

int pci_sysfs_add(struct pci_dev *d)
{
	int rc = tree_attrs(d->pci->tree, d->dev.sysfs, attrs, d);

	if (rc == 0)
		rc = pci_sysfs_group_add(d);
	if (rc == 0)
		rc = pci_sysfs_unit_add(d);
	if (rc == 0)
		rc = pci_sriov_add(d);
	if (rc == 0 && d->secondary)
		rc = pci_sysfs_bus_add(d->secondary);
	return rc;
}

void pci_sysfs_remove(struct pci_dev *d)
{
	/* Its own directory went with dev_del(). */
	pci_sriov_remove(d);
	if (d->secondary)
		pci_sysfs_bus_remove(d->secondary);
	pci_sysfs_unit_remove(d);
	pci_sysfs_group_remove(d);
}
