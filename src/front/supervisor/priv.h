/* SPDX-License-Identifier: MIT */
/*
 * What the files of the supervisor share. One struct super per run; under it
 *   struct super_proc   a process of the tree that has called (proc.c), with its image, memory and descriptors
 *   struct super_file   an open file of the machine in some program's hands (files.c)
 *   struct super_call   one notification being answered, on its thread's stack (notify.c)
 */
#ifndef UVFIO_FRONT_SUPERVISOR_PRIV_H
#define UVFIO_FRONT_SUPERVISOR_PRIV_H

#include "base/lock.h"
#include "base/log.h"
#include "file/tree.h"
#include "front/mmio.h"
#include "front/stub/mirror.h"
#include "front/stub/stub.h"
#include "front/supervisor/supervisor.h"
#include <limits.h>
#include <signal.h>
#include <linux/seccomp.h>
#include <sys/queue.h>
#include <sys/stat.h>

#define SUPER_FD_ROOM 4096 /* descriptors of ours a process can have, at most */
#define SUPER_FD_SPARE 64  /* numbers above those, below the limit of programs: the stub's */
#define SUPER_ALIAS   0x40000000 /* + a low descriptor: how a redirected attribute's calls come to us (window.c) */

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* Results of a handler that are no answer. */
#define SUPER_CONTINUE ((long)-0x7fff0001) /* let the kernel do it */
#define SUPER_DONE     ((long)-0x7fff0002) /* answered already */

/* ---- files ---- */

struct super_lease;

struct super_file {
	struct ref ref;             /* users in this process; the last one lets go of file */
	struct file *file;          /* [I] */
	uint64_t id;                /* [I] never reused */
	dev_t dev;                  /* [I] of the memfd or FIFO that stands for it, */
	ino_t ino;                  /* [I] which is its identity */
	int fifo;                   /* [I] our end of the FIFO; -1: none */
	uint64_t st_ino;            /* [I] what fstat says; 0: ino */
	int wd;                     /* [I] */
	bool text;                  /* [I] an attribute: may be redirected */
	atomic_bool mirrored;       /* programs may find pages of it in the mirror: see super_file_mirror() */
	struct stub_mirror *mirror; /* [I] */
	TAILQ_ENTRY(super_file) all;      /* [files.lock] */
	LIST_ENTRY(super_file) by_ino;    /* [files.lock] */
	LIST_ENTRY(super_file) by_wd;     /* [files.lock] */
	LIST_HEAD(, super_lease) leases;  /* [files.lock] plain memory mapped by its users */
	char name[];                /* [I] as /proc/PID/fd shows it */
};

/* Plain device memory handed out under the name of one file; see files.c. */
struct super_lease {
	LIST_ENTRY(super_lease) link;   /* [files.lock] of the file */
	LIST_ENTRY(super_lease) by_ino; /* [files.lock] */
	dev_t dev;                  /* [I] of the memory */
	ino_t ino;
	int probe;                  /* a description of our own on the same memory */
	struct super_file *sf;      /* borrowed */
	uint64_t delta;             /* offset in the file = offset in the memory + delta */
};

#define SUPER_FILE_BUCKETS 256
LIST_HEAD(super_file_bucket, super_file);
LIST_HEAD(super_lease_bucket, super_lease);

struct super_files {
	struct mutex release_lock;  /* RANK_SUPER_RELEASE: releases happen one after another, in order */
	struct mutex lock;          /* RANK_SUPER_FDS */
	int inotify;                /* [I] */
	dev_t dev;                  /* [I] of all memfds */
	uint64_t next_id;           /* [lock] */
	unsigned count;             /* [lock] */
	TAILQ_HEAD(super_file_list, super_file) all; /* [lock] */
	struct super_file_list gone; /* [lock] no descriptor, no mapping: only leases keep them */
	struct super_file_bucket by_ino[SUPER_FILE_BUCKETS], by_wd[SUPER_FILE_BUCKETS]; /* [lock] */
	struct super_lease_bucket leases[SUPER_FILE_BUCKETS]; /* [lock] */
};

/* ---- processes ---- */

/* A program image: the thunks its stub shares with its forks. */
struct super_image {
	LIST_ENTRY(super_image) link; /* [super.procs_lock] */
	unsigned users;               /* [super.procs_lock] processes known to run it */
	struct mmio_thunks *thunks;   /* [I] */
	dev_t dev;                    /* [I] of mmio_thunks_fd() */
	ino_t ino;
};

