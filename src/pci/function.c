/* SPDX-License-Identifier: MIT */
/*
 * Making a function: what it is (the model's identity, shaped by its arguments and overridden by the machine file),
 * what is wrong with that, and its parts in the order they need each other: requester, config bytes, place on the
 * bus, interrupts, BARs, the model's state, what firmware leaves.
 *
 * pci_dev_free() takes apart whatever there is of it.
 */
#include "pci/priv.h"
#include <string.h>

static int refuse(struct pci *pci, const struct pci_dev *d, const char *why)
{
	log_msg(pci->log, LOG_ERR, "%s: %s", d->dev.name, why);
	return -EINVAL;
}

/* The model as this function has it: as compiled, then shaped by each of the args. */
static int take_model(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	struct pci_model *m = &d->priv->model;
	char err[160] = "";

	if (!desc->model)
		return 0;
	memcpy(m, desc->model, MIN((size_t)desc->model->size, sizeof(*m)));
	d->priv->has_model = true;
	for (const char *const *arg = desc->args; arg && *arg; arg++) {
		int rc = m->shape ? m->shape(m, *arg, err, sizeof(err)) : -EINVAL;

		if (rc == 0)
			continue;
		log_msg(d->pci->log, LOG_ERR, "%s: %s: argument \"%s\": %s", d->dev.name, m->name, *arg,
			err[0] ? err : "the model takes none");
		return rc;
	}
	return 0;
}

static int check_bar(struct pci_dev *d, unsigned i)
{
	const struct pci_bar_desc *b = &d->priv->model.bar[i];

	if (b->kind == PCI_BAR_NONE)
		return 0;
	if (b->size == 0 || (b->size & (b->size - 1)))
		return refuse(d->pci, d, "a BAR's size is not a power of two");
	if (b->kind == PCI_BAR_IO ? b->size < 4 || b->size > 256 : b->size < 16)
		return refuse(d->pci, d, "a BAR's size is not one its kind can have");
	if (b->kind == PCI_BAR_MEM32 && b->size > 1u << 31)
		return refuse(d->pci, d, "a 32-bit BAR is larger than 2 GiB");
	if (b->kind == PCI_BAR_MEM64 && (i + 1 == PCI_BARS || d->priv->model.bar[i + 1].kind != PCI_BAR_NONE))
		return refuse(d->pci, d, "the upper half of a 64-bit BAR is not free");
	return 0;
}

static bool holds(const struct pci_dev *d, unsigned bar, uint32_t offset, uint64_t length)
{
	const struct pci_bar_desc *b = bar < PCI_BARS ? &d->priv->model.bar[bar] : NULL;

	return b && b->kind != PCI_BAR_IO && offset % 8 == 0 && offset <= b->size && length <= b->size - offset;
}

static int check_interrupts(struct pci_dev *d)
{
	const struct pci_model *m = &d->priv->model;
	uint64_t table = 16ull * m->msix_vectors, pba = (m->msix_vectors + 63) / 64 * 8ull;
	unsigned pba_bar = m->msix_pba_apart ? m->msix_pba_bar : m->msix_bar;

	if (m->intx_pin > 4)
		return refuse(d->pci, d, "there are four interrupt pins");
	if (m->msi_vectors > 32 || (m->msi_vectors & (m->msi_vectors - 1)))
		return refuse(d->pci, d, "the number of MSI vectors is not a power of two up to 32");
	if (m->msix_vectors == 0)
		return 0;
	if (m->msix_vectors > 2048 || !holds(d, m->msix_bar, m->msix_table, table) ||
	    !holds(d, pba_bar, m->msix_pba, pba))
		return refuse(d->pci, d, "the MSI-X table or its pending bits do not fit in their BAR");
	if (pba_bar == m->msix_bar && m->msix_table < m->msix_pba + pba && m->msix_pba < m->msix_table + table)
		return refuse(d->pci, d, "the MSI-X table and its pending bits overlap");
	return 0;
}

static int take_bars(struct pci_dev *d)
{
	const char *why;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar_desc *b = &d->priv->model.bar[i];
		int rc = check_bar(d, i);

		if (rc)
			return rc;
		if (b->kind != PCI_BAR_NONE)
			d->priv->bar[i] = (struct pci_bar){ .kind = b->kind, .prefetchable = b->prefetchable,
							    .size = b->size };
	}
	if (pci_rom_take(d, &why))
		return refuse(d->pci, d, why);
	return check_interrupts(d);
}

