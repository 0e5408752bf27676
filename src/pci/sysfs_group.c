/* SPDX-License-Identifier: MIT */
/*
 * /sys/kernel/iommu_groups/N: made with a group's first function, removed with its last; and the directory of an
 * Intel IOMMU unit, where programs look for its capability register (DPDK takes the address width from it).
 * Spec: 10, 1.7.
 */
#include "pci/priv.h"
#include <search.h>
#include <string.h>

struct pci_sysfs_group {
	struct iommu_group *group; /* a reference */
	struct log *log;
	unsigned members;          /* [change] */
};

/* ---- groups ---- */

static int resv_show(void *priv, FILE *out)
{
	struct pci_sysfs_group *s = priv;

	iommu_group_resv_show(s->group, out);
	return 0;
}

static int type_show(void *priv, FILE *out)
{
	struct pci_sysfs_group *s = priv;

	fprintf(out, "%s\n", iommu_group_type(s->group));
	return 0;
}

static bool type_is(const char *buf, const char *type)
{
	size_t n = strlen(type);

	return strncmp(buf, type, n) == 0 && (buf[n] == 0 || (buf[n] == '\n' && buf[n + 1] == 0));
}

static ssize_t type_store(void *priv, struct task *t, const char *buf, size_t n)
{
	static const char *const types[] = { "identity", "DMA", "DMA-FQ" };
	struct pci_sysfs_group *s = priv;
	const char *type = NULL;
	int rc;

	if (!task_capable(t, TASK_CAP_SYS_ADMIN) || !task_capable(t, TASK_CAP_SYS_RAWIO))
		return -EACCES;
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
		type = type_is(buf, types[i]) ? types[i] : type;
	if (!type && !type_is(buf, "auto"))
		return -EINVAL;
	rc = iommu_group_set_type(s->group, type);
	if (rc == -EPERM)
		log_msg(s->log, LOG_WARN, "iommu group %u: its type stays %s as long as a driver or a user has the group",
			iommu_group_id(s->group), iommu_group_type(s->group));
	return rc ? rc : (ssize_t)n;
}

static int name_show(void *priv, FILE *out)
{
	struct pci_sysfs_group *s = priv;

	fprintf(out, "%s\n", iommu_group_name(s->group));
	return 0;
}

static bool has_name(void *priv)
{
	return iommu_group_name(((struct pci_sysfs_group *)priv)->group) != NULL;
}

static const struct attr group_attrs[] = {
	{ .name = "reserved_regions", .mode = 0444, .show = resv_show },
	{ .name = "type", .mode = 0644, .show = type_show, .store = type_store },
	{ .name = "name", .mode = 0444, .show = name_show, .visible = has_name },
	ATTR_END
};

static void group_path(const struct pci_sysfs_group *s, char path[64])
{
	snprintf(path, 64, "/sys/kernel/iommu_groups/%u", iommu_group_id(s->group));
}

static int dir_below(struct tree *tree, const char *path, const char *name)
{
	char dir[80];

	snprintf(dir, sizeof(dir), "%s/%s", path, name);
	return tree_dir(tree, dir);
}

static int group_compare(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct pci_sysfs_group *)a)->group;
	uintptr_t y = (uintptr_t)((const struct pci_sysfs_group *)b)->group;

	return x < y ? -1 : x > y;
}

