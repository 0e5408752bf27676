/* SPDX-License-Identifier: MIT */
/*
 * What an administrator says of ACS on the kernel's command line (spec 10, 1.4):
 *
 *	pci=config_acs=FLAGS@DEVICE[;FLAGS@DEVICE...]     FLAGS: one of 0, 1, x a bit, the last is bit 0
 *	pci=disable_acs_redir=DEVICE[;DEVICE...]          no RR, CR, EC
 *	DEVICE: [DOMAIN:]BUS:SLOT.FUNCTION[/SLOT.FUNCTION...]  or  pci:VENDOR:DEVICE[:SUBVENDOR:SUBDEVICE]
 *
 * A path names the function at the end of a way down from a bridge. The first entry that names a function decides
 * for it, and a mistake in the text ends the search, as it does in Linux; pci_acs_param_check() finds mistakes before.
 */
#include "pci/priv.h"
#include <ctype.h>
#include <string.h>

#define ACS_REDIRECT (PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_EC)
#define PATH_MAX_STEPS 17

/* Up to @digits hex digits. */
static bool take_hex(const char **p, unsigned digits, unsigned *out)
{
	unsigned n = 0;

	for (*out = 0; n < digits && isxdigit((unsigned char)**p); n++, ++*p)
		*out = *out << 4 | (unsigned)(isdigit((unsigned char)**p) ? **p - '0' : (**p | 0x20) - 'a' + 10);
	return n > 0;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	++*p;
	return true;
}

/* "0000:01:02.3/00.0": what is above, from the top. */
struct path {
	unsigned domain, bus, n;
	uint8_t devfn[PATH_MAX_STEPS];
};

static bool take_slot(const char **p, struct path *out, unsigned slot)
{
	unsigned function;

	if (!take_char(p, '.') || !take_hex(p, 1, &function) || slot > 31 || function > 7 || out->n == PATH_MAX_STEPS)
		return false;
	out->devfn[out->n++] = (uint8_t)(slot << 3 | function);
	return true;
}

static bool take_path(const char **p, struct path *out)
{
	unsigned first, second, slot;

	*out = (struct path){ 0 };
	if (!take_hex(p, 4, &first) || !take_char(p, ':') || !take_hex(p, 2, &second))
		return false;
	out->bus = first;
	slot = second;
	if (take_char(p, ':')) {
		out->domain = first;
		out->bus = second;
		if (!take_hex(p, 2, &slot))
			return false;
	}
	if (out->bus > 255 || !take_slot(p, out, slot))
		return false;
	while (take_char(p, '/')) {
		if (!take_hex(p, 2, &slot) || !take_slot(p, out, slot))
			return false;
	}
	return true;
}

static bool path_is(const struct path *path, const struct pci_dev *d)
{
	for (unsigned i = path->n; i-- > 0;) {
		if (!d || d->devfn != path->devfn[i])
			return false;
		if (i == 0)
			return d->domain == path->domain && d->bus->number == path->bus;
		d = d->bus->bridge;
	}
	return false;
}

static bool take_ids(const char **p, unsigned id[4])
{
	unsigned n = 0;

	do {
		if (!take_hex(p, 4, &id[n]))
			return false;
	} while (++n < 4 && take_char(p, ':'));
	for (unsigned i = n; i < 4; i++)
		id[i] = 0;
	return n >= 2;
}

static bool id_is(unsigned want, unsigned have)
{
	return want == have || want == 0xffff;
}

/* 1: @d is named; 0: another is (or @d is NULL); -EINVAL */
static int take_device(const char **p, const struct pci_dev *d)
{
	struct path path;
	unsigned id[4];

	if (strncmp(*p, "pci:", 4) != 0)
		return take_path(p, &path) ? path_is(&path, d) : -EINVAL;
	*p += 4;
	if (!take_ids(p, id))
		return -EINVAL;
	return d && id_is(id[0], d->vendor) && id_is(id[1], d->device) && (!id[2] || id_is(id[2], d->subvendor)) &&
	       (!id[3] || id_is(id[3], d->subdevice));
}

/* "1x0@": the last character is bit 0. */
static bool take_flags(const char **p, uint8_t *mask, uint8_t *value)
{
	size_t n = strspn(*p, "01xX");

	*mask = *value = 0;
	if (n == 0 || n > 7 || (*p)[n] != '@')
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = (*p)[n - 1 - i];

		*mask |= c == '0' || c == '1' ? (uint8_t)BIT(i) : 0;
		*value |= c == '1' ? (uint8_t)BIT(i) : 0;
	}
	*p += n + 1;
	return true;
}

/* 1: @d is named, flags taken; 0: nobody wrong; -EINVAL with *@text at the mistake */
static int parse(const struct pci_dev *d, const char **text, bool flags, uint8_t *mask, uint8_t *value)
{
	int named;

	for (;;) {
		*mask = ACS_REDIRECT;
		*value = 0;
		if (flags && !take_flags(text, mask, value))
			return -EINVAL;
		named = take_device(text, d);
		if (named < 0 || (**text && **text != ';' && **text != ','))
			return -EINVAL;
		if (named || !**text)
			return named;
		++*text;
	}
}

bool pci_acs_param(const struct pci_dev *d, const char *text, bool flags, uint8_t *mask, uint8_t *value)
{
	return text && *text && parse(d, &text, flags, mask, value) == 1;
}

const char *pci_acs_param_check(const char *text, bool flags)
{
	uint8_t mask, value;

	return parse(NULL, &text, flags, &mask, &value) < 0 ? text : NULL;
}