struct super_mm {
	struct mm mm;
	struct super *s;
	int mem;                    /* /proc/PID/mem; -1 */
	int maps;                   /* /proc/PID/maps; -1 */
	int pidfd;                  /* -1 */
	atomic_bool checked;        /* opened for a caller that was alive afterwards */
	atomic_bool stale;          /* the process runs another image now */
};

enum super_tri { SUPER_UNKNOWN, SUPER_YES, SUPER_NO };

struct super_window;

struct super_proc {
	LIST_ENTRY(super_proc) link; /* [super.procs_lock] */
	struct ref ref;
	struct super *s;
	pid_t tgid;                 /* [I] */
	int pidfd;                  /* [I] -1: the host has none */
	char comm[16];              /* [lock] for messages */
	atomic_bool checked;        /* made for a caller that was alive afterwards */
	struct mutex lock;          /* RANK_SUPER_PROC */
	struct super_mm *mm;        /* [lock] NULL until somebody needs it */
	struct super_image *image;  /* [lock] */
	_Atomic(atomic_ullong *) fds; /* written [lock], stays: inode behind descriptor fd_base + i; 0: not known */
	unsigned next_fd;           /* [lock] where to look for a free number */
	enum super_tri stub;        /* [lock] */
	bool actions_known;         /* [lock] */
	struct stub_action action[STUB_SIGNALS]; /* [lock] */
	atomic_bool devices;        /* has mapped a device: keep its SIGBUS open (signals.c) */
};

#define SUPER_PROC_BUCKETS 256
#define SUPER_TID_CACHE    1024
LIST_HEAD(super_proc_bucket, super_proc);

/* ---- the notification loop ---- */

struct super_call;
struct super_worker;
struct super_tracer;

struct super_pool {
	struct mutex lock;          /* RANK_SUPER_POOL */
	struct cond wanted;         /* no leader: somebody lead */
	struct super_worker *leader; /* [lock] who waits for, or answers, the next notification */
	unsigned idle, workers;     /* [lock] */
	atomic_bool stop;           /* written [lock] */
	LIST_HEAD(, super_worker) all; /* [lock] */
	atomic_ullong seq;          /* odd: the leader is answering; who makes it even has, or has passed, the lead */
	atomic_bool armed;          /* the watchdog looks at seq */
	unsigned long long seen;    /* the watchdog's own: seq at the last tick, */
	unsigned quiet;             /* and ticks without a change */
};

/* ---- the run ---- */

struct super {
	struct tree *tree;
	struct log *log;
	const struct super_options *o;
	int listener;               /* -1: */
	struct super_tracer *tracer; /* [I] instead of it; tracer.c */
	int watchdog;               /* eventfd: wake the main thread */
	int epoll;
	uint64_t soft_files;        /* [I] RLIMIT_NOFILE as it was */
	unsigned fd_base, fd_top;   /* [I] numbers of our descriptors in a program: [base, top) */
	bool getfd, inject;         /* [I] what the host allows; inject may be cleared when it turns out not to */
	struct stub_mirror *mirror; /* [I] NULL: none */
	size_t notif_size;          /* [I] of the kernel's struct seccomp_notif */
	struct super_files files;
	struct super_pool pool;
	struct mutex procs_lock;    /* RANK_SUPER_TABLE */
	struct mutex seize_lock;    /* RANK_SUPER_SEIZE: to seize another thread and to ask it to stop is one step */
	struct mutex install_lock;  /* RANK_SUPER_INSTALL: choosing a number and taking it */
	struct super_proc_bucket procs[SUPER_PROC_BUCKETS]; /* [procs_lock] */
	LIST_HEAD(, super_image) images; /* [procs_lock] */
	struct { pid_t tid; struct super_proc *proc; } tids[SUPER_TID_CACHE]; /* [procs_lock] */
	atomic_uint device_procs;   /* processes with .devices, ever: 0 makes rt_sigprocmask cheap */
	struct mutex window_lock;   /* RANK_SUPER_WINDOW */
	struct cond window_idle;
	LIST_HEAD(, super_window) windows, windows_ended; /* [window_lock] */
	struct super_backing *backing;
	LIST_HEAD(, super_event) events; /* [files.lock] eventfds made for callers when there is no pidfd_getfd */
	uint64_t epoch;             /* [I] CLOCK_REALTIME ns, for stat */
	sigset_t program_mask;      /* [I] what programs inherit */
	pid_t root;                 /* the program, once the guard has started it */
	int guard_pipe;             /* write end: while it is open the guard lets the programs live */
	atomic_uint chdirs;         /* for numbers that differ */
	atomic_ullong notified, continued; /* for the report */
	atomic_uint filters;        /* seccomp filters of a program that has none of its own; 0: not known yet */
	atomic_uint warned;         /* bits of things said once */
};

