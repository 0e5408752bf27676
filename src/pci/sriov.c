/* SPDX-License-Identifier: MIT */
/*
 * Virtual functions: their kinship with the physical function they are part of. Those that a machine file declares one
 * by one are there from boot on, as if firmware had enabled them. A function with "sriov:" can have more or less of
 * them at run time: sysfs asks its driver, under its device lock, and the driver has them made or taken away here.
 *
 * A virtual function is never found by a rescan and has no "remove". It goes with the driver that had it made, or with
 * the physical function. vf_lock lets them come all at once, and each go once.
 */
#include "pci/priv.h"
#include <string.h>

/* ---- kinship ---- */

bool pci_is_physfn(const struct pci_dev *d)
{
	return d->priv->ext_sriov;
}

int pci_sriov_find(struct pci_dev *d)
{
	struct pci_dev *o;

	SCOPED_LOCK(&d->pci->topo);
	TAILQ_FOREACH(o, &d->bus->devs, bus_link) {
		if (o->devfn != d->priv->desc.physfn || o->physfn || o->bridge || !pci_is_express(o))
			continue;
		d->physfn = o;
		d->priv->vf_index = o->priv->vfs++;
		d->priv->vf_counted = true;
		return 0;
	}
	return -EINVAL;
}

/* As many as asked for, though some may have been removed by hand. */
unsigned pci_vfs(struct pci_dev *d)
{
	if (pci_is_physfn(d)) {
		SCOPED_LOCK(&d->lock);
		return d->priv->num_vfs;
	}
	SCOPED_LOCK(&d->pci->topo);
	return d->priv->vfs;
}

bool pci_vf_autoprobe(struct pci_dev *d)
{
	struct pci_dev *pf = d->physfn;

	SCOPED_LOCK(&pf->lock);
	return pf->priv->vf_autoprobe;
}

/* ---- coming and going ---- */

void pci_vf_unplug(struct pci_dev *d)
{
	SCOPED_LOCK(&d->physfn->priv->vf_lock);
	if (d->priv->listed)
		pci_dev_unplug_one(d);
}

/* The one with the highest address; as long as vf_lock is held it stays. NULL: none */
static struct pci_dev *last_vf(struct pci_dev *d)
{
	struct pci_dev *o;

	SCOPED_LOCK(&d->pci->topo);
	TAILQ_FOREACH_REVERSE(o, &d->bus->devs, pci_dev_list, bus_link) {
		if (o->physfn == d)
			break;
	}
	return o;
}

static void unplug_locked(struct pci_dev *d) REQUIRES(&d->priv->vf_lock);
static void unplug_locked(struct pci_dev *d)
{
	struct pci_dev *o;

	while ((o = last_vf(d)))
		pci_dev_unplug_one(o);
}

void pci_sriov_unplug(struct pci_dev *d)
{
	SCOPED_LOCK(&d->priv->vf_lock);
	unplug_locked(d);
}

/* The host's software puts them back after a reset, before anybody could see that it switched them off. */
void pci_sriov_settle_locked(struct pci_dev *d)
{
	uint8_t *at = &d->priv->cfg.val[d->priv->ext_sriov];

	if (!d->priv->ext_sriov)
		return;
	put16(at + PCI_SRIOV_CTRL, d->priv->num_vfs ? PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE : 0);
	put16(at + PCI_SRIOV_NUM_VF, d->priv->num_vfs);
}

static void set_number(struct pci_dev *d, unsigned n)
{
	SCOPED_LOCK(&d->lock);
	d->priv->num_vfs = (uint16_t)n;
	pci_sriov_settle_locked(d);
}

/* What has come of it when it fails is for the caller to take away. */
static int vf_add(struct pci_dev *d, unsigned i, const char *bind)
{
	const struct pci_sriov_desc *s = d->priv->desc.sriov;
	struct pci_dev_desc desc = s->function;
	unsigned devfn = d->devfn + s->offset + i * s->stride;
	struct pci_dev *vf;
	int rc;

	desc.domain = d->domain;
	desc.slot = (uint8_t)(devfn >> 3);
	desc.function = devfn & 7;
	desc.virtual = desc.hotplug = true;
	desc.physfn = d->devfn;
	desc.bind = bind;
	rc = pci_dev_create_locked(d->bus, &desc, 0, &vf);
	return rc ? rc : pci_dev_announce_locked(vf);
}

int pci_sriov_enable(struct pci_dev *d, unsigned n, const char *bind)
{
	int rc = 0;

	SCOPED_LOCK(&d->priv->vf_lock);
	for (unsigned i = 0; i < n && rc == 0; i++)
		rc = vf_add(d, i, bind);
	if (rc)
		unplug_locked(d);
	else
		set_number(d, n);
	return rc;
}

void pci_sriov_disable(struct pci_dev *d)
{
	if (!pci_is_physfn(d))
		return;
	pci_sriov_unplug(d);
	set_number(d, 0);
}

/* Those that are not bound: the physical function's lock is no longer held, as drivers may look at other devices. */
static void probe_vfs(struct pci_dev *d)
{
	struct pci_dev **list, *o;
	unsigned n = 0;

	mutex_lock(&d->pci->topo);
	list = calloc(d->priv->vfs + 1, sizeof(*list));
	TAILQ_FOREACH(o, &d->bus->devs, bus_link) {
		if (list && o->physfn == d && o->priv->announced) {
			dev_get(&o->dev);
			list[n++] = o;
		}
	}
	mutex_unlock(&d->pci->topo);
	for (unsigned i = 0; i < n; i++) {
		dev_autoprobe(&list[i]->dev);
		dev_put(&list[i]->dev);
	}
	free(list);
}

