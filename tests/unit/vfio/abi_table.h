/* SPDX-License-Identifier: MIT */
/* The rows of one header as data. */
#ifndef UVFIO_TESTS_ABI_TABLE_H
#define UVFIO_TESTS_ABI_TABLE_H

struct abi_row {
	const char *name;
	unsigned long value;
};

extern const struct abi_row abi_system[];
extern const unsigned abi_system_rows;

#define NUM(n)     { #n, (unsigned)(n) }, /* every number is a __u32 in use */
#define SIZE(s)    { "sizeof " #s, sizeof(struct s) },
#define OFF(s, f)  { "offset of " #s "." #f, __builtin_offsetof(struct s, f) },

#endif
