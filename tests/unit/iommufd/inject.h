/* SPDX-License-Identifier: MIT */
/*
 * The n-th allocation of a call fails, or its n-th copy from or to the program, for every n until the call needs no more:
 * it says so, and the world is as before. Rows of calls: inject_calls.h, inject_tests.h.
 *
 * The linker puts these functions in the place of the allocator's (meson.build).
 */
#ifndef INJECT_H
#define INJECT_H

#include "mock_lab.h"

/* ---- what fails ---- */

enum { ALLOCATIONS, COPIES };

static struct {
	unsigned left[2]; /* until one fails; 0: none does */
	bool failed;
	uva_t start, last; /* what could not be copied cannot be copied again, */
	bool out;          /* in this direction */
} injected;

static bool injected_here(unsigned what)
{
	if (!injected.left[what] || --injected.left[what])
		return false;
	injected.failed = true;
	return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t n);
int __real_memfd_create(const char *name, unsigned flags);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t n);
int __wrap_memfd_create(const char *name, unsigned flags);

void *__wrap_malloc(size_t n)
{
	return injected_here(ALLOCATIONS) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return injected_here(ALLOCATIONS) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return injected_here(ALLOCATIONS) ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return injected_here(ALLOCATIONS) ? NULL : __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return injected_here(ALLOCATIONS) ? NULL : __real_aligned_alloc(align, n);
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
	if (injected_here(ALLOCATIONS)) {
		errno = ENOMEM;
		return -1;
	}
	return __real_memfd_create(name, flags);
}

static bool copy_fails(uva_t start, size_t n, bool out)
{
	const uva_t last = start + (n - 1);

	if (injected.start && injected.out == out && start <= injected.last && last >= injected.start)
		return true;
	if (!injected_here(COPIES))
		return false;
	injected.start = start;
	injected.last = last;
	injected.out = out;
	return true;
}

static int inject_in(struct task *t, void *dst, uva_t src, size_t n)
{
	return copy_fails(src, n, false) ? -EFAULT : lab_in(t, dst, src, n);
}

static int inject_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	return copy_fails(dst, n, true) ? -EFAULT : lab_out(t, dst, src, n);
}

static const struct task_ops inject_ops = { .copy_in = inject_in, .copy_out = inject_out, MOCK_OPS };

/* ---- the world: whatever a call could leave behind is in one of these numbers ---- */

struct world {
	uint64_t ids, used, tombs, references, visitors;
	uint64_t pinned, locked, shares, files, regions;
	uint64_t areas, ranges, align;
};

static void look_at_space(struct iommufd_ioas *ioas, struct world *w)
{
	struct iommu_iova_range *list = NULL;
	uint64_t align = 0;
	int n = iopt_ranges(&ioas->iopt, &list, &align);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++)
		w->ranges = w->ranges * 31 + list[i].start * 3 + list[i].last;
	free(list);
	w->align = w->align * 31 + align;
	SCOPED_LOCK(&ioas->iopt.lock);
	for (struct iopt_area *a = iopt_area_from_locked(&ioas->iopt, 0); a; a = iopt_area_next_locked(&ioas->iopt, a))
		w->areas = w->areas * 31 + a->start * 5 + a->last * 3 + a->pins;
}

static struct world look(void)
{
	struct world w = { .used = lab.ctx->used, .tombs = lab.ctx->tombs, .references = atomic_load(&lab.ctx->ref.n),
			   .pinned = lab_pinned(), .shares = lab.mm.shares,
			   .locked = atomic_load(&lab.mm.mm.locked_pages) };

	for (unsigned i = 0; i < lab.ctx->nobjects; i++) {
		struct iommufd_object *o = lab.ctx->objects[i];

		if (!o)
			continue;
		w.ids = w.ids * 31 + o->id * 7 + o->type;
		w.references = w.references * 31 + o->users;
		w.visitors += o->visitors;
		if (o->type == IOMMUFD_IOAS)
			look_at_space(container_of(o, struct iommufd_ioas, obj), &w);
	}
	for (unsigned i = 0; i < MOCK_FDS; i++)
		w.files += mock_files[i] != NULL;
	for (uint64_t at = 0; at < 16 * PAGE; at += PAGE) {
		struct file_page page;

		iommufd_region_page(lab.ctx, at, &page);
		w.regions = w.regions * 2 + (page.kind == FILE_PAGE_PLAIN);
	}
	return w;
}

/* ---- rows ---- */

enum {
	STICKS = 1, /* what has been done stays done when the answer cannot be written, as in Linux */
	QUIET = 2,  /* may do without what failed, and says nothing */
	LEAVES = 4, /* a descriptor that is there already cannot be taken back */
	NEEDS = 8,  /* at least one allocation */
	ALONE = 16, /* nothing is copied */
};

struct row {
	const char *name;
	void (*prepare)(void);
	long (*call)(void);
	void (*undo)(void); /* the call, and what was prepared */
	unsigned flags;
};

static void compare(const struct row *r, unsigned n, const struct world *a, const struct world *b)
{
	if (memcmp(a, b, sizeof(*a)) == 0)
		return;
	print_error("%s, number %u: something is not as before\n", r->name, n);
	assert_memory_equal(a, b, sizeof(*a));
}

static long armed_call(const struct row *r, unsigned what, unsigned n)
{
	long rc;

	injected.failed = false;
	injected.left[what] = n;
	rc = r->call();
	injected.left[what] = 0;
	injected.start = 0;
	return rc;
}

/* Descriptors that nobody was told of are closed, as the program's end would. */
static void close_untold(uint64_t files)
{
	for (uint32_t i = MOCK_FDS; i > 0; i--) {
		if (mock_files[i - 1] && look().files > files)
			mock_close(FIRST_FD + i - 1);
	}
}

static void after_failure(const struct row *r, unsigned n, const struct world *before)
{
	struct world after;

	if (r->flags & LEAVES)
		close_untold(before->files);
	after = look();
	if (!(r->flags & STICKS) || memcmp(before, &after, sizeof(after)) == 0) {
		compare(r, n, before, &after);
		assert_int_equal(r->call(), 0);
	}
	if (r->undo)
		r->undo();
}

/* Returns how many there are of @what. */
static unsigned run(const struct row *r, unsigned what)
{
	const long expected = what == ALLOCATIONS ? -ENOMEM : -EFAULT;

	for (unsigned n = 1;; n++) {
		const struct world base = look();
		struct world before, end;
		long rc;

		assert_in_range(n, 1, 1000);
		if (r->prepare)
			r->prepare();
		before = look();
		rc = armed_call(r, what, n);
		if (rc && rc != expected)
			print_error("%s, number %u: %ld\n", r->name, n, rc);
		if (injected.failed && !(rc == 0 && r->flags & QUIET)) {
			assert_int_equal(rc, expected);
			after_failure(r, n, &before);
		} else {
			assert_int_equal(rc, 0);
			if (r->undo)
				r->undo();
		}
		end = look();
		compare(r, n, &base, &end);
		if (!injected.failed)
			return n - 1;
	}
}

#endif