struct super_task {
	struct task t;
	struct super_mm *smm;       /* referenced by the call */
	struct super_call *call;
};

struct super_call {
	struct super *s;
	struct seccomp_notif *n;    /* in a buffer of the kernel's size */
	struct super_worker *worker;
	struct super_proc *proc;    /* referenced; NULL until super_call_proc() */
	struct super_task task;
	bool task_made;
	bool stopped;               /* kept in a stop, with an answer that is not yet the one: stop.c */
	int given, given_at;        /* [stopped] a descriptor of ours, and where the caller has it until the answer; -1: nowhere */
	struct super_file *held[8]; /* until the end of the call */
	unsigned nheld;
};

#define super_log(s, level, ...) log_msg((s)->log, level, "uvfio: " __VA_ARGS__)

/* Things said once a run. */
enum { SUPER_SAID_NO_STUB = 1, SUPER_SAID_TRACED = 2, SUPER_SAID_32BIT = 4, SUPER_SAID_REDIRECT = 8 };
#define super_log_once(s, bit, ...)                                              \
	do {                                                                     \
		if (!(atomic_fetch_or(&(s)->warned, (unsigned)(bit)) & (bit)))   \
			super_log(s, LOG_WARN, __VA_ARGS__);                     \
	} while (0)

/* notify.c */
int super_pool_start(struct super *s);
/** super_pool_stop - no notification can come any more: end all threads */
void super_pool_stop(struct super *s);
/** super_pool_tick - the watchdog: called about every 10 ms while armed; returns false when there is nothing to watch */
bool super_pool_tick(struct super *s);
/** super_call_may_block - let another thread take the next notifications */
void super_call_may_block(struct super_call *c);
/** super_call_send - answer now; the handler returns SUPER_DONE afterwards. 0; -ENOENT the caller is gone */
int super_call_send(struct super_call *c, long val);
int super_call_continue(struct super_call *c);
bool super_call_valid(struct super_call *c);
/** super_call_hold - keep @sf until the end of this thread's call; takes the reference. False: not possible, dropped */
bool super_call_hold(struct super_file *sf);
/**
 * super_call_addfd - give the caller a descriptor for @fd, before the call is answered
 * @at: the number; -1: the lowest free
 * Close @fd before the answer: a caller that goes on and closes its own must be the last who has the description.
 */
int super_call_addfd(struct super_call *c, int fd, int at, int oflags);
/** super_call_current - the call that this thread answers; NULL: none */
struct super_call *super_call_current(void);
/** super_call_answer - run the handler and answer, on a thread that may do nothing else meanwhile */
void super_call_answer(struct super_call *c);
typedef long (*super_handler)(struct super_call *c);
static inline uint64_t super_arg(const struct super_call *c, unsigned i)
{
	return c->n->data.args[i];
}

/* dispatch.c */
super_handler super_dispatch(int nr);

/* proc.c */
int super_procs_init(struct super *s);
void super_procs_fini(struct super *s);
/** super_call_proc - the calling process. NULL: it is gone, or no memory: answer -ESRCH */
struct super_proc *super_call_proc(struct super_call *c);
void super_proc_put(struct super_proc *p);
/** super_proc_find - by thread group id, referenced; NULL: not known */
struct super_proc *super_proc_find(struct super *s, pid_t tgid);
/** super_proc_of - the process of thread @tid, made if it has not been seen before; referenced; NULL: gone */
struct super_proc *super_proc_of(struct super *s, pid_t tid);
/** super_proc_exited - its pidfd says so */
void super_proc_exited(struct super *s, pid_t tgid);
/** super_proc_execed - it runs a new image now */
void super_proc_execed(struct super_proc *p);
/** super_proc_mm - its memory, referenced. 0; -ESRCH and the like */
int super_proc_mm(struct super_proc *p, struct super_mm **out);
/** super_proc_status - one "Name:\t" line's value of /proc/TID/status as a number, @base 10 or 16 */
int super_proc_status(pid_t tid, const char *name, int base, uint64_t *out);
pid_t super_proc_parent(pid_t tid);
/** super_proc_threads - call @fn for each thread of a process. 0 or @fn's non-zero result */
int super_proc_threads(pid_t tgid, int (*fn)(void *ctx, pid_t tid), void *ctx);

