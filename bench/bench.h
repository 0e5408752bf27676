/* SPDX-License-Identifier: MIT */
/*
 * Every figure is the median of BENCH_ROUNDS, printed as "NAME NANOSECONDS", one a line; bench/run puts them beside
 * their floors.
 */
#ifndef UVFIO_BENCH_H
#define UVFIO_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifndef BENCH_ROUNDS
#define BENCH_ROUNDS 11
#endif

static inline double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int bench_less(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static inline double bench_median(double round[BENCH_ROUNDS])
{
	qsort(round, BENCH_ROUNDS, sizeof(double), bench_less);
	return round[BENCH_ROUNDS / 2];
}

/* BENCH_ROUND_NS(n, statement): nanoseconds of one @statement, in one round of @n; it may use i_, which counts them */
#define BENCH_ROUND_NS(n, ...)                                          \
	({                                                              \
		double t_ = bench_now();                                \
		for (long i_ = 0; i_ < (long)(n); i_++) {               \
			__VA_ARGS__;                                    \
		}                                                       \
		(bench_now() - t_) / (double)(n);                       \
	})

/* BENCH_NS(n, statement): the median of rounds */
#define BENCH_NS(n, ...)                                                \
	({                                                              \
		double r_[BENCH_ROUNDS];                                \
		for (int k_ = 0; k_ < BENCH_ROUNDS; k_++)               \
			r_[k_] = BENCH_ROUND_NS(n, __VA_ARGS__);        \
		bench_median(r_);                                       \
	})

/* The same, printed. */
#define BENCH(name, n, ...)                                             \
	do {                                                            \
		printf("%s %.1f\n", name, BENCH_NS(n, __VA_ARGS__));    \
		fflush(stdout);                                         \
	} while (0)

#endif
