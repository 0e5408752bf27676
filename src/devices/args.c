/* SPDX-License-Identifier: MIT */
/*
 * The args of a device in a machine file: "key=value" strings that a model reads twice, once to shape
 * the function (BARs, capabilities) and once to make its state. Whatever is wrong with one is said in
 * words here, because only the machine file's reader knows the line.
 */
#include "devices/devices.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char size_units[] = "KMGT";

int model_size_parse(const char *text, uint64_t *out)
{
	const char *unit;
	uint64_t value;
	unsigned shift = 0;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno)
		return -ERANGE;
	if (*end) {
		unit = strchr(size_units, *end);
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (unsigned)(unit - size_units + 1);
		if (value > UINT64_MAX >> shift)
			return -ERANGE;
	}
	*out = value << shift;
	return 0;
}

const char *model_size_format(uint64_t size, char buf[24])
{
	int unit = -1;

	while (size && size % 1024 == 0 && size_units[unit + 1]) {
		size /= 1024;
		unit++;
	}
	snprintf(buf, 24, unit < 0 ? "%" PRIu64 : "%" PRIu64 "%c", size, unit < 0 ? 0 : size_units[unit]);
	return buf;
}

const char *model_arg(const char *arg, const char *key)
{
	size_t n = strlen(key);

	if (strncmp(arg, key, n) != 0)
		return NULL;
	if (arg[n] == '=')
		return arg + n + 1;
	return arg[n] ? NULL : arg + n;
}

int model_arg_bool(const char *value, bool *out, char *err, size_t err_size)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "", true }, { "yes", true }, { "true", true }, { "1", true },
		{ "no", false }, { "false", false }, { "0", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(value, words[i].word) == 0) {
			*out = words[i].value;
			return 0;
		}
	}
	snprintf(err, err_size, "\"%s\" is neither yes nor no", value);
	return -EINVAL;
}

int model_arg_number(const char *value, uint64_t *out, char *err, size_t err_size)
{
	int rc = model_size_parse(value, out);

	if (rc == -ERANGE)
		snprintf(err, err_size, "%s does not fit in 64 bits", value);
	else if (rc)
		snprintf(err, err_size, "\"%s\" is not a number (such as 4096, 0x1000, 4K, 1M or 64G)", value);
	return rc ? -EINVAL : 0;
}

static int shape_msi(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	uint64_t n;
	int rc = model_arg_number(value, &n, err, err_size);

	if (rc)
		return rc;
	if (n > 32 || (n & (n - 1))) {
		snprintf(err, err_size, "%" PRIu64 " MSI vectors: must be 0, 1, 2, 4, 8, 16 or 32", n);
		return -EINVAL;
	}
	copy->msi_vectors = n;
	copy->msi_64bit = true;
	return 0;
}

/* "pasid" or "pasid=16" */
static int shape_pasid(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	uint64_t bits = 20;
	int rc = *value ? model_arg_number(value, &bits, err, err_size) : 0;

	if (rc)
		return rc;
	if (bits > 20) {
		snprintf(err, err_size, "%" PRIu64 " bits: PASIDs have at most 20", bits);
		return -EINVAL;
	}
	copy->pasid_bits = (uint8_t)bits;
	copy->express |= bits != 0;
	return 0;
}

static int shape_pri(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	int rc = model_arg_bool(value, &copy->page_requests, err, err_size);

	copy->express |= copy->page_requests;
	return rc;
}

int model_shape_common(struct pci_model *copy, const char *arg, const char *own, char *err, size_t err_size)
{
	const char *value;

	if ((value = model_arg(arg, "flr")))
		return model_arg_bool(value, &copy->flr, err, err_size);
	if ((value = model_arg(arg, "pm")))
		return model_arg_bool(value, &copy->power_management, err, err_size);
	if ((value = model_arg(arg, "express")))
		return model_arg_bool(value, &copy->express, err, err_size);
	if ((value = model_arg(arg, "msi")))
		return shape_msi(copy, value, err, err_size);
	if ((value = model_arg(arg, "pasid")))
		return shape_pasid(copy, value, err, err_size);
	if ((value = model_arg(arg, "pri")))
		return shape_pri(copy, value, err, err_size);
	snprintf(err, err_size, "unknown arg \"%s\" (known: %s, flr, pm, express, msi, pasid, pri)", arg, own);
	return -EINVAL;
}
