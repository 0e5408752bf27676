/* SPDX-License-Identifier: MIT */
/*
 * A descriptor for a traced program. It opens /proc/PID/fd/N of ours itself, in calls it is made to run. So it gets
 * a description of its own, on the same inode with the same access; what marks ours (files.c) is put on that too.
 * What cannot be opened so (eventfds, sockets) cannot be handed over.
 */
#include "front/supervisor/tracer.h"
#include <fcntl.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SCRATCH 64 /* bytes in a program's memory that system calls run there may use */

/* Some bytes of the program's that nobody else uses now: the end of the stub's text, or the red zone of the thread. */
struct scratch {
	pid_t tid;
	uint64_t at;
	long saved[SCRATCH / 8];
};

static int scratch_write(struct scratch *m, const void *bytes, size_t n)
{
	long words[SCRATCH / 8] = { 0 };

	memcpy(words, bytes, MIN(n, sizeof(words)));
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (ptrace(PTRACE_POKEDATA, m->tid, m->at + i * 8, words[i]) < 0)
			return -EFAULT;
	}
	return 0;
}

static int scratch_try(struct scratch *m, uint64_t at)
{
	m->at = at;
	for (unsigned i = 0; i < ARRAY_SIZE(m->saved); i++) {
		errno = 0;
		m->saved[i] = ptrace(PTRACE_PEEKDATA, m->tid, at + i * 8, 0);
		if (errno)
			return -EFAULT;
	}
	return scratch_write(m, m->saved, sizeof(m->saved));
}

static int scratch_get(struct scratch *m, pid_t tid)
{
	uint64_t sp;

	m->tid = tid;
	if (scratch_try(m, STUB_TEXT + STUB_TEXT_SIZE - SCRATCH) == 0)
		return 0;
	return super_trace_stack(tid, &sp) ? -ESRCH : scratch_try(m, ALIGN_DOWN(sp, 8) - SCRATCH);
}

/* Whether our description carries one of the marks of files.c, and which: a new description must carry it as well. */
static bool mark_of(int fd, uint64_t *key)
{
	char path[64], line[256];
	unsigned long long start = 0;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "lock: %*d: OFDLCK ADVISORY READ %*d %*s %llu", &start) == 1;
	if (f)
		fclose(f);
	*key = start;
	return found;
}

static long run(pid_t tid, long nr, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t args[6] = { a, b, c };
	long rc = super_trace_call_quiet(tid, nr, args);

	return rc == -EOPNOTSUPP ? super_trace_call(tid, nr, args) : rc;
}

/* Put the mark of @fd, if it has one, on descriptor @n there. */
static long mark_there(struct scratch *m, int fd, long n)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1 };
	uint64_t key;

	if (!mark_of(fd, &key))
		return 0;
	l.l_start = (off_t)key;
	return scratch_write(m, &l, sizeof(l)) ? -EFAULT : run(m->tid, SYS_fcntl, (uint64_t)n, F_OFD_SETLK, m->at);
}

/*
 * In the caller's context: a new description of what @fd of ours is. Other threads of the program can write to the
 * scratch too, and with it choose what is opened; it is their own program that gets it. But it must not wait for
 * whoever opens the other end of a FIFO.
 */
static long open_there(struct scratch *m, int fd)
{
	int oflags = fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH | O_APPEND | O_NONBLOCK | O_DIRECTORY);
	char path[SCRATCH];
	long n, rc = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	if (scratch_write(m, path, sizeof(path)))
		return -EFAULT;
	n = run(m->tid, SYS_open, m->at, (uint64_t)(oflags | O_NONBLOCK | O_CLOEXEC), 0);
	if (n < 0)
		return n;
	if (!(oflags & (O_PATH | O_NONBLOCK)))
		rc = run(m->tid, SYS_fcntl, (uint64_t)n, F_SETFL, (uint64_t)(oflags & O_APPEND));
	if (rc == 0)
		rc = mark_there(m, fd, n);
	if (rc < 0 && rc != -ESRCH && run(m->tid, SYS_close, (uint64_t)n, 0, 0) == -ESRCH)
		return -ESRCH;
	return rc < 0 ? rc : n;
}

static long place_there(pid_t tid, long n, int at, int oflags)
{
	long rc;

	if (at >= 0 && n != at) {
		rc = run(tid, SYS_dup3, (uint64_t)n, (uint64_t)at, (uint64_t)(oflags & O_CLOEXEC));
		if (rc != -ESRCH && run(tid, SYS_close, (uint64_t)n, 0, 0) == -ESRCH)
			rc = -ESRCH;
		return rc;
	}
	rc = oflags & O_CLOEXEC ? 0 : run(tid, SYS_fcntl, (uint64_t)n, F_SETFD, 0);
	return rc < 0 ? rc : n;
}

long super_trace_addfd(pid_t tid, int fd, int at, int oflags)
{
	struct scratch m;
	long n = scratch_get(&m, tid);

	if (n)
		return n;
	n = open_there(&m, fd);
	if (n != -ESRCH)
		scratch_write(&m, m.saved, sizeof(m.saved));
	return n < 0 ? n : place_there(tid, n, at, oflags);
}
