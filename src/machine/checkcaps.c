/* SPDX-License-Identifier: MIT */
/*
 * Capabilities that a machine file gives by their bytes: hexadecimal words, each of whole bytes, for what is behind the
 * header. Where they may be is pci/'s to say.
 */
#include "machine/desc.h"
#include <ctype.h>
#include <string.h>

/* The bytes of a text such as "10 00 aabb" to @out; how many, or -1: it is none. */
static int read_bytes(const char *text, uint8_t *out)
{
	int n = 0;

	while (*text) {
		if (*text == ' ') {
			text++;
			continue;
		}
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
			return -1;
		sscanf(text, "%2hhx", &out[n++]);
		text += 2;
	}
	return n;
}

/* One text of a capability, @length bytes of which are wanted; without @length it says how many there are. */
static const uint8_t *take_bytes(struct machine_check *c, const yaml_node_t *yaml, const char *key, const char *text,
				 uint16_t *length, uint8_t **next)
{
	uint8_t *at = *next;
	int n = text ? read_bytes(text, at) : 0;

	if (n < 0)
		machine_complain_key(c, yaml, key, "\"%.40s\": expected bytes in hex, such as 10 00 a0 ff", text);
	else if (n > *length)
		machine_complain_key(c, yaml, key, "%d bytes, of a capability that has %u behind its header", n, *length);
	*next += *length;
	return text ? at : NULL;
}

static void take_capability(struct machine_check *c, struct machine_node *n, unsigned i, uint8_t **next)
{
	const struct machine_capability *m = &n->capabilities[i];
	struct pci_cap_desc *cap = &n->caps[i];
	yaml_node_t *yaml = machine_yaml_item(c->doc, machine_yaml_get(c->doc, n->yaml, "capabilities"), i);
	unsigned size = n->pci.type == PCI_CONVENTIONAL ? PCI_CFG_SPACE_SIZE : PCI_CFG_SPACE_EXP_SIZE;
	int length = m->bytes ? read_bytes(m->bytes, *next) : 0;
	const char *wrong;

	cap->id = (uint16_t)MIN(m->id, 0xffffu);
	cap->at = (uint16_t)MIN(m->at, 0xffffu);
	cap->version = (uint8_t)(m->version ? MIN(m->version, 255u) : cap->at >= PCI_CFG_SPACE_SIZE);
	cap->length = (uint16_t)MAX(length, 0);
	cap->bytes = take_bytes(c, yaml, "bytes", m->bytes, &cap->length, next);
	cap->write = take_bytes(c, yaml, "write", m->write, &cap->length, next);
	cap->clear = take_bytes(c, yaml, "clear", m->clear, &cap->length, next);
	n->pci.ncaps = i + 1;
	wrong = pci_cap_check(&n->pci, i, size);
	if (wrong)
		machine_complain_key(c, yaml, "at", "0x%x: %s", m->at, wrong);
}

void machine_capabilities_check(struct machine_check *c, struct machine_node *n)
{
	unsigned count = n->capabilities_count;
	uint8_t *next;

	if (!count)
		return;
	if (n->kind != MACHINE_FUNCTION) {
		machine_complain_key(c, n->yaml, "capabilities", "a %s has those that it needs", machine_kind_name(n->kind));
		return;
	}
	n->caps = calloc(count, sizeof(*n->caps));
	/* three texts each, of at most one byte for two characters, and where one ends behind the others' length */
	n->cap_bytes = calloc(count * 4 + 1, MACHINE_STRING_MAX);
	if (!n->caps || !n->cap_bytes) {
		machine_complain(c->errors, NULL, "out of memory");
		return;
	}
	next = n->cap_bytes;
	n->pci.caps = n->caps;
	for (unsigned i = 0; i < count; i++)
		take_capability(c, n, i, &next);
}
