/* SPDX-License-Identifier: MIT */
/*
 * Host drivers as data. They stand for what a kernel would have bound: what matters is which devices they match,
 * whether they count as users of kernel DMA (unless managed), and whether their probe fails. They touch no device.
 */
#include "machine/priv.h"
#include <string.h>

static int host_answer(const struct machine_host_driver *h, struct pci_dev *d)
{
	switch (h->probe) {
	case MACHINE_PROBE_PORT:
		if (d->type != PCI_ROOT_PORT && d->type != PCI_UPSTREAM && d->type != PCI_DOWNSTREAM &&
		    d->type != PCI_RC_EVENT)
			return -ENODEV;
		return 0;
	case MACHINE_PROBE_SHPC:
		/* AMD's 7450 has the controller and does not say so (spec 10, 2.6). */
		return pci_find_cap(d, PCI_CAP_ID_SHPC) || (d->vendor == 0x1022 && d->device == 0x7450) ? 0 : -ENODEV;
	default:
		return h->needs && !atomic_load(&h->needs->bound) ? -DEV_EPROBE_DEFER : h->probe_error;
	}
}

static int host_probe(struct drv *drv, struct dev *dev)
{
	struct machine_host_driver *h = container_of(drv, struct machine_host_driver, drv);
	int rc = host_answer(h, pci_dev_of(dev));

	if (rc == 0)
		atomic_fetch_add(&h->bound, 1);
	return rc;
}

static void host_remove(struct drv *drv, struct dev *dev)
{
	atomic_fetch_sub(&container_of(drv, struct machine_host_driver, drv)->bound, 1);
}

/* As what Linux offers its drivers for this: no say of their own. */
static int host_split(struct drv *drv, struct dev *dev, unsigned n)
{
	if (n)
		return pci_sriov_enable(pci_dev_of(dev), n, NULL);
	pci_sriov_disable(pci_dev_of(dev));
	return 0;
}

static void host_remove_all(struct drv *drv, struct dev *dev)
{
	pci_sriov_disable(pci_dev_of(dev));
	host_remove(drv, dev);
}

static const struct drv_ops host_ops[] = {
	[MACHINE_VFS_NONE] = { .probe = host_probe, .remove = host_remove },
	[MACHINE_VFS_LEFT] = { .probe = host_probe, .remove = host_remove, .split = host_split },
	[MACHINE_VFS_TAKEN] = { .probe = host_probe, .remove = host_remove_all, .split = host_split },
};

/*
 * /sys/module, where tools look whether a driver is loaded. Those of the kernel itself are not there, as in Linux,
 * where they show only when they have parameters.
 */
static int add_module(struct machine *m, const char *name)
{
	char module[80];
	int rc;

	snprintf(module, sizeof(module), "/sys/module/%s", name);
	for (char *p = strrchr(module, '/'); (p = strchr(p, '-'));)
		*p = '_';
	rc = tree_root(m->tree, module);
	if (!rc)
		rc = tree_linkf(m->tree, module, "/sys/bus/pci/drivers/%s/module", name);
	if (!rc) {
		char target[96];

		snprintf(target, sizeof(target), "/sys/bus/pci/drivers/%s", name);
		rc = tree_linkf(m->tree, target, "%s/drivers/pci:%s", module, name);
	}
	return rc == -EEXIST ? 0 : rc;
}

static int add(struct machine *m, struct machine_host_driver *h, bool module, enum machine_vfs vfs)
{
	int rc;

	h->drv.ops = &host_ops[vfs];
	rc = drv_register(m->bus, &h->drv);
	if (!rc) {
		m->ndrivers++;
		rc = module ? add_module(m, h->drv.name) : 0;
	}
	if (rc)
		log_msg(&m->log, LOG_ERR, "driver %s: cannot be registered (error %d)", h->drv.name, -rc);
	return rc;
}

static bool yes(enum machine_choice c, bool otherwise)
{
	return c == MACHINE_DEFAULT ? otherwise : c == MACHINE_YES;
}

