/* SPDX-License-Identifier: MIT */
/*
 * Reading a machine file, in three steps that each stop when something is wrong: libyaml composes the document
 * (syntax), machine_yaml_check() compares it with the schema (form), libcyaml loads it and check.c looks at what it
 * means. The document is kept beside the loaded structs until then, because it knows the lines.
 */
#include "machine/desc.h"
#include "machine/machine.h"
#include <string.h>

#define FILE_MAX (16 * 1024 * 1024)

static void cyaml_complain(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct machine_errors *e = ctx;

	/* The form was checked, so this is memory, or a mistake of ours. */
	e->count++;
	fprintf(e->out, "%s: ", e->file);
	vfprintf(e->out, fmt, args);
}

static struct cyaml_config cyaml_config(struct machine_errors *e)
{
	return (struct cyaml_config){
		.mem_fn = cyaml_mem,
		.log_fn = e ? cyaml_complain : NULL,
		.log_ctx = e,
		.log_level = CYAML_LOG_ERROR,
	};
}

static void node_free(struct machine_node *n)
{
	for (unsigned i = 0; i < n->below_count; i++)
		node_free(&n->below[i]);
	if (n->virtual)
		node_free(n->virtual);
	free(n->virtual);
	free(n->order);
	free(n->shape_args);
	free(n->resv);
	free(n->caps);
	free(n->cap_bytes);
}

void machine_desc_free(struct machine_desc *d)
{
	const struct cyaml_config config = cyaml_config(NULL);

	if (!d || !ref_put(&d->ref))
		return;
	for (unsigned i = 0; i < d->devices_count; i++)
		node_free(&d->devices[i]);
	for (unsigned i = 0; i < d->drivers_count; i++)
		free(d->drivers[i].table);
	free(d->file);
	cyaml_free(&config, &machine_schema, d, 0);
}

struct machine_desc *machine_desc_get(const struct machine_desc *d)
{
	struct machine_desc *own = (struct machine_desc *)d; /* counting is no change */

	ref_get(&own->ref);
	return own;
}

/* Compose the document, or say what keeps it from being YAML. */
static int compose(struct machine_errors *e, const char *text, size_t n, yaml_document_t *doc)
{
	yaml_parser_t parser;
	int rc = 0;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	if (!yaml_parser_load(&parser, doc)) {
		if (parser.error == YAML_READER_ERROR)
			machine_complain(e, NULL, "not text: %s at byte %zu", parser.problem, parser.problem_offset);
		else
			machine_complain(e, &parser.problem_mark, "%s%s%s",
					 parser.problem ? parser.problem : "not YAML", parser.context ? ", " : "",
					 parser.context ? parser.context : "");
		rc = -EINVAL;
	}
	yaml_parser_delete(&parser);
	return rc;
}

static int load(struct machine_errors *e, yaml_document_t *doc, const char *text, size_t n, struct machine_desc **out)
{
	const struct cyaml_config config = cyaml_config(e);
	struct machine_check check = { .errors = e, .doc = doc };
	cyaml_err_t err;

	machine_yaml_check(e, doc, &machine_schema);
	if (e->count)
		return -EINVAL;
	err = cyaml_load_data((const uint8_t *)text, n, &config, &machine_schema, (cyaml_data_t **)&check.d, NULL);
	if (err != CYAML_OK) {
		if (!e->count)
			machine_complain(e, NULL, "%s", cyaml_strerror(err));
		return err == CYAML_ERR_OOM ? -ENOMEM : -EINVAL;
	}
	ref_init(&check.d->ref);
	check.d->file = strdup(e->file);
	if (!check.d->file)
		machine_complain(e, NULL, "out of memory");
	else
		machine_desc_check(&check);
	if (e->count) {
		machine_desc_free(check.d);
		return -EINVAL;
	}
	*out = check.d;
	return 0;
}

int machine_desc_parse(const char *name, const char *text, size_t n, FILE *err, struct machine_desc **out)
{
	struct machine_errors e = { .file = name, .out = err };
	yaml_document_t doc;
	int rc = compose(&e, text, n, &doc);

	if (rc)
		return rc;
	rc = load(&e, &doc, text, n, out);
	yaml_document_delete(&doc);
	return rc;
}

static int read_file(const char *path, char **text, size_t *n)
{
	FILE *in = fopen(path, "re");
	FILE *out;
	char chunk[4096];
	size_t got;
	int rc = 0;

	if (!in)
		return -errno;
	out = open_memstream(text, n);
	if (!out) {
		fclose(in);
		return -ENOMEM;
	}
	while (!rc && (got = fread(chunk, 1, sizeof(chunk), in)) > 0) {
		if (fwrite(chunk, 1, got, out) != got)
			rc = -ENOMEM;
		else if (ftell(out) > FILE_MAX)
			rc = -EFBIG;
	}
	if (!rc && ferror(in))
		rc = errno ? -errno : -EIO;
	fclose(in);
	if (fclose(out) && !rc)
		rc = -ENOMEM;
	return rc;
}

int machine_desc_load(const char *path, FILE *err, struct machine_desc **out)
{
	AUTO_FREE char *text = NULL;
	size_t n = 0;
	int rc;

	if (!path)
		return machine_desc_parse("default", machine_default_text(), strlen(machine_default_text()), err, out);
	rc = read_file(path, &text, &n);
	if (rc) {
		fprintf(err, "%s: %s\n", path, strerror(-rc));
		return rc;
	}
	return machine_desc_parse(path, text, n, err, out);
}