/* image.c */
struct super_image *super_image_create(struct super *s);
/** super_image_of - the image a process runs, by what is mapped at STUB_THUNKS; NULL: none */
struct super_image *super_image_of(struct super *s, struct super_mm *mm);
void super_image_put(struct super *s, struct super_image *im);
void super_images_fini(struct super *s);

/* mm.c */
/** super_mm_gone - has the process another address space by now, or none? */
bool super_mm_gone(struct super_mm *m);
int super_mm_create(struct super *s, pid_t tgid, const char *comm, struct super_mm **out);
static inline void super_mm_put(struct super_mm *m)
{
	if (m)
		mm_put(&m->mm);
}
/* One mapping; inode 0: anonymous */
struct super_vma {
	uint64_t start, end, offset, ino;
	dev_t dev;
	int prot;
	bool shared, huge;
};
/** super_mm_vma - the mapping at an address. 0; -EFAULT nothing there */
int super_mm_vma(struct super_mm *m, uint64_t addr, struct super_vma *out);
/** super_maps_each - call @fn for each mapping of a file, of a /proc/PID/maps. 0 or @fn's non-zero result (not -EFAULT); -errno */
int super_maps_each(struct super *s, int maps, int (*fn)(void *ctx, const struct super_vma *v), void *ctx);
/** super_vma_file - the machine's file that a mapping is of, referenced, and where in it the mapping starts; NULL: none */
struct super_file *super_vma_file(struct super *s, const struct super_vma *v, uint64_t *offset);
int super_mm_read(struct super_mm *m, void *dst, uva_t src, size_t n);

/* share.c */
/** super_share_open - the file that is mapped there, to be mapped here too; asks no program's server. -1: cannot be had */
int super_share_open(struct super_mm *m, const struct mm_area *a);

/* mapped.c */
/** super_mapped - struct file's mapped(); its front is the struct super */
bool super_mapped(struct file *f, uint64_t offset, uint64_t length);

/* rtask.c */
/** super_call_task - the caller as the machine sees it. NULL: it is gone */
struct task *super_call_task(struct super_call *c);
void super_call_task_end(struct super_call *c);
int super_copy_in(struct super_call *c, void *dst, uva_t src, size_t n);
int super_copy_out(struct super_call *c, uva_t dst, const void *src, size_t n);
/** super_local_task - a task that is this process itself: addresses are pointers here */
void super_local_task(struct super_call *c, struct task *t);

/* eventfds.c */
int super_event_get(struct super_call *c, int fd, struct event **out);
void super_events_fini(struct super *s);
/** super_events_sweep - close what was made for a process, ended or not, and nobody has any more. Context: no lock held */
void super_events_sweep(struct super *s, pid_t tgid);
long super_eventfd(struct super_call *c);

/* files.c */
/** super_files_init - super_files_fini() is to be called also when it fails */
int super_files_init(struct super *s);
void super_files_fini(struct super *s);
/**
 * super_file_create - make the memfd or FIFO that stands for @f
 * Takes a reference on @f; it is dropped when the last descriptor and the last mapping of that are gone.
 * Context: no lock held when @f is not always ready
 * Return: a description to install in a program and to close, O_CLOEXEC; or -errno
 */
int super_file_create(struct super *s, struct file *f, const char *name, uint64_t st_ino, bool text);
static inline dev_t super_files_dev(const struct super *s)
{
	return s->files.dev;
}
struct super_file *super_file_by_ino(struct super *s, dev_t dev, uint64_t ino);
void super_file_put(struct super_file *sf);
/** super_file_mirror - loads from the page at @offset of @sf are answered in the program from now on, where possible */
void super_file_mirror(struct super_file *sf, uint64_t offset);
/** super_files_drain - release what has been closed. Context: no lock held */
void super_files_drain(struct super *s);
/**
 * super_file_lease - a description of plain memory that keeps @sf from being released while it is open or mapped
 * @offset: where in @sf the @page is
 * Return: it; -EAGAIN the page has changed; -errno
 */