/* ---- sysfs ---- */

static int vfs_show(void *priv, FILE *out)
{
	fprintf(out, "%u\n", pci_vfs(priv));
	return 0;
}

static unsigned total_vfs(struct pci_dev *d)
{
	return pci_is_physfn(d) ? d->priv->desc.sriov->total : pci_vfs(d);
}

static int numvfs_set(struct pci_dev *d, unsigned want)
{
	struct drv *drv = d->dev.driver;
	unsigned have = pci_vfs(d);

	if (want == have)
		return 0;
	if (!pci_is_physfn(d) || !drv || !drv->ops->split)
		return -ENOENT;
	if (have && want) {
		log_msg(d->pci->log, LOG_WARN, "%s: %u VFs already enabled. Disable before enabling %u VFs", d->dev.name,
			have, want);
		return -EBUSY;
	}
	return drv->ops->split(drv, &d->dev, want);
}

static ssize_t numvfs_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct pci_dev *d = priv;
	char *end;
	long want;
	int rc;

	errno = 0;
	want = strtol(buf, &end, 0);
	if (end == buf || errno || (*end && strcmp(end, "\n") != 0) || want < 0 || want > UINT16_MAX)
		return -EINVAL;
	if (want > (long)total_vfs(d))
		return -ERANGE;
	mutex_lock(&d->dev.lock);
	rc = numvfs_set(d, (unsigned)want);
	mutex_unlock(&d->dev.lock);
	if (rc)
		return rc;
	probe_vfs(d);
	return (ssize_t)n;
}

static int totalvfs_show(void *priv, FILE *out)
{
	fprintf(out, "%u\n", total_vfs(priv));
	return 0;
}

/* ---- what the capability says ---- */

static int register_show(struct pci_dev *d, unsigned offset, const char *format, FILE *out)
{
	fprintf(out, format, pci_config_read(d, d->priv->ext_sriov + offset, 2));
	return 0;
}

static int offset_show(void *priv, FILE *out)
{
	return register_show(priv, PCI_SRIOV_VF_OFFSET, "%u\n", out);
}

static int stride_show(void *priv, FILE *out)
{
	return register_show(priv, PCI_SRIOV_VF_STRIDE, "%u\n", out);
}

static int vf_device_show(void *priv, FILE *out)
{
	return register_show(priv, PCI_SRIOV_VF_DID, "%x\n", out);
}

static bool has_capability(void *priv)
{
	return pci_is_physfn(priv);
}

static int autoprobe_show(void *priv, FILE *out)
{
	struct pci_dev *d = priv;

	SCOPED_LOCK(&d->lock);
	fprintf(out, "%d\n", d->priv->vf_autoprobe);
	return 0;
}

static ssize_t autoprobe_store(void *priv, struct task *t, const char *buf, size_t n)
{
	static const char on[] = "yYtT1", off[] = "nNfF0";
	struct pci_dev *d = priv;
	bool word = (buf[0] | 0x20) == 'o' && strchr("nNfF", buf[1]) && buf[1];
	bool yes = strchr(on, buf[0]) || (word && (buf[1] | 0x20) == 'n');

	if (!buf[0] || (!yes && !word && !strchr(off, buf[0])))
		return -EINVAL;
	SCOPED_LOCK(&d->lock);
	d->priv->vf_autoprobe = yes;
	return (ssize_t)n;
}

static const struct attr pf_attrs[] = {
	{ .name = "sriov_numvfs", .mode = 0644, .show = vfs_show, .store = numvfs_store },
	{ .name = "sriov_totalvfs", .mode = 0444, .show = totalvfs_show },
	{ .name = "sriov_offset", .mode = 0444, .show = offset_show, .visible = has_capability },
	{ .name = "sriov_stride", .mode = 0444, .show = stride_show, .visible = has_capability },
	{ .name = "sriov_vf_device", .mode = 0444, .show = vf_device_show, .visible = has_capability },
	{ .name = "sriov_drivers_autoprobe", .mode = 0644, .show = autoprobe_show, .store = autoprobe_store },
	ATTR_END
};

int pci_sriov_add(struct pci_dev *d)
{
	struct tree *tree = d->pci->tree;
	int rc;

	if (!d->physfn)
		return pci_is_physfn(d) || pci_vfs(d) ? tree_attrs(tree, d->dev.sysfs, pf_attrs, d) : 0;
	dev_get(&d->physfn->dev); /* it was announced before */
	d->priv->vf_holds = true;
	rc = tree_linkf(tree, d->physfn->dev.sysfs, "%s/physfn", d->dev.sysfs);
	if (rc == 0)
		rc = tree_linkf(tree, d->dev.sysfs, "%s/virtfn%u", d->physfn->dev.sysfs, d->priv->vf_index);
	return rc;
}

void pci_sriov_remove(struct pci_dev *d)
{
	if (!d->priv->vf_counted)
		return;
	tree_removef(d->pci->tree, "%s/virtfn%u", d->physfn->dev.sysfs, d->priv->vf_index);
	d->priv->vf_counted = false;
	SCOPED_LOCK(&d->pci->topo);
	d->physfn->priv->vfs--;
}
