/* SPDX-License-Identifier: MIT */
/* The models that come with uvfio; wired up in machine/builtin.c. And how their args are read. */
#ifndef UVFIO_DEVICES_DEVICES_H
#define UVFIO_DEVICES_DEVICES_H

#include "base/defs.h"
#include "uvfio/model.h"

extern const struct pci_model dsa_model;     /* Intel DSA, spec 40 section 2 */
extern const struct pci_model edu_model;     /* QEMU's educational device */
extern const struct pci_model ioat_model;    /* Intel I/OAT, spec 40 section 1 */
extern const struct pci_model generic_model; /* BARs of plain memory: stands in for a NIC, an NVMe ... */
extern const struct pci_model igb_model;     /* Intel 82576, spec 40 section 3 */
extern const struct pci_model pcitest_model; /* all as its args say: for tests */

/* Args are "key=value", or "key" alone for "key=yes". */

/** model_arg - the value of @arg when its key is @key: "" for a bare key; NULL: another key */
const char *model_arg(const char *arg, const char *key);
/** model_arg_bool - yes, no, true, false, 1, 0 and "" for yes. 0; -EINVAL with the reason in @err */
int model_arg_bool(const char *value, bool *out, char *err, size_t err_size);
/** model_arg_number - decimal, 0x hexadecimal, with K, M, G or T. 0; -EINVAL with the reason in @err */
int model_arg_number(const char *value, uint64_t *out, char *err, size_t err_size);
/**
 * model_shape_common - args that every model can take: flr, pm, express, msi=N, pasid=BITS, pri; the end of a model's shape()
 * @own: the names of the model's own args, for the message about an unknown one
 * Return: 0; -EINVAL with the reason in @err
 */
int model_shape_common(struct pci_model *copy, const char *arg, const char *own, char *err, size_t err_size);
/* Words that a model adds to those of "barN=SIZE,...": what such a BAR is to it. { NULL } ends, and says what others are. */
struct model_bar_kind {
	const char *word;
	bool plain;
};
/* What one "barN=..." says. */
struct model_bar_arg {
	unsigned index;
	struct pci_bar_desc desc;
	const char *kind; /* the model's word, as in its list; NULL: none */
};
/** model_parse_bar - is @arg about a BAR? 1: yes, and @out says how; 0: no; -EINVAL with the reason in @err */
int model_parse_bar(const char *arg, const struct model_bar_kind *kinds, struct model_bar_arg *out, char *err,
		    size_t err_size);
/** model_shape_bar, model_shape_msix, model_shape_intx - as shape.c tells. 0; -EINVAL with the reason in @err */
int model_shape_bar(struct pci_model *copy, const struct model_bar_arg *a, char *err, size_t err_size);
int model_shape_msix(struct pci_model *copy, const char *value, char *err, size_t err_size);
int model_shape_intx(struct pci_model *copy, const char *value, char *err, size_t err_size);
/** model_size_parse - "4096", "0x1000", "4K", "64G". 0; -EINVAL not a number; -ERANGE beyond 64 bits */
int model_size_parse(const char *text, uint64_t *out);
/** model_size_format - the shortest of the same notation into @buf, which is returned */
const char *model_size_format(uint64_t size, char buf[24]);

#endif
