/* SPDX-License-Identifier: MIT */
/* The words every file uses: address types, small macros, scope guards. */
#ifndef UVFIO_BASE_DEFS_H
#define UVFIO_BASE_DEFS_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

typedef uint64_t iova_t; /* what a device puts on the bus */
typedef uint64_t phys_t; /* what the IOMMU makes of it: machine-physical, see mem/mem.h */
typedef uint64_t uva_t;  /* an address in a caller's memory; never dereferenced */

#define UVFIO_PAGE_SHIFT 12
#define UVFIO_PAGE_SIZE  4096ul

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n)        (1u << (n))
#define BIT64(n)      (1ull << (n))

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* @a must be a power of two. */
#define ALIGN_UP(x, a)   (((x) + ((a) - 1)) & ~((__typeof__(x))(a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a) - 1))
#define IS_ALIGNED(x, a) (((x) & ((a) - 1)) == 0)

#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define EXPORT            __attribute__((visibility("default")))
#define MUST_CHECK        __attribute__((warn_unused_result))

/* AUTO_FREE char *s = NULL; frees s when it leaves its scope. */
static inline void auto_free(void *p)
{
	free(*(void **)p);
}
#define AUTO_FREE __attribute__((cleanup(auto_free)))

/* clang's thread-safety annotations; gcc ignores them. */
#if defined(__clang__)
#define CAPABILITY(x)  __attribute__((capability(x)))
#define REQUIRES(...)  __attribute__((requires_capability(__VA_ARGS__)))
#define ACQUIRES(...)  __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASES(...)  __attribute__((release_capability(__VA_ARGS__)))
#define NO_TSA         __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(x)
#define REQUIRES(...)
#define ACQUIRES(...)
#define RELEASES(...)
#define NO_TSA
#endif

#endif