int super_file_lease(struct super *s, struct super_file *sf, uint64_t offset, const struct file_page *page);
/** super_file_of_lease - the file under whose name memory was handed out, referenced; turns @offset into the file's */
struct super_file *super_file_of_lease(struct super *s, dev_t dev, uint64_t ino, uint64_t *offset);
/** super_lease_access - read or write plain memory that was handed out. -ENXIO not such memory; -EFAULT blocked */
int super_lease_access(struct super *s, dev_t dev, uint64_t ino, uint64_t offset, void *data, size_t n, bool write);
/** super_hold - mark description @fd with @key; super_held() says whether such a description is still in use */
int super_hold(int fd, uint64_t key);
bool super_held(int probe, uint64_t key);

/* fds.c */
/** super_fd_get - the file behind a descriptor of the caller, referenced. -EBADF; -EBADFD a file of the host */
int super_fd_get(struct super_call *c, int fd, struct super_file **out);
/** super_fd_install - give the caller a high descriptor for description @src; @min: not below. Returns the number */
int super_fd_install(struct super_call *c, int src, uint64_t known, unsigned min, int oflags);
/** super_fd_known - what is remembered of a descriptor on this inode: which memfd it is; 0: ask each time */
static inline uint64_t super_fd_known(const struct super *s, dev_t dev, ino_t ino)
{
	return dev == super_files_dev(s) ? ino : 0;
}
void super_fd_forget(struct super_proc *p, unsigned first, unsigned last);
static inline bool super_fd_ours(const struct super *s, int fd)
{
	return fd >= (int)s->fd_base;
}

/* fdcalls.c: handlers by name of the call */
long super_read(struct super_call *c);
long super_write(struct super_call *c);
long super_pread(struct super_call *c);
long super_pwrite(struct super_call *c);
long super_readv(struct super_call *c);
long super_writev(struct super_call *c);
long super_preadv(struct super_call *c);
long super_pwritev(struct super_call *c);
long super_lseek(struct super_call *c);
long super_mmap(struct super_call *c);
long super_ioctl(struct super_call *c);
long super_fstat(struct super_call *c);
long super_close(struct super_call *c);
long super_close_range(struct super_call *c);
long super_dup(struct super_call *c);
long super_dup2(struct super_call *c);
long super_fcntl(struct super_call *c);
long super_einval(struct super_call *c);
long super_ok(struct super_call *c);
long super_fstatfs(struct super_call *c);

/* paths.c */
struct super_path {
	char text[PATH_MAX];  /* canonical, absolute */
	bool dir;             /* ended in '/': must be a directory */
	bool empty;           /* the string was "" */
	bool magic;           /* was a link of /proc, which readlink shows and lstat does not follow: */
	char link[64];        /* this one */
};
/**
 * super_path_get - copy in and canonicalise
 * Return: 1 one of the machine's; 0 the host's (let the kernel do it); -errno
 */
int super_path_get(struct super_call *c, int dirfd, uva_t path, struct super_path *out);

ssize_t super_proc_link(struct super_call *c, const char *link, char *out, size_t size);

/* pathcalls.c, open.c */
long super_open(struct super_call *c);
long super_creat(struct super_call *c);
long super_openat(struct super_call *c);
long super_openat2(struct super_call *c);
long super_stat(struct super_call *c);
long super_lstat(struct super_call *c);
long super_fstatat(struct super_call *c);
long super_statx(struct super_call *c);
long super_access(struct super_call *c);
long super_faccessat(struct super_call *c);
long super_readlink(struct super_call *c);
long super_readlinkat(struct super_call *c);
long super_chdir(struct super_call *c);
long super_getcwd(struct super_call *c);
long super_statfs(struct super_call *c);
long super_refuse(struct super_call *c);    /* mkdir, unlink, ...: -EPERM on ours */
long super_refuse_at(struct super_call *c);
long super_refuse_two(struct super_call *c); /* rename, link: paths in 0 and 1 */
long super_refuse_two_at(struct super_call *c); /* in (0, 1) and (2, 3) */
long super_refuse_symlink(struct super_call *c);
long super_refuse_symlinkat(struct super_call *c);
long super_accept(struct super_call *c);    /* chmod, chown, ...: nothing to do */
long super_accept_at(struct super_call *c);
long super_xattr(struct super_call *c);
/** super_fill_stat - st from what is known of a node or file; @dev the backing tree's */
void super_fill_stat(struct super *s, struct stat *st, mode_t mode, uint64_t ino, uint64_t size, dev_t rdev);

