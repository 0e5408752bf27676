/* SPDX-License-Identifier: MIT */
/*
 * Loads and stores of mapped BARs that found memory disabled (spec 20, 3.3). Linux raises SIGBUS, and a program dies
 * far from what caused it: a VMM, of what its guest wrote to COMMAND. So each access is remembered together with who
 * had disabled memory and how, and the log has the first of a kind at once. A machine file can choose all-ones instead
 * of the signal, as a bus would answer (blocked_access).
 *
 * Accesses alike are one record, however many they are; the 64 kinds that were seen last are kept.
 */
#include "vfio/pci/priv.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define LOGGED_MAX 100 /* lines; a program may go on for as long as it likes */

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void vfio_pci_disabled_by_locked(struct vfio_pci_device *v, enum vfio_pci_why why, struct vfio_pci_deed deed,
				 const struct task *t)
{
	deed.when = now();
	deed.pid = t->tgid;
	memcpy(deed.comm, t->comm, sizeof(deed.comm));
	v->disabled_by[why] = deed;
}

/* ---- the words ---- */

void vfio_pci_blocked_what(const struct vfio_pci_blocked *b, char *buf, size_t size)
{
	snprintf(buf, size, "%s of %u byte%s at BAR %u + 0x%" PRIx64 " by %s (pid %d)", b->write ? "store" : "load",
		 b->width, b->width == 1 ? "" : "s", b->bar, b->offset, b->comm, (int)b->pid);
}

void vfio_pci_blocked_why(const struct vfio_pci_blocked *b, char *buf, size_t size)
{
	const struct vfio_pci_deed *by = &b->by;

	switch (b->why) {
	case VFIO_PCI_COMMAND:
		snprintf(buf, size, "COMMAND.MEM was cleared by %s (pid %d), which wrote 0x%0*x to config 0x%02x", by->comm,
			 (int)by->pid, (int)(2 * by->width), by->value, by->at);
		break;
	case VFIO_PCI_D3HOT:
		snprintf(buf, size, "it was put into D3hot by %s (pid %d), which wrote 0x%0*x to config 0x%02x (PMCSR)",
			 by->comm, (int)by->pid, (int)(2 * by->width), by->value, by->at);
		break;
	case VFIO_PCI_LOW_POWER:
		snprintf(buf, size, "it was put into low power by %s (pid %d)", by->comm, (int)by->pid);
		break;
	}
}

/* ---- the records ---- */

static bool same_deed(const struct vfio_pci_blocked *a, const struct vfio_pci_blocked *b)
{
	return strcmp(a->device, b->device) == 0 && a->pid == b->pid && a->why == b->why && a->by.pid == b->by.pid &&
	       a->by.at == b->by.at && a->by.value == b->by.value;
}

static bool alike(const struct vfio_pci_blocked *a, const struct vfio_pci_blocked *b)
{
	return same_deed(a, b) && a->bar == b->bar && a->offset == b->offset && a->width == b->width &&
	       a->write == b->write;
}

static void log_first_locked(struct vfio_pci *vp, const struct vfio_pci_blocked *b)
{
	char what[100], why[120];

	if (vp->nlogged == LOGGED_MAX)
		return;
	vp->nlogged++;
	vfio_pci_blocked_what(b, what, sizeof(what));
	vfio_pci_blocked_why(b, why, sizeof(why));
	log_msg(vp->log, LOG_WARN, "%s: memory is disabled: %s: %s; %s", b->device, what,
		vp->blocked_ones ? "all ones" : "SIGBUS", why);
	if (vp->nlogged == LOGGED_MAX)
		log_msg(vp->log, LOG_WARN, "more such accesses are in the report only");
}

/* The newest is the last. */
static void remember(struct vfio_pci *vp, struct vfio_pci_blocked b)
{
	struct vfio_pci_blocked *list = vp->blocked;
	bool heard = false;
	unsigned old;

	SCOPED_LOCK(&vp->blocked_lock);
	old = vp->nblocked;
	vp->blocked_total++;
	for (unsigned i = 0; i < vp->nblocked; i++) {
		heard |= same_deed(&list[i], &b);
		if (alike(&list[i], &b))
			old = i;
	}
	if (old < vp->nblocked)
		b.times += list[old].times;
	else if (vp->nblocked < VFIO_PCI_BLOCKED)
		vp->nblocked++;
	else
		old = 0;
	memmove(&list[old], &list[old + 1], (vp->nblocked - 1 - old) * sizeof(*list));
	list[vp->nblocked - 1] = b;
	if (!heard)
		log_first_locked(vp, &b);
}

unsigned vfio_pci_blocked(struct vfio_pci *vp, struct vfio_pci_blocked out[VFIO_PCI_BLOCKED], uint64_t *total)
{
	SCOPED_LOCK(&vp->blocked_lock);
	memcpy(out, vp->blocked, vp->nblocked * sizeof(*out));
	*total = vp->blocked_total;
	return vp->nblocked;
}

bool vfio_pci_blocked_ones(const struct vfio_pci *vp)
{
	return vp->blocked_ones;
}

int vfio_pci_blocked_access_locked(struct vfio_pci_device *v, const struct task *t, struct vfio_pci_blocked b,
				   void *data)
{
	b.why = v->low_power ? VFIO_PCI_LOW_POWER : vfio_pci_asleep_locked(v) ? VFIO_PCI_D3HOT : VFIO_PCI_COMMAND;
	b.by = v->disabled_by[b.why];
	b.pid = t->tgid;
	memcpy(b.comm, t->comm, sizeof(b.comm));
	memcpy(b.device, v->pdev->dev.name, sizeof(b.device));
	b.when = now();
	b.times = 1;
	remember(v->vp, b);
	if (!v->vp->blocked_ones)
		return -EFAULT;
	if (!b.write)
		memset(data, 0xff, b.width);
	return 0;
}