static int add_builtin(struct machine *m, const struct machine_builtin_driver *b)
{
	struct machine_host_driver *h = &m->drivers[m->ndrivers];

	h->drv.name = b->name;
	h->drv.what = b->what;
	/* Before ownership was watched, any bridge driver passed (spec 10, 2.8). */
	h->drv.managed = b->managed || (b->probe == MACHINE_PROBE_SHPC &&
					(m->desc->parameters.vfio.without & VFIO_WITHOUT_DMA_OWNER));
	h->drv.uses_dma = b->uses_dma;
	h->drv.maps_mmio = b->maps_mmio;
	h->drv.ids = b->ids;
	h->probe = b->probe;
	return add(m, h, b->module, b->vfs);
}

/* Storage of all of them is there from the start, in the order of registration. */
static const struct machine_host_driver *find_host(struct machine *m, const char *name)
{
	const struct machine_driver *r = m->desc->drivers;
	unsigned n = 0;

	for (unsigned i = 0; machine_builtin_drivers(i); i++) {
		if (machine_builtin_drivers(i)->probe == MACHINE_PROBE_ELSEWHERE)
			continue;
		if (strcmp(machine_builtin_drivers(i)->name, name) == 0)
			return &m->drivers[n];
		n++;
	}
	for (unsigned i = 0; i < m->desc->drivers_count; i++) {
		if (strcmp(r[i].name, name) == 0)
			return &m->drivers[n + i];
	}
	return NULL;
}

static int add_described(struct machine *m, const struct machine_driver *r)
{
	struct machine_host_driver *h = &m->drivers[m->ndrivers];

	h->drv.name = r->name;
	h->drv.what = r->what ? r->what : "a driver of the machine file";
	h->drv.managed = yes(r->managed, false);
	h->drv.uses_dma = yes(r->does_dma, !h->drv.managed);
	h->drv.maps_mmio = yes(r->maps_mmio, !h->drv.managed);
	h->drv.ids = r->match_count ? r->table : NULL;
	h->probe_error = r->probe_error;
	h->needs = r->needs ? find_host(m, r->needs) : NULL;
	if (machine_audit_driver(m->desc, r))
		log_msg(&m->log, LOG_WARN, "driver %s of bridges is unsafe in a user's group: %s", r->name,
			machine_audit_why(r));
	return add(m, h, true, yes(r->sriov, false) ? MACHINE_VFS_TAKEN : MACHINE_VFS_NONE);
}

/* The kernel's command line names ids as new_id does, with colons; a bad one is skipped. */
static void add_stub_ids(struct machine *m)
{
	const struct machine_host_driver *stub = find_host(m, "pci-stub");
	AUTO_FREE char *ids = m->desc->parameters.stub_ids ? strdup(m->desc->parameters.stub_ids) : NULL;
	char *save = NULL, line[80];

	for (char *id = ids ? strtok_r(ids, ",", &save) : NULL; id; id = strtok_r(NULL, ",", &save)) {
		unsigned f[6] = { 0, 0, DRV_ANY_ID, DRV_ANY_ID, 0, 0 };
		int n = sscanf(id, "%x:%x:%x:%x:%x:%x", &f[0], &f[1], &f[2], &f[3], &f[4], &f[5]), rc = -EINVAL;

		snprintf(line, sizeof(line), "%x %x %x %x %x %x", f[0], f[1], f[2], f[3], f[4], f[5]);
		if (n >= 2)
			rc = drv_new_id((struct drv *)&stub->drv, line);
		log_msg(&m->log, rc ? LOG_WARN : LOG_INFO, "pci-stub: %s %s", rc ? "invalid id string" : "add", id);
	}
}

int machine_drivers_register(struct machine *m)
{
	const struct machine_builtin_driver *b;
	unsigned builtin = 0;
	int rc = 0;

	while (machine_builtin_drivers(builtin))
		builtin++;
	m->drivers = calloc(builtin + m->desc->drivers_count, sizeof(*m->drivers));
	if (!m->drivers)
		return -ENOMEM;
	for (unsigned i = 0; !rc && (b = machine_builtin_drivers(i)); i++) {
		if (b->probe != MACHINE_PROBE_ELSEWHERE)
			rc = add_builtin(m, b);
	}
	for (unsigned i = 0; !rc && i < m->desc->drivers_count; i++)
		rc = add_described(m, &m->desc->drivers[i]);
	if (!rc)
		add_stub_ids(m);
	return rc;
}

void machine_drivers_unregister(struct machine *m)
{
	while (m->ndrivers)
		drv_unregister(&m->drivers[--m->ndrivers].drv);
	free(m->drivers);
	m->drivers = NULL;
}
