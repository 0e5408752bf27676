/* SPDX-License-Identifier: MIT */
/*
 * Resets of one function, and of all functions that share its bus (spec 20, 5.1 to 5.3).
 *
 * Access to the device is shut out by memory_lock for as long as the reset lasts: who reads or writes meanwhile
 * waits. The device lock keeps a reset apart from binding; it is outermost in order, and so only tried here.
 *
 * A hot reset concerns functions that other drivers may own. It is allowed when each of them is a vfio-pci
 * device of this set and the caller shows the groups of all, or, bound to an iommufd by its own node, that iommufd owns
 * all. Locks of several devices are only tried.
 */
#include "vfio/pci/priv.h"

int vfio_pci_function_reset(struct vfio_pci_device *v)
{
	int rc = -EAGAIN;

	if (!v->reset_works)
		return -EINVAL;
	rwlock_write(&v->memory_lock);
	vfio_pci_memory_block_locked(v);
	vfio_pci_set_power_locked(v, 0);
	if (mutex_trylock(&v->pdev->dev.lock)) {
		rc = pci_reset_function(v->pdev);
		mutex_unlock(&v->pdev->dev.lock);
	}
	v->power = pci_power(v->pdev);
	vfio_pci_memory_update_locked(v);
	rwlock_unlock(&v->memory_lock);
	/* The reset put back COMMAND as it was when it began. */
	vfio_pci_intx_sync(v);
	return rc;
}

/* ---- the functions that go together ---- */

struct scope {
	struct pci_dev **dev; /* with references */
	unsigned n, room;
};

static int scope_add(struct pci_dev *d, void *ctx)
{
	struct scope *s = ctx;

	if (s->n == s->room) {
		unsigned room = s->room ? 2 * s->room : 8;
		struct pci_dev **dev = realloc(s->dev, room * sizeof(*dev));

		if (!dev)
			return -ENOMEM;
		s->dev = dev;
		s->room = room;
	}
	dev_get(&d->dev);
	s->dev[s->n++] = d;
	return 0;
}

static void scope_fini(struct scope *s)
{
	for (unsigned i = 0; i < s->n; i++)
		dev_put(&s->dev[i]->dev);
	free(s->dev);
}

/* -ENODEV: no reset reaches more than the function. @s is to be finished in any case. */
static int scope_init(struct vfio_pci_device *v, struct scope *s)
{
	*s = (struct scope){ 0 };
	return pci_hot_reset_scope(v->pdev, scope_add, s);
}

/* The device of @v's set that drives a function; vp->lock held. */
static struct vfio_pci_device *set_member_locked(struct vfio_pci_device *v, const struct pci_dev *d)
{
	struct vfio_pci_device *m;

	TAILQ_FOREACH(m, &v->set->members, link) {
		if (m->pdev == d)
			return m;
	}
	return NULL;
}

/* ---- GET_PCI_HOT_RESET_INFO ---- */

static int dependent_fill(const struct pci_dev *d, struct vfio_pci_dependent_device *out)
{
	struct iommu_group *g = iommu_dev_group_get(d->iommu); /* it may be anybody's, and unplugged at the moment */

	if (!g)
		return -EPERM;
	*out = (struct vfio_pci_dependent_device){
		.group_id = iommu_group_id(g), .segment = d->domain, .bus = pci_bus_number(d->bus), .devfn = d->devfn,
	};
	iommu_group_put(g);
	return 0;
}

/* What the iommufd of @v has of a function: its id there, or VFIO_PCI_DEVID_OWNED or _NOT_OWNED. */
static uint32_t owned_id(struct vfio_pci_device *v, struct pci_dev *d)
{
	SCOPED_LOCK(&v->vp->lock);
	return set_member_locked(v, d) ? (uint32_t)vfio_device_owned_id(&v->vdev, d->iommu) : VFIO_PCI_DEVID_NOT_OWNED;
}

