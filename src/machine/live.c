/* SPDX-License-Identifier: MIT */
/*
 * /sys/kernel/uvfio: how programs inside a machine see it whole.
 *	list, list.json   the tree
 *	explain           write a BDF or a group number, read the answer
 *	report, log       what happened so far, and the kernel's messages
 * The question written to "explain" is kept for the whole machine, not for one opener: whoever asks at the same moment
 * may read the other's answer.
 */
#include "machine/priv.h"
#include <string.h>

#define LIVE_DIR "/sys/kernel/uvfio"

struct machine_live {
	struct machine *m;
	struct mutex lock;  /* RANK_MACHINE */
	char question[32];  /* [lock] */
};

static int live_list(void *priv, FILE *out)
{
	return machine_list(((struct machine_live *)priv)->m, false, out);
}

static int live_json(void *priv, FILE *out)
{
	return machine_list(((struct machine_live *)priv)->m, true, out);
}

static int live_report(void *priv, FILE *out)
{
	machine_report(((struct machine_live *)priv)->m, out);
	return 0;
}

static int live_log(void *priv, FILE *out)
{
	log_dump(&((struct machine_live *)priv)->m->log, out);
	return 0;
}

static int live_explain(void *priv, FILE *out)
{
	struct machine_live *l = priv;
	char question[sizeof(l->question)];

	mutex_lock(&l->lock);
	strcpy(question, l->question);
	mutex_unlock(&l->lock);
	return question[0] ? machine_explain(l->m, question, out) : -ENODATA;
}

static ssize_t live_ask(void *priv, struct task *t, const char *buf, size_t n)
{
	struct machine_live *l = priv;
	size_t length = strcspn(buf, "\n");
	char question[sizeof(l->question)];
	FILE *nowhere;
	int rc;

	if (length == 0 || length >= sizeof(question))
		return -ENODEV;
	memcpy(question, buf, length);
	question[length] = 0;
	nowhere = fopen("/dev/null", "we");
	if (!nowhere)
		return -errno;
	rc = machine_explain(l->m, question, nowhere);
	fclose(nowhere);
	if (rc)
		return rc;
	mutex_lock(&l->lock);
	strcpy(l->question, question);
	mutex_unlock(&l->lock);
	return n;
}

static const struct attr live_attrs[] = {
	{ .name = "list", .mode = 0444, .show = live_list },
	{ .name = "list.json", .mode = 0444, .show = live_json },
	{ .name = "explain", .mode = 0666, .show = live_explain, .store = live_ask },
	{ .name = "report", .mode = 0444, .show = live_report },
	{ .name = "log", .mode = 0444, .show = live_log },
	ATTR_END,
};

int machine_live_create(struct machine *m)
{
	struct machine_live *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->m = m;
	mutex_init(&l->lock, RANK_MACHINE);
	rc = tree_attrs(m->tree, LIVE_DIR, live_attrs, l);
	if (rc) {
		mutex_fini(&l->lock);
		free(l);
		return rc;
	}
	m->live = l;
	return 0;
}

void machine_live_destroy(struct machine *m)
{
	tree_remove(m->tree, LIVE_DIR);
	mutex_fini(&m->live->lock);
	free(m->live);
	m->live = NULL;
}
