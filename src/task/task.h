/* SPDX-License-Identifier: MIT */
/*
 * Who is calling. A front end makes a struct task for the duration of one call; everything below it
 * reaches the caller's memory, file descriptors and rights through it and never through numbers of its
 * own. A struct mm is the caller's address space: it outlives the call, because mappings do.
 */
#ifndef UVFIO_TASK_TASK_H
#define UVFIO_TASK_TASK_H

#include "base/defs.h"
#include "base/event.h"
#include "base/ref.h"

struct file;
struct mm;
struct task;

enum task_cap { TASK_CAP_SYS_RAWIO, TASK_CAP_IPC_LOCK, TASK_CAP_SYS_ADMIN, TASK_CAP_SYS_RESOURCE };
#define TASK_CAPS 4

/* The kernel's ERESTARTNOINTR: the call is to fail with it, for no reason that it can know of, and is made once more. */
#define TASK_RESTART 513

struct task_ops {
	/* Copy between the machine and the caller. Return 0 or -EFAULT; a fault may leave part of @n copied. */
	int (*copy_in)(struct task *t, void *dst, uva_t src, size_t n);
	int (*copy_out)(struct task *t, uva_t dst, const void *src, size_t n);
	/*
	 * The machine's file behind one of the caller's descriptors, with a reference.
	 * -EBADF: not open. -EBADFD: open, but a file of the host.
	 */
	int (*file_get)(struct task *t, int fd, struct file **out);
	/*
	 * Give the caller a new descriptor for @f (takes its own reference). @oflags: O_CLOEXEC and the access mode.
	 * Returns the number, or -EMFILE and the like.
	 */
	int (*fd_install)(struct task *t, struct file *f, int oflags);
	/* The eventfd behind a descriptor, with a reference. -EBADF: not open. -EINVAL: not an eventfd. */
	int (*event_get)(struct task *t, int fd, struct event **out);
	/*
	 * A descriptor of the machine's own for the host's file behind one of the caller's: closed by who asked.
	 * -EBADF: not open. -EBADFD: a file of the machine. NULL: no caller has any.
	 */
	int (*host_fd)(struct task *t, int fd);
	/* The capability as a machine file or the caller's own rights say. */
	bool (*capable)(struct task *t, enum task_cap cap);
};

struct task {
	const struct task_ops *ops;
	struct mm *mm; /* borrowed for the call; mm_get() to keep it */
	pid_t tid, tgid;
	char comm[16];
};

/* One mapping of an address space, as far as DMA cares. */
struct mm_area {
	uva_t start, last;    /* inclusive */
	bool readable, writable, shared;
	bool huge;            /* of hugetlb pages, as far as the host says so */
	struct file *file;    /* a mapping of one of the machine's files (borrowed), else NULL */
	uint64_t file_offset; /* of @start, when @file is set */
	uint64_t dev, ino, host_offset; /* the host's file, for share(); ino 0: anonymous */
};

struct mm_ops {
	/*
	 * The area that holds @at. -EFAULT: nothing is mapped there. Adjacent areas alike may be reported as one.
	 */
	int (*area)(struct mm *mm, uva_t at, struct mm_area *out);
	/*
	 * Map shared memory of the caller into the machine: [@uva, +@length) inside @area. *@host is valid until
	 * unshare(). -EOPNOTSUPP: private memory, or the host does not let us: then read() and write() serve.
	 */
	int (*share)(struct mm *mm, const struct mm_area *area, uva_t uva, uint64_t length, void **host);
	void (*unshare)(struct mm *mm, void *host, uint64_t length);
	/*
	 * By address, from any thread of the machine, also after the call has ended, with locks up to RANK_MEM held.
	 * 0 or -EFAULT (also: the caller is gone).
	 */
	int (*read)(struct mm *mm, void *dst, uva_t src, size_t n);
	int (*write)(struct mm *mm, uva_t dst, const void *src, size_t n);
	/*
	 * Have [@uva, +@length) made buffer @slot of the io_uring @ring, a descriptor of this process, by somebody who runs in
	 * the address space: the pages are then pinned by the kernel for as long as they are that buffer, whatever becomes of
	 * the address space. mem_pin_slot() is the call to make. NULL: no way. Context: no lock of RANK_MEM or further in
	 * -EOPNOTSUPP: nobody of it can be made to; -ESRCH: it is ending; -TASK_RESTART; other: what the kernel says
	 */
	int (*pin)(struct mm *mm, int ring, unsigned slot, uva_t uva, uint64_t length);
	/* RLIMIT_MEMLOCK of the process, in bytes; UINT64_MAX: none */
	uint64_t (*memlock_limit)(struct mm *mm);
	void (*free)(struct mm *mm); /* after the last mm_put() */
	/* Does anybody still run in it? NULL: as far as is known */
	bool (*alive)(struct mm *mm);
};