/* What a function is when the machine file does not say. */
static void default_identity(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	static const struct {
		enum pci_type type;
		uint16_t vendor, device;
	} bridges[] = {
		{ PCI_ROOT_PORT, 0x1b36, 0x000c }, { PCI_UPSTREAM, 0x104c, 0x8232 }, { PCI_DOWNSTREAM, 0x104c, 0x8233 },
		{ PCI_PCIE_TO_PCI, 0x1b36, 0x000e }, { PCI_PCI_TO_PCIE, 0x1b36, 0x000e },
		{ PCI_CONVENTIONAL, 0x1b36, 0x0001 },
	};
	const struct pci_model *m = &d->priv->model;

	d->vendor = m->vendor;
	d->device = m->device;
	d->subvendor = m->subvendor;
	d->subdevice = m->subdevice;
	d->class_code = m->class_code;
	if (desc->bridge)
		d->class_code = 0x060400;
	for (unsigned i = 0; desc->bridge && i < ARRAY_SIZE(bridges); i++) {
		if (bridges[i].type == d->type) {
			d->vendor = bridges[i].vendor;
			d->device = bridges[i].device;
		}
	}
	if (desc->host_bridge) {
		d->vendor = 0x8086;
		d->device = 0x29c0;
		d->class_code = 0x060000;
	}
}

static void take_identity(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	default_identity(d, desc);
	if (desc->vendor)
		d->vendor = desc->vendor;
	if (desc->device)
		d->device = desc->device;
	if (desc->subvendor)
		d->subvendor = desc->subvendor;
	if (desc->subdevice)
		d->subdevice = desc->subdevice;
	if (desc->class_code)
		d->class_code = desc->class_code;
}

/* An endpoint that sits on a root bus has no link: it is integrated in the root complex. */
static void take_type(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	if (desc->bridge)
		d->type = desc->type;
	else if (!d->priv->has_model || !d->priv->model.express)
		d->type = desc->type == PCI_RC_EVENT ? PCI_RC_EVENT : PCI_CONVENTIONAL;
	else if (desc->type == PCI_ENDPOINT || desc->type == PCI_CONVENTIONAL)
		d->type = d->bus->parent ? PCI_ENDPOINT : PCI_RC_ENDPOINT;
	else
		d->type = desc->type;
	d->bridge = desc->bridge;
	d->config_size = pci_is_express(d) ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
	d->priv->acs_quirk = desc->acs_quirk;
	d->priv->acs_quirk_set = desc->acs_quirk_set;
	d->priv->unit = desc->unit;
}

/* What it asks of the IOMMU: as the machine file says, or the model. */
static int take_requests(struct pci_dev *d)
{
	struct pci_dev_desc *desc = &d->priv->desc;
	const struct pci_model *m = &d->priv->model;

	if (!desc->pasid)
		desc->pasid = m->pasid_bits;
	desc->pri |= m->page_requests;
	desc->ats |= desc->pri;
	if (desc->pasid > PCI_PASID_BITS_MAX)
		return refuse(d->pci, d, "PASIDs have at most 20 bits");
	if ((desc->pasid || desc->pri) && (!pci_is_express(d) || d->bridge))
		return refuse(d->pci, d, "PASIDs and page requests are for endpoints of PCIe");
	return 0;
}

static int check_raw_caps(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	for (unsigned i = 0; i < desc->ncaps; i++) {
		const char *wrong = pci_cap_check(desc, i, d->config_size);

		if (wrong)
			return refuse(d->pci, d, wrong);
	}
	return 0;
}

static int check_desc(struct pci_dev *d, const struct pci_dev_desc *desc, uint8_t secondary)
{
	bool bridge_type = (desc->type >= PCI_ROOT_PORT && desc->type <= PCI_PCI_TO_PCIE) ||
			   desc->type == PCI_CONVENTIONAL;

	if (desc->slot > 31 || desc->function > 7)
		return refuse(d->pci, d, "slots are 0 to 31, functions 0 to 7");
	if (desc->bridge && (desc->model || !bridge_type || secondary == 0 || secondary == d->bus->number))
		return refuse(d->pci, d, "not a bridge that can be: its type or the bus below");
	if (!desc->bridge && !desc->model && !desc->host_bridge && !desc->vendor && desc->type != PCI_RC_EVENT)
		return refuse(d->pci, d, "neither a bridge nor a function of a model");
	return 0;
}

/* The multifunction bit of the header: as told, or of every function of a slot that has several. */
static void take_multifunction_locked(struct pci_dev *d, int told)
{
	struct pci_dev *o;

	d->multifunction = told == 1;
	if (told >= 0 || d->physfn)
		return;
	TAILQ_FOREACH(o, &d->bus->devs, bus_link) {
		if (pci_slot(o) != pci_slot(d) || o == d || o->physfn)
			continue;
		d->multifunction = true;
		if (!o->priv->mf_told && !o->multifunction) {
			SCOPED_LOCK(&o->lock);
			o->multifunction = true;
			o->priv->slot_scan_mf = true;
			o->priv->cfg.val[PCI_HEADER_TYPE] |= 0x80;
			o->priv->cfg.power_on[PCI_HEADER_TYPE] |= 0x80;
		}
	}
}

