/* SPDX-License-Identifier: MIT */
/* The caller of a notification as a struct task. */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct super_call *call_of(struct task *t)
{
	return container_of(t, struct super_task, t)->call;
}

/* Neither way through the memory file: that would read and write what the program itself may not. */
int super_copy_in(struct super_call *c, void *dst, uva_t src, size_t n)
{
	struct iovec l = { dst, n }, r = { (void *)src, n };

	return process_vm_readv((pid_t)c->n->pid, &l, 1, &r, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

int super_copy_out(struct super_call *c, uva_t dst, const void *src, size_t n)
{
	struct iovec l = { (void *)src, n }, r = { (void *)dst, n };

	return process_vm_writev((pid_t)c->n->pid, &l, 1, &r, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

static int task_in(struct task *t, void *dst, uva_t src, size_t n)
{
	return super_copy_in(call_of(t), dst, src, n);
}

static int task_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	return super_copy_out(call_of(t), dst, src, n);
}

static int task_file(struct task *t, int fd, struct file **out)
{
	struct super_file *sf;
	int rc = super_fd_get(call_of(t), fd, &sf);

	if (rc)
		return rc;
	*out = file_get(sf->file);
	super_file_put(sf);
	return 0;
}

static int task_install(struct task *t, struct file *f, int oflags)
{
	struct super_call *c = call_of(t);
	struct stat st;
	int fd = super_file_create(c->s, f, f->ops->name, 0, false), n;

	if (fd < 0)
		return fd;
	n = fstat(fd, &st) < 0 ? -errno : super_fd_install(c, fd, super_fd_known(c->s, st.st_dev, st.st_ino), 0, oflags);
	close(fd);
	return n;
}

static int task_event(struct task *t, int fd, struct event **out)
{
	return super_event_get(call_of(t), fd, out);
}

static int task_host(struct task *t, int fd)
{
	struct super_call *c = call_of(t);
	struct super_proc *p = super_call_proc(c);
	struct super_file *sf;
	char path[64];
	int copy;

	if (!p)
		return -ESRCH;
	if (fd < 0)
		return -EBADF;
	if (super_fd_get(c, fd, &sf) == 0) {
		super_file_put(sf);
		return -EBADFD;
	}
	if (c->s->getfd) {
		copy = (int)syscall(SYS_pidfd_getfd, p->pidfd, fd, 0);
		if (copy < 0)
			return -errno;
		fcntl(copy, F_SETFD, FD_CLOEXEC);
		return copy;
	}
	/* A memfd can be opened anew. */
	snprintf(path, sizeof(path), "/proc/%u/fd/%d", c->n->pid, fd);
	copy = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (copy < 0)
		copy = open(path, O_PATH | O_CLOEXEC);
	return copy >= 0 ? copy : errno == ENOENT ? -EBADF : -errno;
}

static bool task_has_cap(struct task *t, enum task_cap cap)
{
	static const unsigned bit[] = {
		[TASK_CAP_SYS_RAWIO] = CAP_SYS_RAWIO,
		[TASK_CAP_IPC_LOCK] = CAP_IPC_LOCK,
		[TASK_CAP_SYS_ADMIN] = CAP_SYS_ADMIN,
		[TASK_CAP_SYS_RESOURCE] = CAP_SYS_RESOURCE,
	};
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = t->tid };
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &h, d) == 0 && (d[bit[cap] / 32].effective & BIT(bit[cap] % 32));
}

static const struct task_ops remote_ops = {
	.copy_in = task_in,
	.copy_out = task_out,
	.file_get = task_file,
	.fd_install = task_install,
	.event_get = task_event,
	.host_fd = task_host,
	.capable = task_has_cap,
};

struct task *super_call_task(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);
	struct super_task *st = &c->task;

	if (c->task_made)
		return &st->t;
	if (!p || super_proc_mm(p, &st->smm))
		return NULL;
	/* What was opened by number may have been another's, if the caller died meanwhile. */
	if (!atomic_load(&st->smm->checked)) {
		if (!super_call_valid(c))
			return NULL;
		atomic_store(&st->smm->checked, true);
	}
	st->call = c;
	st->t.ops = &remote_ops;
	st->t.mm = &st->smm->mm;
	st->t.tid = (pid_t)c->n->pid;
	st->t.tgid = p->tgid;
	memcpy(st->t.comm, p->comm, sizeof(st->t.comm));
	c->task_made = true;
	return &st->t;
}

void super_call_task_end(struct super_call *c)
{
	super_mm_put(c->task.smm);
}

/* ---- this process ---- */

static int local_in(struct task *t, void *dst, uva_t src, size_t n)
{
	(void)t;
	memcpy(dst, (const void *)src, n);
	return 0;
}

static int local_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	(void)t;
	memcpy((void *)dst, src, n);
	return 0;
}

static int local_file(struct task *t, int fd, struct file **out)
{
	(void)t;
	(void)fd;
	(void)out;
	return -EBADF;
}

static int local_install(struct task *t, struct file *f, int oflags)
{
	(void)t;
	(void)f;
	(void)oflags;
	return -EMFILE;
}

static int local_event(struct task *t, int fd, struct event **out)
{
	(void)t;
	(void)fd;
	(void)out;
	return -EBADF;
}

static bool local_cap(struct task *t, enum task_cap cap)
{
	(void)t;
	(void)cap;
	return true;
}

static const struct task_ops local_ops = {
	.copy_in = local_in,
	.copy_out = local_out,
	.file_get = local_file,
	.fd_install = local_install,
	.event_get = local_event,
	.capable = local_cap,
};

void super_local_task(struct super_call *c, struct task *t)
{
	struct super_proc *p = super_call_proc(c);

	memset(t, 0, sizeof(*t));
	t->ops = &local_ops;
	t->tid = (pid_t)c->n->pid;
	t->tgid = p ? p->tgid : t->tid;
	if (p)
		memcpy(t->comm, p->comm, sizeof(t->comm));
}