/* backing.c: a directory of the host's that mirrors what programs have listed */
struct super_backing;
int super_backing_create(struct super *s);
void super_backing_destroy(struct super *s);
/** super_backing_remove - only its files: for the guard, when this process has died */
void super_backing_remove(struct super *s);
/** super_backing_dir - where directory @path is mirrored, with its entries when @fill. 0; -errno */
int super_backing_dir(struct super *s, const char *path, bool fill, char *real, size_t size);
/** super_backing_strip - the tree's path of a host path below the backing tree, or NULL */
const char *super_backing_strip(struct super *s, const char *real);
dev_t super_backing_dev(struct super *s);
/**
 * super_backing_fifo - a FIFO without a name, opened with @oflags by one link, and for reading and writing by another
 * @label: by which /proc/PID/fd shows it, without '/'
 * *@other: the latter. Neither ever blocks. Return: the former; -errno
 */
int super_backing_fifo(struct super *s, const char *label, int oflags, int *other);

/* trace.c */
/** super_trace_attach - seize a thread and ask it to stop. 0; -EPERM somebody else traces it, or not allowed; -ESRCH */
int super_trace_attach(pid_t tid, unsigned long options);
/**
 * super_trace_attach_other - the same for a thread that does not make call @c but may make another one, for which another
 * of our threads may have stopped it: then when that is over, as long as @c's caller waits
 */
int super_trace_attach_other(struct super_call *c, pid_t tid);
/**
 * super_trace_taken - is the caller seized by another of our threads? That waits for it to stop, which it will not do before
 * the call is answered; -TASK_RESTART is an answer after which it is made once more
 */
bool super_trace_taken(struct super_call *c);
/**
 * super_trace_again - the caller is seized by another of our threads, which cannot go on before the call is answered:
 * let it, and have the call made once more afterwards. False: that is not so, and the call is not answered
 */
bool super_trace_again(struct super_call *c);
/** super_trace_wait - wait for the one thread this thread traces to stop. Its (maybe new) tid; -ESRCH it is gone */
pid_t super_trace_wait(void);
/** super_trace_detach - let a stopped thread go, with signal @sig; one that dies instead is waited for */
void super_trace_detach(pid_t tid, int sig);
/**
 * super_trace_call - run one system call in a stopped thread, registers restored afterwards
 * Return: its result; -ESRCH it is gone. Its number may be another thread's already (exec): leave that alone.
 */
long super_trace_call(pid_t tid, long nr, const uint64_t args[6]);
/** super_trace_call_quiet - the same where the filter does not see it. -EOPNOTSUPP: it has no stub */
long super_trace_call_quiet(pid_t tid, long nr, const uint64_t args[6]);
/** super_trace_result - what the system call it is in will return */
void super_trace_result(pid_t tid, long val);
/** super_trace_wait_by - how this thread waits for one of several it traces; @wait: as waitpid(tid, status, __WALL) */
void super_trace_wait_by(pid_t (*wait)(pid_t tid, int *status));
/** super_trace_stack - the stopped thread's stack pointer. 0; -ESRCH */
int super_trace_stack(pid_t tid, uint64_t *sp);
struct super_in_stop {
	long val;                                        /* the answer, or SUPER_CONTINUE */
	int (*before)(struct super_call *c, void *ctx);  /* before it is given; its error is the answer instead. NULL: nothing */
	/* Makes no call that is notified: the thread that would answer it may be this one. */
	void (*fn)(struct super_call *c, pid_t tid, void *ctx);
	void *ctx;
};
/**
 * super_call_in_stop - answer, and run a function while the caller is stopped on its way back to user mode
 * Return: SUPER_DONE; -errno of before(); or SUPER_CONTINUE when the caller cannot be traced, and nothing was run
 */