static int list_dev(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	struct pci_dev *o;

	SCOPED_LOCK(&d->pci->topo);
	TAILQ_FOREACH(o, &d->bus->devs, bus_link) {
		if (o->devfn == d->devfn)
			return -EEXIST;
		if (o->devfn > d->devfn)
			break;
	}
	if (o)
		TAILQ_INSERT_BEFORE(o, d, bus_link);
	else
		TAILQ_INSERT_TAIL(&d->bus->devs, d, bus_link);
	d->priv->listed = true;
	d->priv->mf_told = desc->multifunction >= 0;
	take_multifunction_locked(d, desc->multifunction);
	/* At boot the slot scan counts every function but the first as one of several (spec 10, 1.2). */
	d->priv->slot_scan_mf = d->multifunction || (!desc->hotplug && !desc->virtual && (d->devfn & 7));
	if (desc->unit && desc->unit->requests_acs)
		d->pci->requests_acs = true;
	return 0;
}

void pci_dev_unlist(struct pci_dev *d)
{
	SCOPED_LOCK(&d->pci->topo);
	if (d->priv->listed)
		TAILQ_REMOVE(&d->bus->devs, d, bus_link);
	d->priv->listed = false;
}

/* Bridges above learn that bus numbers up to @number lie below them. */
static void cover_bus(struct pci_bus *bus, uint8_t number)
{
	for (; bus; bus = bus->parent) {
		if (bus->bridge && pci_config_read(bus->bridge, PCI_SUBORDINATE_BUS, 1) < number)
			pci_config_write(bus->bridge, PCI_SUBORDINATE_BUS, 1, number);
	}
}

void pci_dev_leave_group(struct pci_dev *d)
{
	if (d->iommu && iommu_dev_group(d->iommu))
		iommu_dev_leave(d->iommu);
}

void pci_dev_set_gone(struct pci_dev *d)
{
	SCOPED_WRITE(&d->priv->access);
	atomic_store(&d->priv->gone, true);
}

/* First whoever may call the model, then the model, whose threads use the rest. */
void pci_dev_free(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	pci_dev_set_gone(d);
	if (d->iommu)
		pci_dma_quiesce(d); /* its threads are waited for below */
	pci_bars_withdraw(d);
	if (p->created && p->model.destroy)
		p->model.destroy(p->state);
	pci_bars_fini(d);
	pci_sriov_remove(d);
	pci_dev_unlist(d);
	pci_dev_leave_group(d);
	if (d->iommu)
		iommu_dev_destroy(d->iommu);
	pci_bus_free(d->secondary);
	pci_state_fini(&p->saved);
	pci_state_fini(&p->pm_saved);
	pci_mirror_fini(d);
	pci_irq_fini(d);
	pci_vpd_fini(d);
	pci_dma_fini(d);
	pci_config_fini(d);
	rwlock_fini(&p->access);
	mutex_fini(&p->vf_lock);
	mutex_fini(&d->lock);
	if (p->vf_holds)
		dev_put(&d->physfn->dev);
	if (p->bridge_held)
		dev_put(&d->bus->bridge->dev);
	free(p);
	free(d);
}

static void dev_last_put(struct dev *dev)
{
	pci_dev_free(pci_dev_of(dev));
}

/* "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0": a function lies in the directory of its bridge. */
static int take_path(struct pci_dev *d)
{
	struct pci_bus *up = d->bus;
	char root[32];
	int n;

	while (up && !up->bridge)
		up = up->parent;
	snprintf(root, sizeof(root), "/sys/devices/pci%04x:%02x", d->bus->domain, d->bus->number);
	n = snprintf(d->dev.sysfs, sizeof(d->dev.sysfs), "%s/%s", up ? up->bridge->dev.sysfs : root, d->dev.name);
	return n < (int)sizeof(d->dev.sysfs) ? 0 : -ENAMETOOLONG;
}

static struct pci_dev *dev_alloc(struct pci_bus *bus, const struct pci_dev_desc *desc)
{
	struct pci_dev *d = calloc(1, sizeof(*d));
	struct pci_priv *p = calloc(1, sizeof(*p));

