/* SPDX-License-Identifier: MIT */
/*
 * libcyaml loads a machine file; this file says what is wrong with one, and where. It walks the document that
 * libyaml composed beside the very schema libcyaml will use, so that there is one description of the format, and
 * complains about everything at once, each time with the place, what stands there and what could.
 *
 * The document is a graph: an alias is a second way to the same node. A node that is reached from inside itself is a
 * cycle, and a small file can spell a huge one by aliases of aliases, so the walk counts its steps.
 */
#include "machine/desc.h"
#include <stdarg.h>
#include <string.h>

#define STEPS_MAX 2000000

struct walk {
	struct machine_errors *errors;
	yaml_document_t *doc;
	uint8_t *active; /* by node: we are inside it */
	unsigned steps;
	bool stop;
};

/* A complaint is one line, whatever the words are that it takes from the file. */
static void put_line(FILE *out, const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			fprintf(out, "\\x%02x", *text);
		else
			fputc(*text, out);
	}
	fputc('\n', out);
}

void machine_complain(struct machine_errors *e, const yaml_mark_t *mark, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	e->count++;
	if (e->count == MACHINE_ERRORS_MAX + 1)
		fprintf(e->out, "%s: more of this is not shown\n", e->file);
	if (e->count > MACHINE_ERRORS_MAX)
		return;
	if (mark)
		fprintf(e->out, "%s:%zu:%zu: ", e->file, mark->line + 1, mark->column + 1);
	else
		fprintf(e->out, "%s: ", e->file);
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	put_line(e->out, text ? text : "out of memory");
}

static const char *text_of(const yaml_node_t *n)
{
	return (const char *)n->data.scalar.value;
}

yaml_node_t *machine_yaml_get(yaml_document_t *doc, const yaml_node_t *map, const char *key)
{
	const yaml_node_pair_t *p;
	yaml_node_t *k;

	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		k = yaml_document_get_node(doc, p->key);
		if (k && k->type == YAML_SCALAR_NODE && strcmp(text_of(k), key) == 0)
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

yaml_node_t *machine_yaml_item(yaml_document_t *doc, const yaml_node_t *seq, unsigned index)
{
	if (!seq || seq->type != YAML_SEQUENCE_NODE ||
	    index >= (size_t)(seq->data.sequence.items.top - seq->data.sequence.items.start))
		return NULL;
	return yaml_document_get_node(doc, seq->data.sequence.items.start[index]);
}

/* ---- words ---- */

/* "found ..." */
static void describe(const yaml_node_t *n, char *buf, size_t size)
{
	if (n->type == YAML_SEQUENCE_NODE)
		snprintf(buf, size, "a list");
	else if (n->type == YAML_MAPPING_NODE)
		snprintf(buf, size, "keys and values");
	else if (n->data.scalar.length == 0)
		snprintf(buf, size, "nothing");
	else
		snprintf(buf, size, "\"%.40s%s\"", text_of(n), n->data.scalar.length > 40 ? "..." : "");
}

static void expected(struct walk *w, const yaml_node_t *n, const char *what)
{
	char found[64];

	describe(n, found, sizeof(found));
	machine_complain(w->errors, &n->start_mark, "expected %s, found %s", what, found);
}

/* How many letters to change, add or drop. Short words only. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64], diagonal, above;
	size_t na = strlen(a), nb = strlen(b);

	if (na >= ARRAY_SIZE(row) || nb >= ARRAY_SIZE(row))
		return UINT32_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			above = row[j];
			row[j] = MIN(MIN(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[nb];
}

static void unknown_key(struct walk *w, const yaml_node_t *key, const struct cyaml_schema_field *fields)
{
	const struct cyaml_schema_field *best = NULL;
	unsigned best_distance = 3, d;
	AUTO_FREE char *known = NULL;
	size_t size;
	FILE *f = open_memstream(&known, &size);

	if (!f)
		return;
	for (const struct cyaml_schema_field *i = fields; i->key; i++) {
		fprintf(f, "%s%s", i == fields ? "" : ", ", i->key);
		d = distance(text_of(key), i->key);
		if (d < best_distance) {
			best = i;
			best_distance = d;
		}
	}
	fclose(f);
	if (best)
		machine_complain(w->errors, &key->start_mark, "unknown key \"%.40s\": did you mean \"%s\"?",
				 text_of(key), best->key);
	else
		machine_complain(w->errors, &key->start_mark, "unknown key \"%.40s\" (known here: %s)", text_of(key),
				 known);
}

/* ---- the walk ---- */

static void check_value(struct walk *w, yaml_node_t *n, const struct cyaml_schema_value *s);

static const struct cyaml_schema_field *find_field(const struct cyaml_schema_field *fields, const char *key)
{
	for (; fields->key; fields++) {
		if (strcmp(fields->key, key) == 0)
			return fields;
	}
	return NULL;
}

static void check_pair(struct walk *w, yaml_node_t *map, const yaml_node_pair_t *p, const struct cyaml_schema_value *s)
{
	yaml_node_t *key = yaml_document_get_node(w->doc, p->key), *other;
	const struct cyaml_schema_field *field;

	if (key->type != YAML_SCALAR_NODE) {
		expected(w, key, "a key");
		return;
	}
	for (const yaml_node_pair_t *q = map->data.mapping.pairs.start; q < p; q++) {
		other = yaml_document_get_node(w->doc, q->key);
		if (other->type == YAML_SCALAR_NODE && strcmp(text_of(other), text_of(key)) == 0)
			machine_complain(w->errors, &key->start_mark, "\"%.40s\" is given twice (first in line %zu)",
					 text_of(key), other->start_mark.line + 1);
	}
	field = find_field(s->mapping.fields, text_of(key));
	if (field)
		check_value(w, yaml_document_get_node(w->doc, p->value), &field->value);
	else
		unknown_key(w, key, s->mapping.fields);
}

static void check_mapping(struct walk *w, yaml_node_t *n, const struct cyaml_schema_value *s)
{
	char what[64];

	if (n->type != YAML_MAPPING_NODE) {
		snprintf(what, sizeof(what), "keys and values (such as \"%s: ...\")", s->mapping.fields[0].key);
		expected(w, n, what);
		return;
	}
	/* Every pair beyond the known keys is a complaint, so a mapping of a million keys ends early. */
	for (const yaml_node_pair_t *p = n->data.mapping.pairs.start;
	     p < n->data.mapping.pairs.top && w->errors->count <= MACHINE_ERRORS_MAX; p++)
		check_pair(w, n, p, s);
	for (const struct cyaml_schema_field *f = s->mapping.fields; f->key; f++) {
		if (!(f->value.flags & CYAML_FLAG_OPTIONAL) && !machine_yaml_get(w->doc, n, f->key))
			machine_complain(w->errors, &n->start_mark, "\"%s:\" is missing here", f->key);
	}
}

static void check_sequence(struct walk *w, yaml_node_t *n, const struct cyaml_schema_value *s)
{
	size_t count;

	if (n->type != YAML_SEQUENCE_NODE) {
		expected(w, n, "a list (lines that begin with \"- \")");
		return;
	}
	count = n->data.sequence.items.top - n->data.sequence.items.start;
	if (count < s->sequence.min || count > s->sequence.max)
		machine_complain(w->errors, &n->start_mark, "expected %u to %u items, found %zu", s->sequence.min,
				 s->sequence.max, count);
	for (size_t i = 0; i < count; i++)
		check_value(w, yaml_document_get_node(w->doc, n->data.sequence.items.start[i]), s->sequence.entry);
}

static void check_number(struct walk *w, const yaml_node_t *n)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text_of(n), &end, 0);
	if (text_of(n)[0] < '0' || text_of(n)[0] > '9' || *end || errno || v > UINT32_MAX)
		expected(w, n, "a number");
}

