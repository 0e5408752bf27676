/* SPDX-License-Identifier: MIT */
/*
 * Virtual functions: their kinship with the physical function they are part of. Those that a machine file declares
 * are there from boot on, as if firmware had enabled them; changing their number (sriov_numvfs) is not offered, as no
 * driver has a say in it, which is Linux's own answer for such a driver.
 *
 * A virtual function is never found by a rescan, and goes before its physical one.
 */
#include "pci/priv.h"
#include <string.h>

/* ---- kinship ---- */

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

unsigned pci_vfs(struct pci_dev *d)
{
	SCOPED_LOCK(&d->pci->topo);
	return d->priv->vfs;
}

bool pci_vf_autoprobe(struct pci_dev *d)
{
	struct pci_dev *pf = d->physfn;

	SCOPED_LOCK(&pf->lock);
	return pf->priv->vf_autoprobe;
}

void pci_sriov_unplug_locked(struct pci_dev *d)
{
	for (;;) {
		struct pci_dev *o;

		mutex_lock(&d->pci->topo);
		TAILQ_FOREACH_REVERSE(o, &d->bus->devs, pci_dev_list, bus_link) {
			if (o->physfn == d)
				break;
		}
		mutex_unlock(&d->pci->topo);
		if (!o)
			return;
		pci_dev_unplug_locked(o);
	}
}

/* ---- sysfs ---- */

static int vfs_show(void *priv, FILE *out)
{
	fprintf(out, "%u\n", pci_vfs(priv));
	return 0;
}

static ssize_t numvfs_store(void *priv, struct task *t, const char *buf, size_t n)
{
	unsigned have = pci_vfs(priv);
	char *end;
	long want;

	errno = 0;
	want = strtol(buf, &end, 0);
	if (end == buf || errno || (*end && strcmp(end, "\n") != 0) || want < 0)
		return -EINVAL;
	if (want > (long)have)
		return -ERANGE;
	return want == (long)have ? (ssize_t)n : -ENOENT;
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
	{ .name = "sriov_totalvfs", .mode = 0444, .show = vfs_show },
	{ .name = "sriov_drivers_autoprobe", .mode = 0644, .show = autoprobe_show, .store = autoprobe_store },
	ATTR_END
};

int pci_sriov_add(struct pci_dev *d)
{
	struct tree *tree = d->pci->tree;
	int rc;

	if (!d->physfn)
		return pci_vfs(d) ? tree_attrs(tree, d->dev.sysfs, pf_attrs, d) : 0;
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
