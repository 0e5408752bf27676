/* SPDX-License-Identifier: MIT */
/*
 * A libFuzzer target: the input is a machine file. One that is refused is refused with lines that say where; one that
 * is accepted boots, or the log says in an error why not, and can be drawn and explained. Nothing is left behind.
 *
 * Half of the mutations are of lines: one is doubled, dropped, moved, or takes the value or the indentation of another.
 */
#include "machine/desc.h"
#include "machine/machine.h"
#include "fuzz.h"
#include <assert.h>
#include <string.h>

#define NAME     "lab.yaml"
#define NODES    64  /* larger machines do not say more */
#define LINES    200

/* ---- what holds ---- */

static void fail(const char *what, const char *text)
{
	fprintf(stderr, "%s: %s\n", what, text);
	abort();
}

/* "lab.yaml:3:1: ..." or, of the file as a whole, "lab.yaml: ...": something to read in each line */
static void check_said(char *said)
{
	char *save = NULL, *line = strtok_r(said, "\n", &save);
	int end;

	if (!line)
		fail("refused", "without a word");
	for (; line; line = strtok_r(NULL, "\n", &save)) {
		end = 0;
		sscanf(line, NAME ":%*u:%*u: %n", &end);
		if (!end)
			sscanf(line, NAME ": %n", &end);
		if (!end || !line[end])
			fail("says neither where nor what", line);
	}
}

static int small(struct machine_node *n, void *ctx)
{
	unsigned *count = ctx;

	*count += 1 + (n->sriov ? n->sriov->vfs : 0);
	return *count > NODES;
}

static void note_error(void *ctx, enum log_level level, const char *line)
{
	unsigned *errors = ctx;

	if (level <= LOG_ERR && *line)
		++*errors;
}

static void check_running(struct machine *machine)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert(machine_list(machine, false, out) == 0);
	assert(machine_list(machine, true, out) == 0);
	machine_explain(machine, "0000:00:01.0", out);
	machine_explain(machine, "0", out);
	machine_report(machine, out);
	fclose(out);
	free(text);
}

static void boot(const struct machine_desc *d)
{
	unsigned errors = 0;
	struct machine_options o = { .log_sink = note_error, .log_ctx = &errors };
	struct machine *machine = NULL;
	int rc = machine_create(d, &o, &machine);

	if (rc == 0)
		check_running(machine);
	else if (!errors)
		fail("does not boot, and the log does not say why", strerror(-rc));
	machine_destroy(machine);
}

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine_desc *d = NULL;
	char *said = NULL;
	size_t n;
	FILE *err = open_memstream(&said, &n);
	int rc = machine_desc_parse(NAME, (const char *)data, size, err, &d);
	unsigned nodes = 0;

	assert(rc == 0 || rc == -EINVAL);
	if (rc == 0)
		machine_desc_audit(d, err);
	fclose(err);
	if (rc)
		check_said(said);
	else if (machine_for_each(d, small, &nodes) == 0)
		boot(d);
	machine_desc_free(d);
	free(said);
	fuzz_no_descriptor_left();
	return 0;
}

/* ---- mutations ---- */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

struct text {
	char *line[LINES];
	size_t length[LINES]; /* with its end */
	unsigned n;
};

static void split(struct text *t, char *p, size_t size)
{
	t->n = 0;
	while (size && t->n < LINES) {
		char *end = memchr(p, '\n', size);
		size_t length = end ? (size_t)(end - p) + 1 : size;

		t->line[t->n] = p;
		t->length[t->n++] = length;
		p += length;
		size -= length;
	}
}

static size_t indentation(const char *line, size_t length)
{
	size_t n = 0;

	while (n < length && (line[n] == ' ' || line[n] == '-'))
		n++;
	return n;
}

/* Behind "key: " */
static size_t value_at(const char *line, size_t length)
{
	const char *colon = memmem(line, length, ": ", 2);

	return colon ? (size_t)(colon - line) + 2 : indentation(line, length);
}

static size_t put(char *out, size_t at, size_t max, const char *bytes, size_t n)
{
	n = MIN(n, max - at);
	memcpy(out + at, bytes, n);
	return at + n;
}

/* Line @i, changed by line @j in the way of @how */
static size_t put_changed(char *out, size_t at, size_t max, const struct text *t, unsigned i, unsigned j, unsigned how)
{
	const char *a = t->line[i], *b = t->line[j];
	size_t na = t->length[i], nb = t->length[j], cut_a, cut_b;

	switch (how) {
	case 0: /* dropped */
		return at;
	case 1: /* another before it */
		at = put(out, at, max, b, nb);
		return put(out, at, max, a, na);
	case 2: /* another instead */
		return put(out, at, max, b, nb);
	case 3: /* another's value */
		cut_a = value_at(a, na);
		cut_b = value_at(b, nb);
		break;
	default: /* another's indentation */
		cut_a = indentation(b, nb);
		cut_b = indentation(a, na);
		at = put(out, at, max, b, cut_a);
		return put(out, at, max, a + cut_b, na - cut_b);
	}
	at = put(out, at, max, a, cut_a);
	return put(out, at, max, b + cut_b, nb - cut_b);
}

__attribute__((visibility("default"))) size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
	unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	AUTO_FREE char *out = malloc(max);
	struct text t;
	unsigned i, j;
	size_t at = 0;

	split(&t, (char *)data, size);
	if (seed % 2 || t.n < 2 || !out)
		return LLVMFuzzerMutate(data, size, max);
	seed /= 2;
	i = seed % t.n;
	j = seed / 1009 % t.n;
	for (unsigned k = 0; k < t.n; k++) {
		if (k == i)
			at = put_changed(out, at, max, &t, i, j, seed / 7 % 5);
		else
			at = put(out, at, max, t.line[k], t.length[k]);
	}
	memcpy(data, out, at);
	return at ? at : LLVMFuzzerMutate(data, size, max);
}
