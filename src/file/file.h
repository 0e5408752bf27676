/* SPDX-License-Identifier: MIT */
/*
 * The door. Whatever a program can open is a struct file with a table of operations; front ends make
 * calls on it for a task and know nothing else of the machine. Errors are negative errnos and reach the
 * program unchanged.
 */
#ifndef UVFIO_FILE_FILE_H
#define UVFIO_FILE_FILE_H

#include "base/defs.h"
#include "base/lock.h"
#include "base/ref.h"
#include "task/task.h"

struct file;
struct mirror_page;

/* What a program asks of mmap, already page-aligned (offset) as the host's mmap demands. */
struct file_mmap {
	uint64_t offset; /* in the file, bytes */
	uint64_t length; /* bytes, > 0, not rounded */
	int prot;        /* PROT_* */
	int flags;       /* MAP_* */
};

/* What lies behind a page of a mapped file. */
enum file_page_kind {
	FILE_PAGE_TRAP,  /* every access is carried to ops->mmio() */
	FILE_PAGE_PLAIN, /* memory: page @offset of @memfd */
	FILE_PAGE_NONE,  /* nothing: SIGBUS */
};

struct file_page {
	enum file_page_kind kind;
	int memfd;        /* PLAIN: borrowed, there while a program has the page mapped; truncated while access is blocked */
	uint64_t offset;  /* PLAIN: of the page in @memfd */
	uint64_t length;  /* bytes from the page on of which the same can be said, page multiple */
};

struct file_ops {
	const char *name; /* as in /proc/PID/fd: "anon_inode:[vfio-device]" */
	/* Any of these may be NULL: ioctl -ENOTTY, read and write -EINVAL, mmap -ENODEV. */
	long (*ioctl)(struct file *f, struct task *t, unsigned cmd, uint64_t arg);
	/* @pos is in and out for read(2)/write(2) files; device files take it from pread(2). Returns bytes. */
	ssize_t (*read)(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos);
	ssize_t (*write)(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos);
	/* Check an mmap; 0 lets it happen. Pages are asked for later, at the first touch of each. */
	int (*mmap)(struct file *f, struct task *t, const struct file_mmap *m);
	/* What is behind page @offset of the file now. */
	void (*page)(struct file *f, uint64_t offset, struct file_page *out);
	/*
	 * One access to a TRAP page, @width 1..64 bytes, not crossing a page; little-endian byte image.
	 * -EFAULT: access is blocked (memory disabled): the program gets SIGBUS. @t is for its name alone.
	 */
	int (*mmio)(struct file *f, struct task *t, uint64_t offset, void *data, unsigned width, bool write);
	/*
	 * What loads from TRAP page @offset may be answered from instead of mmio(), as long as the file is open; NULL: nothing.
	 */
	struct mirror_page *(*mirror)(struct file *f, uint64_t offset);
	/*
	 * DMA to a mapping of this file (a BAR mapped by a program and then mapped for DMA): the machine-physical
	 * address of @offset and how many bytes from there are contiguous. -EFAULT: blocked. (spec 10, MAP-12..15)
	 */
	int (*dma_target)(struct file *f, uint64_t offset, phys_t *phys, uint64_t *length);
	/* /proc/PID/fdinfo lines of its own */
	void (*fdinfo)(struct file *f, char *buf, size_t size);
	/* The last descriptor and the last mapping are gone. */
	void (*release)(struct file *f);
};

enum file_seek {
	FILE_SEEK_NONE,   /* lseek: -ESPIPE, */
	FILE_SEEK_POS,    /* or an ordinary position */
	FILE_SEEK_STREAM, /* no position at all: pread and pwrite are -ESPIPE too */
};

/* What poll(2) says of a file that is not always ready. */
struct file_ready {
	struct mutex lock;  /* RANK_FILE_READY */
	struct cond turned; /* in */
	bool in;            /* [lock] POLLIN and POLLRDNORM */
	bool out;           /* [I] POLLOUT, always or never */
	void (*changed)(void *ctx, bool in); /* [lock] the front end's; NULL: it does not look */
	void *ctx;          /* [lock] */
};

/** file_ready_init - nothing to read yet */
void file_ready_init(struct file_ready *r, bool out);
void file_ready_fini(struct file_ready *r);
/** file_ready_set - from now on a read finds something (@in), or nothing. Context: any thread, most locks */
void file_ready_set(struct file_ready *r, bool in);
/**
 * file_ready_watch - call @changed now, and each time that it changes; NULL: no more, and no call runs after the return
 * One at a time. Context of @changed: with locks held, so it must not wait
 */
void file_ready_watch(struct file_ready *r, void (*changed)(void *ctx, bool in), void *ctx);

struct file {
	const struct file_ops *ops;
	void *priv;           /* the layer's object */
	struct ref ref;
	int oflags;           /* O_RDONLY, O_RDWR ... as opened */
	enum file_seek seek;
	atomic_ullong pos;    /* not FILE_SEEK_STREAM */
	/* fstat */
	mode_t mode;          /* S_IFCHR|0600, S_IFREG|0444 */
	dev_t rdev;
	uint64_t size;        /* st_size: sysfs files; 0 for devices */
	pid_t opener;         /* for explain and list: who opened it, */
	char opener_comm[16];
	int64_t opened_at;    /* and when: CLOCK_REALTIME ns */
	struct file_ready *ready; /* [I] set by who makes it, valid until release; NULL: always ready */
	void *front;          /* the front end's own; NULL outside it */
	/* Has a program any of [@offset, +@length) mapped now? NULL: nobody can have. Context: no lock held */
	bool (*mapped)(struct file *f, uint64_t offset, uint64_t length);
};

/**
 * file_create - a new open file, one reference
 * @t: the opener; may be NULL for the machine's own
 * Return: 0; -ENOMEM
 */
int file_create(struct task *t, const struct file_ops *ops, void *priv, int oflags, mode_t mode, struct file **out);
static inline struct file *file_get(struct file *f)
{
	ref_get(&f->ref);
	return f;
}
/** file_put - the last put calls ops->release; NULL is fine */
void file_put(struct file *f);

/* The calls, with the defaults for missing operations. Context: no lock held; may block. */
long file_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg);
ssize_t file_pread(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos);
ssize_t file_pwrite(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos);
ssize_t file_read(struct file *f, struct task *t, uva_t buf, size_t count);
ssize_t file_write(struct file *f, struct task *t, uva_t buf, size_t count);
off_t file_lseek(struct file *f, off_t offset, int whence);
int file_mmap(struct file *f, struct task *t, const struct file_mmap *m);
/** file_mapped - has a program any of [@offset, +@length) mapped now? */
static inline bool file_mapped(struct file *f, uint64_t offset, uint64_t length)
{
	return f->mapped && f->mapped(f, offset, length);
}
/** file_poll - poll(2) of one file: which of @events are there; 0: none came in @ms milliseconds (-1: wait for ever) */
int file_poll(struct file *f, int events, int ms);

#endif