	if (!d || !p) {
		free(d);
		free(p);
		return NULL;
	}
	d->priv = p;
	d->pci = bus->pci;
	d->bus = bus;
	d->domain = bus->domain;
	d->devfn = (uint8_t)(desc->slot << 3 | (desc->function & 7));
	d->dev.free = dev_last_put;
	snprintf(d->dev.name, sizeof(d->dev.name), "%04x:%02x:%02x.%x", bus->domain, bus->number, desc->slot & 31,
		 desc->function & 7);
	d->dev.within = desc->virtual;
	mutex_init(&d->lock, RANK_PCI);
	mutex_init(&p->vf_lock, RANK_PCI_VFS);
	rwlock_init(&p->access, RANK_PCI_ACCESS);
	cond_init(&p->pin_idle);
	pci_dma_init(d);
	p->msi_bus = p->d3cold = p->vf_autoprobe = true;
	return d;
}

static int dev_identify(struct pci_dev *d, const struct pci_dev_desc *desc, uint8_t secondary)
{
	int rc = check_desc(d, desc, secondary);

	if (rc == 0)
		rc = take_path(d);
	if (rc == 0)
		rc = take_model(d, desc);
	if (rc)
		return rc;
	take_type(d, desc);
	take_identity(d, desc);
	d->priv->acs_wide = pci_acs_is_wide(d);
	d->priv->desc = *desc;
	rc = take_requests(d);
	if (rc == 0)
		rc = check_raw_caps(d, desc);
	return rc ? rc : take_bars(d);
}

static int dev_wire(struct pci_dev *d, const struct pci_dev_desc *desc, uint8_t secondary)
{
	int rc = iommu_dev_create(d->pci->iommu, d->dev.name, desc->unit, &d->iommu);

	for (unsigned i = 0; rc == 0 && i < desc->nresv; i++)
		rc = iommu_dev_add_resv(d->iommu, &desc->resv[i]);
	if (rc == 0 && desc->untrusted)
		iommu_dev_distrust(d->iommu);
	if (rc == 0) {
		iommu_dev_set_ats(d->iommu, desc->ats);
		iommu_dev_set_requests(d->iommu, desc->pri);
	}
	if (rc == 0 && desc->pasid)
		rc = iommu_dev_set_pasids(d->iommu, 1u << desc->pasid);
	if (rc == 0)
		rc = pci_config_init(d);
	if (rc == 0 && desc->virtual && pci_sriov_find(d))
		rc = refuse(d->pci, d, "there is no function that it is a virtual one of");
	if (rc == 0)
		rc = list_dev(d, desc);
	if (rc == 0 && desc->bridge)
		rc = pci_bus_create_in(d->pci, d->bus, d, d->domain, secondary, &d->secondary);
	for (unsigned i = 0; i < PCI_WINS; i++)
		d->priv->win[i] = (struct pci_range){ .first = 1, .last = 0 };
	return rc;
}

static int dev_build(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	struct pci_priv *p = d->priv;
	int rc = pci_irq_init(d);

	if (rc == 0)
		rc = pci_vpd_init(d);
	if (rc == 0)
		rc = pci_caps_build(d, desc);
	if (rc == 0)
		rc = pci_config_built(d);
	if (rc == 0)
		rc = pci_state_init(d, &p->saved);
	if (rc == 0 && pci_forgets_in_d3(d))
		rc = pci_state_init(d, &p->pm_saved);
	if (rc == 0)
		rc = pci_bars_place(d);
	if (rc == 0)
		rc = pci_mirror_init(d);
	if (rc == 0 && p->model.create)
		rc = p->model.create(d, desc->args, &p->state);
	if (rc)
		return rc;
	p->created = true;
	p->nreset = pci_reset_methods(d, p->reset_order);
	pci_config_firmware(d);
	if (d->secondary)
		cover_bus(d->bus, d->secondary->number);
	return 0;
}

int pci_dev_create_locked(struct pci_bus *bus, const struct pci_dev_desc *desc, uint8_t secondary, struct pci_dev **out)
{
	struct pci_dev *d = dev_alloc(bus, desc);
	int rc;

	if (!d)
		return -ENOMEM;
	rc = dev_identify(d, desc, secondary);
	if (rc == 0)
		rc = dev_wire(d, &d->priv->desc, secondary);
	if (rc == 0)
		rc = dev_build(d, &d->priv->desc);
	if (rc) {
		if (rc == -EEXIST)
			log_msg(bus->pci->log, LOG_ERR, "%s: the address or the number of the bus below is taken",
				d->dev.name);
		pci_dev_free(d);
		return rc;
	}
	*out = d;
	return 0;
}

int pci_dev_create(struct pci_bus *bus, const struct pci_dev_desc *desc, uint8_t secondary, struct pci_dev **out)
{
	SCOPED_LOCK(&bus->pci->hotplug);
	return pci_dev_create_locked(bus, desc, secondary, out);
}