static void check_choice(struct walk *w, const yaml_node_t *n, const struct cyaml_schema_value *s)
{
	AUTO_FREE char *words = NULL;
	size_t size;
	FILE *f;

	for (uint32_t i = 0; i < s->enumeration.count; i++) {
		if (strcmp(s->enumeration.strings[i].str, text_of(n)) == 0)
			return;
	}
	f = open_memstream(&words, &size);
	if (!f)
		return;
	fputs("one of ", f);
	for (uint32_t i = 0; i < s->enumeration.count; i++)
		fprintf(f, "%s%s", i ? ", " : "", s->enumeration.strings[i].str);
	fclose(f);
	expected(w, n, words);
}

static void check_bool(struct walk *w, const yaml_node_t *n)
{
	const char *t = text_of(n);

	if (strcmp(t, "yes") && strcmp(t, "no") && strcmp(t, "true") && strcmp(t, "false"))
		expected(w, n, "yes or no");
}

static void check_scalar(struct walk *w, yaml_node_t *n, const struct cyaml_schema_value *s)
{
	if (n->type != YAML_SCALAR_NODE) {
		expected(w, n, s->type == CYAML_UINT ? "a number" : s->type == CYAML_BOOL ? "yes or no" : "a word");
		return;
	}
	if (strlen(text_of(n)) != n->data.scalar.length) {
		machine_complain(w->errors, &n->start_mark, "a NUL character");
		return;
	}
	switch (s->type) {
	case CYAML_UINT:
		check_number(w, n);
		break;
	case CYAML_BOOL:
		check_bool(w, n);
		break;
	case CYAML_ENUM:
		check_choice(w, n, s);
		break;
	default:
		if (n->data.scalar.length == 0)
			expected(w, n, "a word");
		else if (n->data.scalar.length > MACHINE_STRING_MAX)
			machine_complain(w->errors, &n->start_mark, "longer than %d characters", MACHINE_STRING_MAX);
		break;
	}
}

static void check_value(struct walk *w, yaml_node_t *n, const struct cyaml_schema_value *s)
{
	uint8_t *active = &w->active[n - w->doc->nodes.start];

	if (w->stop)
		return;
	if (*active) {
		machine_complain(w->errors, &n->start_mark, "this contains itself, through an alias");
		w->stop = true;
		return;
	}
	if (++w->steps > STEPS_MAX) {
		machine_complain(w->errors, &n->start_mark, "too much: aliases make more than %d entries of this",
				 STEPS_MAX);
		w->stop = true;
		return;
	}
	*active = 1;
	if (s->type == CYAML_MAPPING)
		check_mapping(w, n, s);
	else if (s->type == CYAML_SEQUENCE)
		check_sequence(w, n, s);
	else
		check_scalar(w, n, s);
	*active = 0;
}

void machine_yaml_check(struct machine_errors *e, yaml_document_t *doc, const struct cyaml_schema_value *schema)
{
	size_t nodes = doc->nodes.top - doc->nodes.start;
	struct walk w = { .errors = e, .doc = doc, .active = calloc(nodes + 1, 1) };
	yaml_node_t *root = yaml_document_get_root_node(doc);

	if (!w.active)
		machine_complain(e, NULL, "out of memory");
	else if (!root)
		machine_complain(e, NULL, "empty: expected at least \"machine:\" and \"devices:\"");
	else
		check_value(&w, root, schema);
	free(w.active);
}
