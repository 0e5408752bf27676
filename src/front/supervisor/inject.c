/* SPDX-License-Identifier: MIT */
/*
 * exec. A thread that asks for it is seized; the call goes on in the kernel; it stops either as the new image, into
 * which the stub is put (front/stub/stub.h), or on its way back from a call that failed, and is let go. PATH searches
 * fail often, so both ways are short.
 *
 * Who is traced by somebody else (a debugger) runs without stub: its device mappings raise SIGBUS.
 */
#include "front/stub/blob.h"
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_text(pid_t tid)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		n = pwrite(fd, stub_blob, stub_blob_size, (off_t)STUB_TEXT);
		close(fd);
	}
	if (n == (ssize_t)stub_blob_size)
		return 0;
	for (size_t i = 0; i < stub_blob_size; i += 8) {
		long word = 0;

		memcpy(&word, stub_blob + i, MIN((size_t)8, stub_blob_size - i));
		if (ptrace(PTRACE_POKEDATA, tid, STUB_TEXT + i, word) < 0)
			return -errno;
	}
	return 0;
}

void super_inject(struct super *s, pid_t tid)
{
	const uint64_t args[6] = {
		STUB_TEXT, STUB_TEXT_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		(uint64_t)-1, 0,
	};
	struct user_regs_struct r;
	long rc = super_trace_call(tid, SYS_mmap, args);

	if (rc == (long)STUB_TEXT)
		rc = write_text(tid);
	if (rc == 0 && ptrace(PTRACE_GETREGS, tid, 0, &r) == 0) {
		r.rdi = r.rip;
		r.rip = STUB_START;
		r.orig_rax = (uint64_t)-1;
		ptrace(PTRACE_SETREGS, tid, 0, &r);
		return;
	}
	if (rc != -ESRCH)
		super_log(s, LOG_WARN, "process %d runs without the MMIO stub: %s", tid, strerror((int)-rc));
}

/* The next stop of the one thread traced; its tid may change by an exec. -ESRCH: it is gone */
static pid_t next_stop(int *status)
{
	pid_t tid;

	do
		tid = waitpid(-1, status, __WALL | __WNOTHREAD);
	while (tid < 0 && errno == EINTR);
	return tid > 0 && WIFSTOPPED(*status) ? tid : -ESRCH;
}

/*
 * Wait for its new image, or its way back. The stop of an exec is inside the call, whose result would be written over
 * what is put into the registers; the one asked for by PTRACE_INTERRUPT comes after it, on the way to user mode.
 */
static void await_exec(struct super *s, struct super_proc *p)
{
	bool execed = false;
	int status, sig;
	pid_t tid;

	while ((tid = next_stop(&status)) > 0) {
		int event = status >> 16;

		if (event == PTRACE_EVENT_EXEC) {
			super_proc_execed(p);
			execed = true;
			ptrace(PTRACE_INTERRUPT, tid, 0, 0);
			ptrace(PTRACE_CONT, tid, 0, 0);
			continue;
		}
		sig = event == 0 ? WSTOPSIG(status) : 0;
		if (execed && event == PTRACE_EVENT_STOP)
			super_inject(s, tid);
		else if (execed && sig) {
			ptrace(PTRACE_CONT, tid, 0, sig); /* the stop is still to come */
			continue;
		}
		super_trace_detach(tid, sig);
		return;
	}
}

long super_execve(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);
	pid_t tid = (pid_t)c->n->pid;

	if (!p)
		return -ESRCH;
	super_signals_exec(p);
	if (!c->s->inject || c->s->tracer || super_window_owns(p))
		return SUPER_CONTINUE;
	super_call_may_block(c);
	if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACEEXEC) < 0) {
		bool traced = errno == EPERM;

		if (traced && super_trace_again(c))
			return SUPER_DONE;
		if (traced && !(atomic_fetch_or(&c->s->warned, 1) & 1))
			super_log(c->s, LOG_WARN,
				  "process %d is traced by another: programs run in it cannot touch mapped BARs", tid);
		super_proc_execed(p);
		return SUPER_CONTINUE;
	}
	ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	super_call_continue(c);
	await_exec(c->s, p);
	return SUPER_DONE;
}

/* A program that hides its memory from its own user would hide its arguments from the machine. */
long super_prctl(struct super_call *c)
{
	return super_arg(c, 1) == 0 ? 0 : SUPER_CONTINUE;
}
