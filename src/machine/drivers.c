/* SPDX-License-Identifier: MIT */
/*
 * Host drivers as data. They stand for what a kernel would have bound: what matters is which devices they match,
 * whether they count as users of kernel DMA (unless managed), and whether their probe fails. They touch no device.
 */
#include "machine/priv.h"

static int host_probe(struct drv *drv, struct dev *dev)
{
	struct machine_host_driver *h = container_of(drv, struct machine_host_driver, drv);
	struct pci_dev *d = pci_dev_of(dev);

	switch (h->probe) {
	case MACHINE_PROBE_PORT:
		if (d->type != PCI_ROOT_PORT && d->type != PCI_UPSTREAM && d->type != PCI_DOWNSTREAM &&
		    d->type != PCI_RC_EVENT)
			return -ENODEV;
		return 0;
	case MACHINE_PROBE_SHPC:
		return pci_find_cap(d, PCI_CAP_ID_SHPC) ? 0 : -ENODEV;
	default:
		return h->probe_error;
	}
}

static void host_remove(struct drv *drv, struct dev *dev)
{
}

static const struct drv_ops host_ops = {
	.probe = host_probe,
	.remove = host_remove,
};

static int add(struct machine *m, struct machine_host_driver *h)
{
	int rc;

	h->drv.ops = &host_ops;
	rc = drv_register(m->bus, &h->drv);
	if (rc)
		log_msg(&m->log, LOG_ERR, "driver %s: cannot be registered (error %d)", h->drv.name, -rc);
	else
		m->ndrivers++;
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
	h->drv.managed = b->managed;
	h->drv.uses_dma = b->uses_dma;
	h->drv.maps_mmio = b->maps_mmio;
	h->drv.ids = b->ids;
	h->probe = b->probe;
	return add(m, h);
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
	if (h->drv.managed && (h->drv.uses_dma || h->drv.maps_mmio))
		log_msg(&m->log, LOG_WARN,
			"driver %s is managed, but %s: users of its group could be harmed (spec 10, 2.6)", r->name,
			h->drv.uses_dma ? "does DMA" : "maps MMIO");
	return add(m, h);
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
	return rc;
}

void machine_drivers_unregister(struct machine *m)
{
	while (m->ndrivers)
		drv_unregister(&m->drivers[--m->ndrivers].drv);
	free(m->drivers);
	m->drivers = NULL;
}
