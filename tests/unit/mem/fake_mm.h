/* SPDX-License-Identifier: MIT */
/*
 * A caller that is made of areas: shared memory (a memfd that the machine maps once more), private memory
 * (by address only), and mappings of a BAR. Everything is counted, so that a test sees what is left over.
 */
#ifndef FAKE_MM_H
#define FAKE_MM_H

#include "file/file.h"
#include "mem/mem.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_AREAS 16

/* cmocka takes the fault signals for each test; a process with a handler of its own asks mem_fault_fixup(). */
static inline void fake_fault_handler(int sig, siginfo_t *info, void *uc)
{
	if (!mem_fault_fixup(uc))
		signal(sig, SIG_DFL);
}

static inline void fake_take_faults(void)
{
	struct sigaction sa = { .sa_sigaction = fake_fault_handler, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

struct fake_area {
	struct mm_area a;
	int memfd;    /* shared */
	char *memory; /* the caller's own view; NULL for BARs */
	bool gone;    /* the caller has unmapped it */
};

struct fake_mm {
	struct mm mm;
	struct fake_area area[FAKE_AREAS];
	unsigned n;
	uint64_t limit;      /* RLIMIT_MEMLOCK */
	unsigned shares;     /* not unshared yet */
	atomic_uint area_calls;
	atomic_uint accesses;/* by address */
	bool freed;
};

struct fake_task {
	struct task t;
	struct fake_mm *mm;
	bool ipc_lock;
};

static inline struct fake_mm *fake_of(struct mm *mm)
{
	return container_of(mm, struct fake_mm, mm);
}

static inline struct fake_area *fake_find(struct fake_mm *f, uva_t at)
{
	for (unsigned i = 0; i < f->n; i++) {
		if (at >= f->area[i].a.start && at <= f->area[i].a.last && !f->area[i].gone)
			return &f->area[i];
	}
	return NULL;
}

static int fake_area_op(struct mm *mm, uva_t at, struct mm_area *out)
{
	struct fake_area *a = fake_find(fake_of(mm), at);

	fake_of(mm)->area_calls++;
	if (!a)
		return -EFAULT;
	*out = a->a;
	return 0;
}

static int fake_share(struct mm *mm, const struct mm_area *area, uva_t uva, uint64_t length, void **host)
{
	struct fake_area *a = fake_find(fake_of(mm), uva);
	int prot = PROT_READ | (area->writable ? PROT_WRITE : 0);

	if (!area->shared)
		return -EOPNOTSUPP;
	*host = mmap(NULL, length, prot, MAP_SHARED | MAP_NORESERVE, a->memfd, (off_t)(uva - area->start));
	if (*host == MAP_FAILED)
		return -ENOMEM;
	fake_of(mm)->shares++;
	return 0;
}

static void fake_unshare(struct mm *mm, void *host, uint64_t length)
{
	munmap(host, length);
	fake_of(mm)->shares--;
}

static int fake_move(struct mm *mm, uva_t at, void *buf, size_t n, bool write)
{
	struct fake_area *a = fake_find(fake_of(mm), at);

	atomic_fetch_add(&fake_of(mm)->accesses, 1);
	while (n) {
		size_t step = a ? MIN(n, a->a.last - at + 1) : 0;

		if (!a || !a->memory)
			return -EFAULT;
		/* As the system calls that do this: no race in the eyes of a sanitizer. */
		if (write)
			(void)mem_copy_guarded(a->memory + (at - a->a.start), buf, step);
		else
			(void)mem_copy_guarded(buf, a->memory + (at - a->a.start), step);
		at += step;
		buf = (char *)buf + step;
		n -= step;
		a = fake_find(fake_of(mm), at);
	}
	return 0;
}

static int fake_read(struct mm *mm, void *dst, uva_t src, size_t n)
{
	return fake_move(mm, src, dst, n, false);
}

static int fake_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	return fake_move(mm, dst, (void *)src, n, true);
}

static uint64_t fake_limit(struct mm *mm)
{
	return fake_of(mm)->limit;
}

static void fake_free(struct mm *mm)
{
	struct fake_mm *f = fake_of(mm);

	for (unsigned i = 0; i < f->n; i++) {
		if (f->area[i].memory)
			munmap(f->area[i].memory, f->area[i].a.last - f->area[i].a.start + 1);
		if (f->area[i].memfd >= 0)
			close(f->area[i].memfd);
	}
	f->freed = true;
}

static const struct mm_ops fake_mm_ops = {
	.area = fake_area_op,
	.share = fake_share,
	.unshare = fake_unshare,
	.read = fake_read,
	.write = fake_write,
	.memlock_limit = fake_limit,
	.free = fake_free,
};

static bool fake_capable(struct task *t, enum task_cap cap)
{
	return cap == TASK_CAP_IPC_LOCK && container_of(t, struct fake_task, t)->ipc_lock;
}

static const struct task_ops fake_task_ops = { .capable = fake_capable };

static inline void fake_init(struct fake_mm *f, struct fake_task *t)
{
	memset(f, 0, sizeof(*f));
	f->mm.ops = &fake_mm_ops;
	ref_init(&f->mm.ref);
	f->limit = UINT64_MAX;
	*t = (struct fake_task){ .t = { .ops = &fake_task_ops, .mm = &f->mm }, .mm = f };
}

/* Returns the caller's view. */
static inline char *fake_add(struct fake_mm *f, uva_t start, uint64_t length, bool shared, bool writable)
{
	struct fake_area *a = &f->area[f->n++];
	struct stat st;

	*a = (struct fake_area){
		.a = { .start = start, .last = start + (length - 1), .readable = true, .writable = writable,
		       .shared = shared },
		.memfd = -1,
	};
	if (shared) {
		a->memfd = memfd_create("fake", MFD_CLOEXEC);
		if (a->memfd < 0 || ftruncate(a->memfd, (off_t)length) < 0 || fstat(a->memfd, &st))
			abort();
		a->a.dev = st.st_dev;
		a->a.ino = st.st_ino;
	}
	a->memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
			 (shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS) | MAP_NORESERVE, a->memfd, 0);
	if (a->memory == MAP_FAILED)
		abort();
	return a->memory;
}

static inline void fake_add_bar(struct fake_mm *f, uva_t start, uint64_t length, struct file *file, uint64_t offset)
{
	f->area[f->n++] = (struct fake_area){
		.a = { .start = start, .last = start + (length - 1), .readable = true, .writable = true, .shared = true,
		       .file = file, .file_offset = offset },
		.memfd = -1,
	};
}

#endif
