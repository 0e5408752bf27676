/* SPDX-License-Identifier: MIT */
/*
 * When a program or a driver is refused a group or a function, the machine's log says why and what to do about it, in
 * the words of explain. Only the group's members are looked at, so that it costs the same in a large machine, and what
 * has just been said is not said again: a program may try in a loop.
 */
#include "machine/explain.h"
#include <string.h>

struct machine_refused {
	struct mutex lock; /* RANK_MACHINE */
	char *last;        /* [lock] what was said last */
	unsigned again;    /* [lock] and how often since */
};

/* One text: each line becomes one of the log. */
static void say(struct machine *m, char *text)
{
	struct machine_refused *r = m->refused;
	char *rest = text, *line;
	bool new;

	mutex_lock(&r->lock);
	new = !r->last || strcmp(r->last, text) != 0;
	if (new) {
		free(r->last);
		r->last = strdup(text);
		r->again = 0;
	} else {
		r->again++;
	}
	mutex_unlock(&r->lock);
	while (new && (line = strsep(&rest, "\n"))) {
		if (*line)
			log_msg(&m->log, LOG_WARN, "%s", line);
	}
}

/* The members of a group as they are now; false: nothing to be seen. */
static bool look_at(struct explain *e, unsigned group_id)
{
	if (machine_picture_group(e->m, group_id, &e->picture))
		return false;
	if (e->picture.n && !explain_find_members(e, e->picture.at[0].group) && e->n)
		return true;
	free(e->member);
	machine_picture_drop(&e->picture);
	return false;
}

static void look_away(struct explain *e)
{
	free(e->member);
	machine_picture_drop(&e->picture);
}

static void tell_claim(struct explain *e, unsigned group_id)
{
	if (!look_at(e, group_id))
		return;
	if (explain_blockers(e))
		explain_commands(e);
	else
		explain_hardware(e);
	look_away(e);
}

static void program_refused(void *ctx, unsigned group_id, struct task *t, enum vfio_refusal what, int error,
			    const struct vfio_user *holder)
{
	static const char *const call[] = {
		[VFIO_REFUSED_OPEN] = "open",
		[VFIO_REFUSED_CLAIM] = "SET_CONTAINER",
		[VFIO_REFUSED_IOMMU] = "SET_IOMMU",
		[VFIO_REFUSED_BIND] = "BIND_IOMMUFD",
	};
	AUTO_FREE char *text = NULL;
	size_t size;
	struct explain e = { .m = ctx, .out = open_memstream(&text, &size) };
	const char *name = strerrorname_np(-error);
	long said;

	if (!e.out)
		return;
	fprintf(e.out, "group %u is refused to %s (pid %d): %s is %s\n", group_id, t->comm, (int)t->tgid, call[what],
		name ? name : "refused");
	said = ftell(e.out);
	if (holder)
		explain_holder(holder, e.out);
	else
		tell_claim(&e, group_id);
	said = ftell(e.out) - said;
	if (fclose(e.out) == 0 && said)
		say(ctx, text);
}

static void driver_refused(void *ctx, struct dev *dev, struct drv *drv, int error, bool probed)
{
	struct machine *m = ctx;
	struct pci_dev *d = pci_dev_of(dev);
	struct iommu_group *g = iommu_dev_group_get(d->iommu);
	struct vfio_user user;
	AUTO_FREE char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	const char *name = strerrorname_np(-error);
	bool said = false;

	if (out) {
		fprintf(out, "%s is refused to driver %s (%s)\n", dev->name, drv->name, name ? name : "an error");
		if (probed) {
			said = vfio_pci_is(drv) && explain_vfio_refuses(m, d, out);
		} else if (g && vfio_user_of(m->vfio, iommu_group_id(g), &user)) {
			said = true;
			fprintf(out, "  its group %u is in use, and no DMA of the kernel may go on in "
				     "it.\n", iommu_group_id(g));
			explain_holder(&user, out);
			fprintf(out, "  end that program, or let it close %s and its devices, then bind "
				     "again.\n", user.node);
		}
		if (fclose(out) == 0 && said)
			say(m, text);
	}
	iommu_group_put(g);
}

int machine_refused_create(struct machine *m)
{
	m->refused = calloc(1, sizeof(*m->refused));
	if (!m->refused)
		return -ENOMEM;
	mutex_init(&m->refused->lock, RANK_MACHINE);
	bus_watch_refused(m->bus, driver_refused, m);
	vfio_watch_refused(m->vfio, program_refused, m);
	return 0;
}

/* Nobody can be refused anything any more. */
void machine_refused_destroy(struct machine *m)
{
	if (!m->refused)
		return;
	mutex_fini(&m->refused->lock);
	free(m->refused->last);
	free(m->refused);
	m->refused = NULL;
}
