/* SPDX-License-Identifier: MIT */
/*
 * A machine boots: every layer's context in the order of src/LAYERS, then the hardware is scanned as Linux scans it (a
 * whole bus by address, then what is below its bridges, depth first), so that groups get the numbers Linux would give
 * them, and when all of it is there the drivers are tried. Destroying goes the same way back.
 */
#include "machine/priv.h"
#include <string.h>

/* Names no driver: a device with this override is left alone. */
#define NO_DRIVER "(none)"

/* ---- layers ---- */

static int create_tree(struct machine *m)
{
	int rc = tree_create(&m->tree);

	for (unsigned i = 0; !rc && machine_builtin_roots[i]; i++)
		rc = tree_root(m->tree, machine_builtin_roots[i]);
	for (unsigned i = 0; !rc && machine_builtin_dirs[i]; i++)
		rc = tree_dir(m->tree, machine_builtin_dirs[i]);
	return rc;
}

static int create_iommufd(struct machine *m, const struct machine_parameters *p)
{
	const struct iommufd_params params = {
		.unsafe_interrupts = p->vfio.type1_allow_unsafe_interrupts,
		.noiommu = !(p->vfio.without & VFIO_WITHOUT_NOIOMMU),
		.test = m->desc->kernel.iommufd_test == MACHINE_YES,
	};

	return iommufd_create(m->tree, m->mem, m->iommu, &m->log, &params, &m->iommufd);
}

static int create_mem(struct machine *m, bool true_pins)
{
	int why, rc = mem_create(&m->log, &m->mem);

	if (!rc && m->desc->kernel.iommufd_test == MACHINE_YES)
		rc = mem_identify_pins(m->mem);
	if (rc || !true_pins)
		return rc;
	why = -mem_pin_truly(m->mem);
	if (why)
		log_msg(&m->log, LOG_WARN, "uvfio: true pins: %s: private memory is reached by address", mem_pin_reason(why));
	return 0;
}

static int create_layers(struct machine *m, const struct machine_options *o)
{
	const struct machine_parameters *p = &m->desc->parameters;
	int rc = event_loop_create(&m->loop);

	if (!rc)
		rc = create_mem(m, o->true_pins);
	if (!rc)
		rc = create_tree(m);
	if (!rc)
		rc = iommu_create(m->mem, &m->log, &m->iommu);
	if (!rc)
		rc = bus_create("pci", &pci_bus_ops, m->tree, &m->log, &m->bus);
	if (!rc)
		rc = pci_create(m->bus, m->iommu, m->mem, &m->log, &m->pci);
	if (!rc)
		pci_mirror_from(m->pci, o->mirror);
	if (!rc)
		rc = pci_acs_params(m->pci, p->config_acs, p->disable_acs_redir);
	if (!rc && !(p->vfio.without & VFIO_WITHOUT_IOMMUFD))
		rc = create_iommufd(m, p);
	if (!rc)
		rc = vfio_create(m->tree, m->mem, m->iommu, &m->log, m->loop, &p->vfio, &m->vfio);
	if (!rc)
		rc = vfio_pci_create(m->vfio, m->pci, m->bus, &p->vfio_pci, &m->vfio_pci);
	if (!rc)
		rc = machine_refused_create(m);
	if (!rc)
		rc = machine_drivers_register(m);
	if (!rc)
		rc = machine_live_create(m);
	return rc;
}

/* ---- the description by address ---- */

static int by_address(const void *a, const void *b)
{
	const struct machine_node *x = *(const struct machine_node *const *)a,
				  *y = *(const struct machine_node *const *)b;

	return strcmp(x->address, y->address);
}

static int count_node(struct machine_node *n, void *ctx)
{
	++*(unsigned *)ctx;
	return 0;
}

static int keep_node(struct machine_node *n, void *ctx)
{
	struct machine *m = ctx;

	m->nodes[m->nnodes++] = n;
	return 0;
}

static int index_nodes(struct machine *m)
{
	unsigned n = 0;

	machine_for_each(m->desc, count_node, &n);
	m->nodes = calloc(n, sizeof(*m->nodes));
	if (!m->nodes)
		return -ENOMEM;
	machine_for_each(m->desc, keep_node, m);
	qsort(m->nodes, m->nnodes, sizeof(*m->nodes), by_address);
	return 0;
}

static int to_address(const void *key, const void *item)
{
	return strcmp(key, (*(const struct machine_node *const *)item)->address);
}

const struct machine_node *machine_node_at(struct machine *m, const char *address)
{
	const struct machine_node **n = bsearch(address, m->nodes, m->nnodes, sizeof(*m->nodes), to_address);

	return n ? *n : NULL;
}

/* ---- hardware ---- */

static int create_function(struct machine *m, struct pci_bus *bus, const struct machine_node *n, struct pci_dev **out)
{
	struct pci_dev_desc desc = n->pci;
	int rc;

	/* "none" must not look like an override afterwards; see probe(). */
	if (desc.bind && !desc.bind[0])
		desc.bind = NULL;
	rc = pci_dev_create(bus, &desc, n->secondary, out);
	if (rc)
		log_msg(&m->log, LOG_ERR, "%s (%s): cannot be made: %s", n->address, machine_node_label(n),
			strerror(-rc));
	return rc;
}

