/* SPDX-License-Identifier: MIT */
/* A program that prints its figures as rows of a table: | what | ours | goal | met |. With "-v" what is behind them, too. */
#ifndef UVFIO_BENCH_TABLE_H
#define UVFIO_BENCH_TABLE_H

#include "bench.h"
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

static bool verbose;

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, ": %m\n");
	va_end(ap);
	exit(1);
}

static void __attribute__((format(printf, 4, 5))) row(const char *what, const char *goal, bool met, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("| %s | ", what);
	vprintf(fmt, ap);
	printf(" | %s | %s |\n", goal, met ? "yes" : "NO");
	fflush(stdout);
	va_end(ap);
}

static void __attribute__((format(printf, 1, 2))) detail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (verbose)
		vprintf(fmt, ap);
	fflush(stdout);
	va_end(ap);
}

struct bench {
	const char *name;
	void (*fn)(void);
};

/* A program's arguments are "[-v] [NAME]": one of @b, or all @n of them. */
static inline int benches_run(const struct bench *b, size_t n, int argc, char **argv)
{
	const char *only = argc > 1 ? argv[argc - 1] : "-";

	verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	printf("| what | ours | goal | met |\n|---|---|---|---|\n");
	for (size_t i = 0; i < n; i++) {
		if (*only == '-' || strcmp(b[i].name, only) == 0)
			b[i].fn();
	}
	return 0;
}

/* A number below @n. */
static inline uint64_t any(uint64_t *s, uint64_t n)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return (*s >> 32) * n >> 32;
}

#endif
