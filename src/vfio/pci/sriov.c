/* SPDX-License-Identifier: MIT */
/*
 * A physical function and its virtual ones in the hands of programs. Whoever has the physical one can do harm to who
 * has a virtual one and the other way round, so they must know each other: by a token, a UUID, that the physical
 * function has from the start and keeps to itself until somebody sets it. It is asked for at each open of a virtual
 * function that vfio-pci itself had made, and of the physical one while one of those is open.
 *
 * Spec: 10, 3.10; 20, 5.4.
 */
#include "vfio/pci/priv.h"
#include <string.h>
#include <sys/random.h>

static struct vfio_pci_device *pf_of(struct vfio_pci_device *v)
{
	struct vfio_pci_device *pf;

	SCOPED_LOCK(&v->vp->lock);
	LIST_FOREACH(pf, &v->vp->pfs, pf_link) {
		if (pf->pdev == v->pdev->physfn)
			break;
	}
	return pf;
}

void vfio_pci_sriov_init(struct vfio_pci_device *v)
{
	mutex_init(&v->token_lock, RANK_VFIO_PCI_TOKEN);
	v->pf = v->pdev->physfn ? pf_of(v) : NULL;
	while (getrandom(v->token, sizeof(v->token), 0) < 0)
		;
}

void vfio_pci_sriov_fini(struct vfio_pci_device *v)
{
	mutex_fini(&v->token_lock);
}

static void set_split(struct vfio_pci_device *v, bool on)
{
	SCOPED_LOCK(&v->vp->lock);
	v->split = on;
	if (on)
		LIST_INSERT_HEAD(&v->vp->pfs, v, pf_link);
	else
		LIST_REMOVE(v, pf_link);
}

/* Out of D3hot, if its user has put it there; split, it stays awake. */
static void power_up(struct vfio_pci_device *v)
{
	SCOPED_LOCK(vfio_set_lock(&v->vdev));
	SCOPED_WRITE(&v->memory_lock);
	vfio_pci_set_power_locked(v, 0);
	if (v->open)
		vfio_pci_memory_update_locked(v);
}

/* On the list before there is a virtual function, and until there is none. */
int vfio_pci_split(struct vfio_pci_device *v, unsigned n)
{
	int rc = 0;

	if (n && v->split)
		return -EINVAL;
	if (n) {
		set_split(v, true);
		power_up(v);
		rc = pci_sriov_enable(v->pdev, n, v->variant->name);
	} else if (v->split) {
		pci_sriov_disable(v->pdev);
	}
	if (v->split && (rc || !n))
		set_split(v, false);
	return rc;
}

static int check_vf(struct vfio_pci_device *v, const uint8_t *token)
{
	if (!v->pf)
		return token ? -EINVAL : 0;
	if (!token)
		return -EACCES;
	SCOPED_LOCK(&v->pf->token_lock);
	return memcmp(v->pf->token, token, VFIO_PCI_TOKEN) ? -EACCES : 0;
}

int vfio_pci_token_check(struct vfio_pci_device *v, const uint8_t *token)
{
	if (v->pdev->physfn)
		return check_vf(v, token);
	if (!pci_is_physfn(v->pdev))
		return token ? -EINVAL : 0;
	SCOPED_LOCK(&v->token_lock);
	if (v->token_users)
		return token && memcmp(v->token, token, VFIO_PCI_TOKEN) == 0 ? 0 : -EACCES;
	if (token)
		memcpy(v->token, token, VFIO_PCI_TOKEN);
	return 0;
}

void vfio_pci_token_use(struct vfio_pci_device *v, int by)
{
	if (!v->pf)
		return;
	SCOPED_LOCK(&v->pf->token_lock);
	v->pf->token_users += (unsigned)by;
}

long vfio_pci_token_feature(struct vfio_pci_device *v, struct task *t, uint32_t flags, uva_t data, size_t size)
{
	uint8_t token[VFIO_PCI_TOKEN];
	int rc;

	if (v->pdev->physfn || !pci_is_physfn(v->pdev))
		return -ENOTTY;
	rc = vfio_feature_check(flags, size, VFIO_DEVICE_FEATURE_SET, sizeof(token));
	if (rc != 1)
		return rc;
	if (task_copy_in(t, token, data, sizeof(token)))
		return -EFAULT;
	SCOPED_LOCK(&v->token_lock);
	memcpy(v->token, token, sizeof(token));
	return 0;
}