static void info_by_id(struct vfio_pci_device *v, const struct scope *s, struct vfio_pci_hot_reset_info *h,
		       struct vfio_pci_dependent_device *list)
{
	SCOPED_LOCK(vfio_set_lock(&v->vdev));
	if (!vfio_device_is_cdev(&v->vdev))
		return;
	h->flags = VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
	for (unsigned i = 0; i < s->n; i++) {
		list[i].group_id = owned_id(v, s->dev[i]);
		if (list[i].group_id == VFIO_PCI_DEVID_NOT_OWNED)
			h->flags &= ~VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
	}
}

static int info_copy_out(struct vfio_pci_device *v, struct task *t, uva_t arg, struct vfio_pci_hot_reset_info *h,
			 const struct scope *s)
{
	AUTO_FREE struct vfio_pci_dependent_device *list = calloc(s->n + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < s->n; i++) {
		int rc = dependent_fill(s->dev[i], &list[i]);

		if (rc)
			return rc;
	}
	info_by_id(v, s, h, list);
	if (task_copy_out(t, arg + sizeof(*h), list, s->n * sizeof(*list)))
		return -EFAULT;
	return task_copy_out(t, arg, h, sizeof(*h));
}

long vfio_pci_hot_reset_info(struct vfio_pci_device *v, struct task *t, uva_t arg)
{
	struct vfio_pci_hot_reset_info h;
	struct scope s;
	int rc = ucopy_argsz(t, &h, arg, VFIO_PCI_HOT_RESET_INFO_MINSZ);

	if (rc)
		return rc;
	rc = scope_init(v, &s);
	if (!rc) {
		h.flags = 0;
		h.count = s.n;
		if ((h.argsz - sizeof(h)) / sizeof(struct vfio_pci_dependent_device) >= s.n)
			rc = info_copy_out(v, t, arg, &h, &s);
		else
			rc = task_copy_out(t, arg, &h, sizeof(h)) ? -EFAULT : -ENOSPC;
	}
	scope_fini(&s);
	return rc;
}

/* ---- the reset itself ---- */

/* What a reset of the set holds, to be let go in reverse. */
struct held {
	struct vfio_pci_device **member; /* memory_lock held for write */
	unsigned nmembers;
	unsigned ndevices; /* device locks held, of the scope's first */
};

static void held_release(struct held *h, struct scope *s)
{
	while (h->ndevices)
		mutex_unlock(&s->dev[--h->ndevices]->dev.lock);
	while (h->nmembers) {
		struct vfio_pci_device *m = h->member[--h->nmembers];

		m->power = pci_power(m->pdev);
		if (m->open)
			vfio_pci_memory_update_locked(m);
		rwlock_unlock(&m->memory_lock);
		if (m->open)
			vfio_pci_intx_sync(m);
	}
}

static int held_take(struct vfio_pci_device *v, struct held *h, struct scope *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		struct vfio_pci_device *m = set_member_locked(v, s->dev[i]);

		if (!rwlock_trywrite(&m->memory_lock))
			return -EBUSY;
		h->member[h->nmembers++] = m;
		if (m->open)
			vfio_pci_memory_block_locked(m);
	}
	for (; h->ndevices < s->n; h->ndevices++) {
		if (!mutex_trylock(&s->dev[h->ndevices]->dev.lock))
			return -EAGAIN;
	}
	return 0;
}

/* All functions of the scope are members of the set. Set lock and vp->lock held. */
static int set_reset_locked(struct vfio_pci_device *v, struct scope *s)
{
	struct held h = { .member = calloc(s->n + 1, sizeof(struct vfio_pci_device *)) };
	int rc;

	if (!h.member)
		return -ENOMEM;
	rc = held_take(v, &h, s);
	if (!rc) {
		for (unsigned i = 0; i < h.nmembers; i++)
			vfio_pci_set_power_locked(h.member[i], 0);
		rc = pci_reset_bus(v->pdev);
	}
	held_release(&h, s);
	free(h.member);
	return rc;
}

static bool scope_is_set_locked(struct vfio_pci_device *v, const struct scope *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (!set_member_locked(v, s->dev[i]))
			return false;
	}
	return true;
}

/* ---- PCI_HOT_RESET ---- */

/* The groups the caller shows, none for an iommufd. The files are held, so that the groups stay what they are. */
struct proof {
	struct file **file;
	struct iommu_group **group;
	unsigned n;
};