static int group_get(struct pci *pci, struct iommu_group *g, struct pci_sysfs_group **out)
{
	struct pci_sysfs_group key = { .group = g }, **found = tfind(&key, &pci->groups, group_compare), *s;
	char path[64];
	int rc;

	if (found) {
		(*found)->members++;
		*out = *found;
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->group = iommu_group_get(g);
	s->log = pci->log;
	s->members = 1;
	group_path(s, path);
	rc = tree_attrs(pci->tree, path, group_attrs, s);
	if (rc == 0)
		rc = dir_below(pci->tree, path, "devices");
	if (rc == 0 && !tsearch(s, &pci->groups, group_compare))
		rc = -ENOMEM;
	if (rc) {
		tree_remove(pci->tree, path);
		iommu_group_put(g);
		free(s);
		return rc;
	}
	atomic_fetch_add(&pci->ngroups, 1);
	*out = s;
	return 0;
}

static void group_put(struct pci *pci, struct pci_sysfs_group *s)
{
	char path[64];

	if (--s->members)
		return;
	tdelete(s, &pci->groups, group_compare);
	atomic_fetch_sub(&pci->ngroups, 1);
	group_path(s, path);
	tree_remove(pci->tree, path);
	iommu_group_put(s->group);
	free(s);
}

int pci_sysfs_group_add(struct pci_dev *d)
{
	struct iommu_group *g = iommu_dev_group(d->iommu);
	struct tree *tree = d->pci->tree;
	char path[64];
	int rc;

	if (!g)
		return 0;
	rc = group_get(d->pci, g, &d->priv->sysfs_group);
	if (rc)
		return rc;
	group_path(d->priv->sysfs_group, path);
	rc = tree_linkf(tree, d->dev.sysfs, "%s/devices/%s", path, d->dev.name);
	if (rc == 0)
		rc = tree_linkf(tree, path, "%s/iommu_group", d->dev.sysfs);
	return rc; /* the caller unplugs, which takes back what was done */
}

void pci_sysfs_group_remove(struct pci_dev *d)
{
	char path[64];

	if (!d->priv->sysfs_group)
		return;
	group_path(d->priv->sysfs_group, path);
	tree_removef(d->pci->tree, "%s/devices/%s", path, d->dev.name);
	group_put(d->pci, d->priv->sysfs_group);
	d->priv->sysfs_group = NULL;
}

/* ---- Intel units ---- */

#define CAP_ND_64K        6ull          /* domain ids: 2^(4 + 2 * 6) */
#define CAP_SAGAW(levels) (1ull << (8 + (levels) - 2))
#define CAP_MGAW(width)   ((unsigned long long)((width) - 1) << 16)
#define CAP_FRO           (0x22ull << 24) /* fault registers at 0x220 */
#define CAP_SLLPS_2M      (1ull << 34)
#define CAP_SLLPS_1G      (1ull << 35)
#define CAP_PSI           (1ull << 39)
#define ECAP_BASE         0xf00ull      /* IOTLB registers at 0xf0 */
#define ECAP_QI           (1ull << 1)
#define ECAP_IR           (1ull << 3)
#define ECAP_PT           (1ull << 6)
#define ECAP_SC           (1ull << 7)
#define ECAP_C            (1ull << 0)
#define UNIT_BASE         0xfed90000ull
#define DOMAINS           65536

struct pci_sysfs_unit {
	TAILQ_ENTRY(pci_sysfs_unit) link;
	const struct iommu_unit *unit;
	char path[64];
	unsigned number;
	struct pci *pci;
};

static int cap_show(void *priv, FILE *out)
{
	const struct iommu_unit *u = ((struct pci_sysfs_unit *)priv)->unit;
	unsigned long long cap = CAP_ND_64K | CAP_FRO | CAP_PSI | CAP_MGAW(u->width);

	cap |= CAP_SAGAW(3);
	if (u->width > 39)
		cap |= CAP_SAGAW(4);
	if (u->width > 48)
		cap |= CAP_SAGAW(5);
	cap |= (u->pgsizes & BIT64(21) ? CAP_SLLPS_2M : 0) | (u->pgsizes & BIT64(30) ? CAP_SLLPS_1G : 0);
	fprintf(out, "%llx\n", cap);
	return 0;
}

static int ecap_show(void *priv, FILE *out)
{
	const struct iommu_unit *u = ((struct pci_sysfs_unit *)priv)->unit;

	fprintf(out, "%llx\n", ECAP_BASE | ECAP_QI | ECAP_PT | (u->coherent ? ECAP_C : 0) |
				       (u->enforce_coherency ? ECAP_SC : 0) | (u->msi_isolated ? ECAP_IR : 0));
	return 0;
}

static int address_show(void *priv, FILE *out)
{
	fprintf(out, "%llx\n", UNIT_BASE + 0x1000ull * ((struct pci_sysfs_unit *)priv)->number);
	return 0;
}

static int version_show(void *priv, FILE *out)
{
	fprintf(out, "1:0\n");
	return 0;
}

static int domains_supported_show(void *priv, FILE *out)
{
	fprintf(out, "%d\n", DOMAINS);
	return 0;
}

/* About one a group, as in Linux when every group has its default domain. */
static int domains_used_show(void *priv, FILE *out)
{
	fprintf(out, "%u\n", atomic_load(&((struct pci_sysfs_unit *)priv)->pci->ngroups));
	return 0;
}

static const struct attr unit_attrs[] = {
	{ .name = "cap", .mode = 0444, .show = cap_show },
	{ .name = "ecap", .mode = 0444, .show = ecap_show },
	{ .name = "address", .mode = 0444, .show = address_show },
	{ .name = "version", .mode = 0444, .show = version_show },
	{ .name = "domains_supported", .mode = 0444, .show = domains_supported_show },
	{ .name = "domains_used", .mode = 0444, .show = domains_used_show },
	ATTR_END
};

static bool is_intel(const struct iommu_unit *u)
{
	return u->kind == IOMMU_INTEL;
}

static struct pci_sysfs_unit *unit_find(struct pci *pci, const struct iommu_unit *unit)
{
	struct pci_sysfs_unit *s;

	TAILQ_FOREACH(s, &pci->units, link) {
		if (s->unit == unit)
			break;
	}
	return s;
}

static int unit_create(struct pci *pci, const struct iommu_unit *unit, struct pci_sysfs_unit **out)
{
	struct pci_sysfs_unit *s = calloc(1, sizeof(*s)), *last = TAILQ_LAST(&pci->units, pci_sysfs_units);
	char dir[80];
	int rc;

	if (!s)
		return -ENOMEM;
	s->pci = pci;
	s->unit = unit;
	s->number = last ? last->number + 1 : 0;
	snprintf(s->path, sizeof(s->path), "/sys/devices/virtual/iommu/dmar%u", s->number);
	snprintf(dir, sizeof(dir), "%s/intel-iommu", s->path);
	rc = tree_attrs(pci->tree, dir, unit_attrs, s);
	if (rc == 0)
		rc = dir_below(pci->tree, s->path, "devices");
	if (rc == 0)
		rc = tree_dir(pci->tree, "/sys/class/iommu");
	if (rc == 0)
		rc = tree_linkf(pci->tree, s->path, "/sys/class/iommu/dmar%u", s->number);
	if (rc) {
		tree_remove(pci->tree, s->path);
		free(s);
		return rc;
	}
	TAILQ_INSERT_TAIL(&pci->units, s, link);
	*out = s;
	return 0;
}

int pci_sysfs_unit_add(struct pci_dev *d)
{
	const struct iommu_unit *unit = d->priv->unit;
	struct pci_sysfs_unit *s;
	int rc = 0;

	if (!unit || !is_intel(unit))
		return 0;
	s = unit_find(d->pci, unit);
	if (!s)
		rc = unit_create(d->pci, unit, &s);
	if (rc == 0)
		rc = tree_linkf(d->pci->tree, s->path, "%s/iommu", d->dev.sysfs);
	if (rc == 0)
		rc = tree_linkf(d->pci->tree, d->dev.sysfs, "%s/devices/%s", s->path, d->dev.name);
	return rc;
}

void pci_sysfs_unit_remove(struct pci_dev *d)
{
	struct pci_sysfs_unit *s = d->priv->unit ? unit_find(d->pci, d->priv->unit) : NULL;

	if (s)
		tree_removef(d->pci->tree, "%s/devices/%s", s->path, d->dev.name);
}

void pci_sysfs_fini(struct pci *pci)
{
	struct pci_sysfs_unit *s;

	while ((s = TAILQ_FIRST(&pci->units))) {
		TAILQ_REMOVE(&pci->units, s, link);
		tree_remove(pci->tree, s->path);
		tree_removef(pci->tree, "/sys/class/iommu/dmar%u", s->number);
		free(s);
	}
}