/* Not there at boot: a rescan finds it, and then what is below it. */
static int leave_out(struct machine *m, const struct machine_node *n)
{
	int rc = pci_dev_absent(m->pci, n->number, &n->pci, n->secondary);

	for (unsigned i = 0; !rc && i < n->below_count; i++)
		rc = leave_out(m, n->order[i]);
	return rc;
}

static int scan_bus(struct machine *m, struct pci_bus *bus, const struct machine_node *above)
{
	bool root = above->kind == MACHINE_HOST_BRIDGE;
	unsigned n = above->below_count + root, announced = 0;
	AUTO_FREE struct pci_dev **made = calloc(n + 1, sizeof(struct pci_dev *));
	int rc = made ? 0 : -ENOMEM;

	for (unsigned i = 0; !rc && i < n; i++) {
		const struct machine_node *node = i < root ? above : above->order[i - root];

		rc = node->present == MACHINE_NO ? leave_out(m, node) : create_function(m, bus, node, &made[i]);
	}
	while (!rc && announced < n) {
		rc = made[announced] ? pci_dev_announce(made[announced]) : 0;
		if (rc)
			log_msg(&m->log, LOG_ERR, "%s: cannot be announced: %s", made[announced]->dev.name,
				strerror(-rc));
		else
			announced++;
	}
	/* What was created but not announced is not found by machine_destroy(). */
	for (unsigned i = made ? n : 0; rc && i-- > announced;) {
		if (made[i])
			pci_dev_unplug(made[i]);
	}
	for (unsigned i = 0; !rc && i < n; i++) {
		if (i >= root && made[i] && made[i]->secondary)
			rc = scan_bus(m, made[i]->secondary, above->order[i - root]);
	}
	return rc;
}

/* Try the drivers. Failure is the device's own affair, as when Linux boots. */
static int probe(struct pci_dev *d, void *ctx)
{
	struct machine *m = ctx;
	const struct machine_node *n = machine_node_at(m, d->dev.name);
	const char *bind = n ? n->pci.bind : NULL;
	struct drv *drv;

	if (bind && !bind[0])
		dev_override(&d->dev, NO_DRIVER);
	dev_autoprobe(&d->dev);
	if (bind && !bind[0])
		dev_override(&d->dev, NULL);
	drv = dev_driver(&d->dev);
	if (bind && bind[0] && (!drv || strcmp(drv->name, bind) != 0))
		log_msg(&m->log, LOG_WARN, "%s: not bound to %s at boot", d->dev.name, bind);
	return 0;
}

/* Known before the scan, as a kernel reads the firmware's tables of IOMMUs first. */
static int detect_iommu(struct machine_node *n, void *ctx)
{
	bool wants = n->unit && n->unit->requests_acs;

	if (wants)
		pci_request_acs(((struct machine *)ctx)->pci);
	return wants;
}

static int create_hardware(struct machine *m)
{
	struct pci_bus *bus;
	int rc = index_nodes(m);

	machine_for_each(m->desc, detect_iommu, m);

	for (unsigned i = 0; !rc && i < m->desc->devices_count; i++) {
		const struct machine_node *n = &m->desc->devices[i];

		rc = pci_root_bus(m->pci, n->pci.domain, n->number, &bus);
		if (!rc)
			rc = scan_bus(m, bus, n);
	}
	if (!rc)
		pci_for_each(m->pci, probe, m);
	return rc;
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

static void destroy_hardware(struct machine *m)
{
	struct pci_dev *d;

	while (pci_for_each(m->pci, find_root, &d)) {
		pci_dev_unplug(d);
		dev_put(&d->dev);
	}
}

/* ---- machine ---- */

int machine_create(const struct machine_desc *d, const struct machine_options *o, struct machine **out)
{
	static const struct machine_options none;
	struct machine *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	if (!o)
		o = &none;
	m->desc = machine_desc_get(d);
	log_init(&m->log, o->log_sink, o->log_ctx);
	rc = create_layers(m, o);
	if (rc)
		log_msg(&m->log, LOG_ERR, "the machine cannot be built: %s", strerror(-rc));
	else
		rc = create_hardware(m);
	if (!rc) /* after the hardware, whose groups have the first numbers */
		rc = machine_emulated_create(m);
	if (rc) {
		machine_destroy(m);
		return rc;
	}
	*out = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	if (m->live)
		machine_live_destroy(m);
	machine_emulated_destroy(m);
	if (m->pci)
		destroy_hardware(m);
	if (m->drivers)
		machine_drivers_unregister(m);
	vfio_pci_destroy(m->vfio_pci);
	if (m->vfio)
		vfio_destroy(m->vfio);
	iommufd_destroy(m->iommufd);
	if (m->pci)
		pci_destroy(m->pci);
	if (m->bus)
		bus_destroy(m->bus);
	if (m->iommu)
		iommu_destroy(m->iommu);
	machine_refused_destroy(m);
	if (m->tree)
		tree_destroy(m->tree);
	if (m->mem)
		mem_destroy(m->mem);
	event_loop_destroy(m->loop);
	log_fini(&m->log);
	free(m->nodes);
	machine_desc_free(m->desc);
	free(m);
}

const char *machine_name(const struct machine *m)
{
	return m->desc->name;
}

struct tree *machine_tree(struct machine *m)
{
	return m->tree;
}

struct log *machine_log(struct machine *m)
{
	return &m->log;
}

struct iommu *machine_iommu(struct machine *m)
{
	return m->iommu;
}

struct mem *machine_mem(struct machine *m)
{
	return m->mem;
}