long super_call_in_stop(struct super_call *c, const struct super_in_stop *s);

/* stop.c */
/**
 * super_call_within - run @fn while the caller is stopped at the end of its call, which is still to be answered
 * It stays stopped until it is. @give: a descriptor of ours that @fn needs in the caller, where it is at @at until then
 * Return: @fn's result; -EOPNOTSUPP it cannot be stopped, or given the descriptor; -ESRCH it is gone; -TASK_RESTART
 */
long super_call_within(struct super_call *c, int give, long (*fn)(pid_t tid, int at, void *ctx), void *ctx);
/* What super_call_*() do when it is stopped. */
int super_stop_answer(struct super_call *c, long val);
bool super_stop_valid(struct super_call *c);

/* pins.c */
/** super_pin - struct mm_ops.pin */
int super_pin(struct mm *mm, int ring, unsigned slot, uva_t uva, uint64_t length);
/** super_try_pins - do all of it with a child made for it. 0 and what one pin costs; -errno */
int super_try_pins(double *us);
/** super_pin_there - the call of it, in a stopped thread that has the ring at @fd. 0; -errno */
long super_pin_there(pid_t tid, int fd, unsigned slot, uva_t uva, uint64_t length);

/* inject.c */
long super_execve(struct super_call *c);
/** super_inject - in the stop after an exec: put the stub in */
void super_inject(struct super *s, pid_t tid);
long super_prctl(struct super_call *c);

/* signals.c */
long super_sigaction(struct super_call *c);
long super_sigprocmask(struct super_call *c);
long super_stub_action(struct super_call *c, int sig, uva_t out, bool deliver);
/** super_signals_exec - the process may soon be another image: know what it ignores while its memory is still there */
void super_signals_exec(struct super_proc *p);
/** super_signals_mmap - the caller maps a device: no thread of it may block SIGBUS from now on; lets the call continue */
long super_signals_mmap(struct super_call *c);
/** super_proc_has_stub - does the calling process run with the stub? */
bool super_proc_has_stub(struct super_call *c);

/* stubcall.c */
long super_stub_call(struct super_call *c);

/* window.c */
/** super_window_redirect - the caller puts @sf on low descriptor @fd; answers the call by CONTINUE. SUPER_DONE */
long super_window_redirect(struct super_call *c, struct super_file *sf, int fd);
/** super_window_file - what a low descriptor of a process in a window refers to, referenced. -EBADF */
int super_window_file(struct super_proc *p, int fd, struct super_file **out);
bool super_window_owns(struct super_proc *p);
void super_windows_wait(struct super *s);
/* What is known of a thread whose calls are looked at one by one. */
struct super_redirect {
	pid_t tid, tgid;
	bool renamed;     /* its descriptor was turned: */
	uint64_t fd;      /* it was this */
	long nr;          /* the call it is in */
};
/** super_redirect_any - has the process a low descriptor that is an attribute? */
bool super_redirect_any(struct super *s, pid_t tgid);
/** super_redirect_entered - in the stop before a call */
void super_redirect_entered(struct super *s, struct super_redirect *r);
/** super_redirect_left - in the stop after a call. False: its process has no such descriptor any more */
bool super_redirect_left(struct super *s, struct super_redirect *r);

/* guard.c */
struct super_guard {
	pid_t pid;      /* of the guard */
	pid_t program;
	int listener;   /* received from the program; -1: */
	int refused;    /* the host has not allowed it: -errno; the program waits for super_guard_go() */
	int sock;
	int status;     /* read end: one int when the program has ended, EOF when the last one has */
	int alive;      /* write end */
	int error;      /* read end: an errno when exec failed, EOF when it has not */
};
int super_guard_start(struct super *s, char *const argv[], struct super_guard *g);
/** super_guard_go - the program is traced now, and may start; @go false: it may not */
void super_guard_go(struct super_guard *g, bool go);
/** super_descendants - call @fn for each process below @of. 0 or @fn's non-zero result */
int super_descendants(pid_t of, int (*fn)(void *ctx, pid_t pid), void *ctx);
/** super_kill_descendants - send @sig to all processes below @of; returns how many there were */
unsigned super_kill_descendants(pid_t of, int sig);

/* host.c */
struct super_host {
	bool notify_killable, sync_wake, getfd, procmap, mem_write, ptrace;
};
#endif