static void proof_fini(struct proof *p)
{
	for (unsigned i = 0; i < p->n; i++)
		file_put(p->file[i]);
	free(p->file);
	free(p->group);
}

static int proof_init(struct proof *p, struct task *t, uva_t fds, unsigned count)
{
	AUTO_FREE int32_t *fd = calloc(count, sizeof(*fd));

	*p = (struct proof){ .file = calloc(count, sizeof(*p->file)), .group = calloc(count, sizeof(*p->group)) };
	if (!fd || !p->file || !p->group)
		return -ENOMEM;
	if (task_copy_in(t, fd, fds, count * sizeof(*fd)))
		return -EFAULT;
	for (unsigned i = 0; i < count; i++) {
		struct file *f;
		int rc = task_file_get(t, fd[i], &f);

		if (rc)
			return rc == -EBADFD ? -EINVAL : rc;
		p->file[p->n++] = f;
		rc = vfio_group_of_file(f, &p->group[i]);
		if (rc)
			return rc;
	}
	return 0;
}

static bool proof_has(struct vfio_pci_device *v, const struct proof *p, struct pci_dev *d)
{
	struct iommu_group *g = iommu_dev_group(d->iommu);

	if (p->n == 0)
		return vfio_device_owned_id(&v->vdev, d->iommu) >= 0;
	for (unsigned i = 0; i < p->n; i++) {
		if (p->group[i] == g)
			return true;
	}
	return false;
}

static int hot_reset_proven(struct vfio_pci_device *v, struct scope *s, const struct proof *p)
{
	struct vfio_pci_device *m;
	int rc;

	SCOPED_LOCK(vfio_set_lock(&v->vdev));
	SCOPED_LOCK(&v->vp->lock);
	/* Functions may have come while the proof was copied in. */
	scope_fini(s);
	rc = scope_init(v, s);
	if (rc)
		return rc;
	if (!scope_is_set_locked(v, s))
		return -EINVAL;
	TAILQ_FOREACH(m, &v->set->members, link) {
		if (!proof_has(v, p, m->pdev))
			return -EINVAL;
	}
	return set_reset_locked(v, s);
}

static int hot_reset_scope(struct vfio_pci_device *v, struct task *t, uva_t arg, unsigned count, struct scope *s)
{
	struct proof p;
	int rc;

	if (count > s->n)
		return -EINVAL;
	rc = proof_init(&p, t, arg + sizeof(struct vfio_pci_hot_reset), count);
	if (!rc)
		rc = hot_reset_proven(v, s, &p);
	proof_fini(&p);
	return rc;
}

/* For good, as long as it is open. */
static bool opened_by_cdev(struct vfio_pci_device *v)
{
	SCOPED_LOCK(vfio_set_lock(&v->vdev));
	return vfio_device_is_cdev(&v->vdev);
}

long vfio_pci_hot_reset(struct vfio_pci_device *v, struct task *t, uva_t arg)
{
	struct vfio_pci_hot_reset h;
	struct scope s;
	int rc = ucopy_argsz(t, &h, arg, VFIO_PCI_HOT_RESET_MINSZ);

	if (rc)
		return rc;
	if (h.flags || !h.count != opened_by_cdev(v))
		return -EINVAL;
	rc = scope_init(v, &s);
	if (!rc)
		rc = hot_reset_scope(v, t, arg, h.count, &s);
	scope_fini(&s);
	return rc;
}

/* ---- at last close ---- */

static bool set_wants_reset_locked(struct vfio_pci_device *v)
{
	struct vfio_pci_device *m;
	bool wants = false;

	TAILQ_FOREACH(m, &v->set->members, link) {
		if (m->open)
			return false;
		wants |= m->needs_reset;
	}
	return wants;
}

void vfio_pci_set_try_reset(struct vfio_pci_device *v)
{
	struct vfio_pci_device *m;
	struct scope s;

	SCOPED_LOCK(&v->vp->lock);
	if (!set_wants_reset_locked(v))
		return;
	if (scope_init(v, &s) == 0 && scope_is_set_locked(v, &s) && set_reset_locked(v, &s) == 0) {
		TAILQ_FOREACH(m, &v->set->members, link)
			m->needs_reset = false;
	}
	scope_fini(&s);
}