struct mm {
	const struct mm_ops *ops;
	struct ref ref;
	atomic_ullong locked_pages; /* pages charged to this address space, as VmLck (spec 10, 4.4) */
	atomic_llong pinned_pages;  /* held for its contexts of iommufd, as VmPin (spec 30, 4.11) */
	pid_t tgid;                 /* whose it was when it was made; for messages */
	uid_t uid;                  /* the user then, whose locked memory is counted as one */
	char comm[16];
};

static inline struct mm *mm_get(struct mm *mm)
{
	ref_get(&mm->ref);
	return mm;
}
static inline void mm_put(struct mm *mm)
{
	if (mm && ref_put(&mm->ref))
		mm->ops->free(mm);
}

static inline bool mm_alive(struct mm *mm)
{
	return !mm->ops->alive || mm->ops->alive(mm);
}

/**
 * mm_charge - charge locked pages against the limit
 * @pages:     4 KiB pages
 * @unlimited: the caller has CAP_IPC_LOCK: count, but do not refuse
 * Return: 0; -ENOMEM over the limit, nothing charged (spec 10, 4.4)
 */
int mm_charge(struct mm *mm, uint64_t pages, bool unlimited);
/** mm_uncharge - give pages back */
void mm_uncharge(struct mm *mm, uint64_t pages);

static inline int task_copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	return n ? t->ops->copy_in(t, dst, src, n) : 0;
}
static inline int task_copy_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	return n ? t->ops->copy_out(t, dst, src, n) : 0;
}
static inline int task_file_get(struct task *t, int fd, struct file **out)
{
	return t->ops->file_get(t, fd, out);
}
static inline int task_fd_install(struct task *t, struct file *f, int oflags)
{
	return t->ops->fd_install(t, f, oflags);
}
static inline int task_event_get(struct task *t, int fd, struct event **out)
{
	return t->ops->event_get(t, fd, out);
}
static inline int task_host_fd(struct task *t, int fd)
{
	return t->ops->host_fd ? t->ops->host_fd(t, fd) : -EBADF;
}
static inline bool task_capable(struct task *t, enum task_cap cap)
{
	return t->ops->capable(t, cap);
}

/**
 * ucopy_argsz - copy in a struct that begins with a u32 argsz
 * @minsz: bytes the struct must have; less is -EINVAL
 * @dst:   receives exactly @minsz bytes
 * Return: 0; -EFAULT; -EINVAL argsz < @minsz (spec 20, 0.2)
 */
int ucopy_argsz(struct task *t, void *dst, uva_t src, size_t minsz);
/**
 * ucopy_struct - copy in a struct of which the caller may know an older or a newer form
 * @size: bytes the caller has; what @dst has more is zeroed, what the caller has more must be zeros
 * Return: 0; -EFAULT; -E2BIG
 */
int ucopy_struct(struct task *t, void *dst, size_t full, uva_t src, size_t size);
/**
 * ucopy_string - copy in a NUL-terminated string
 * @size: room in @dst; Return: its length; -EFAULT; -EINVAL when no NUL within @size bytes
 */
ssize_t ucopy_string(struct task *t, char *dst, uva_t src, size_t size);

/** task_comm - a program's name, for messages: any bytes can be one, what no terminal should see becomes "?" */
void task_comm(char dst[16], const char *name);

#endif
