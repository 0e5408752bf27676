/* SPDX-License-Identifier: MIT */
/*
 * The embedded door: each function of uvfio.h makes the call on the machine's file as a task that is this
 * process, and turns a negative errno into errno and -1. File numbers are an array of the machine.
 */
#include "front/capi/priv.h"
#include "mem/mem.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The system's way to say no. */
static long result(long rc)
{
	if (rc >= 0)
		return rc;
	errno = (int)-rc;
	return -1;
}

/* ---- file numbers ---- */

struct file *capi_file_get(struct uvfio_machine *m, int fd)
{
	SCOPED_LOCK(&m->lock);

	if (fd < 0 || (unsigned)fd >= m->nfiles || !m->files[fd])
		return NULL;
	return file_get(m->files[fd]);
}

static int files_room_locked(struct uvfio_machine *m, unsigned fd)
{
	unsigned room = m->nfiles ? m->nfiles : 32;
	struct file **files;

	while (room <= fd)
		room *= 2;
	if (room == m->nfiles)
		return 0;
	files = reallocarray(m->files, room, sizeof(*files));
	if (!files)
		return -ENOMEM;
	memset(files + m->nfiles, 0, (room - m->nfiles) * sizeof(*files));
	m->files = files;
	m->nfiles = room;
	return 0;
}

int capi_file_install(struct uvfio_machine *m, struct file *f)
{
	struct rlimit r;
	unsigned fd;
	int rc;

	SCOPED_LOCK(&m->lock);
	rc = ids_alloc(&m->ids, &fd);
	if (rc)
		return rc;
	if (fd > 1u << 20 || (getrlimit(RLIMIT_NOFILE, &r) == 0 && fd >= r.rlim_cur))
		rc = -EMFILE;
	else
		rc = files_room_locked(m, fd);
	if (rc) {
		ids_free(&m->ids, fd);
		return rc;
	}
	if (!f->mapped)
		f->mapped = capi_mapped;
	m->files[fd] = file_get(f);
	return (int)fd;
}

static struct file *file_take(struct uvfio_machine *m, unsigned fd)
{
	struct file *f;

	SCOPED_LOCK(&m->lock);
	if (fd >= m->nfiles || !m->files[fd])
		return NULL;
	f = m->files[fd];
	m->files[fd] = NULL;
	ids_free(&m->ids, fd);
	return f;
}

/* ---- the machine ---- */

/* While the machine is being made, what it logs as an error is the reason of a failure. */
static void boot_log(void *ctx, enum log_level level, const char *line)
{
	struct uvfio_machine *m = ctx;

	if (m->boot && level == LOG_ERR)
		fprintf(m->boot, "%s\n", line);
}

static void machine_free(struct uvfio_machine *m)
{
	free(m->files);
	ids_fini(&m->ids);
	mutex_fini(&m->lock);
	if (m->mm)
		mm_put(&m->mm->mm);
	free(m);
}

static int machine_boot(const struct machine_desc *d, FILE *err, struct uvfio_machine **out)
{
	struct uvfio_machine *m = calloc(1, sizeof(*m));
	struct machine_options o = { .log_sink = boot_log, .log_ctx = m };
	struct log *log;
	int rc;

	if (!m)
		return -ENOMEM;
	mutex_init(&m->lock, RANK_SUPER_FDS);
	m->boot = err;
	m->tgid = getpid();
	capi_own_caps(m);
	rc = capi_mm_create(&m->mm);
	if (rc == 0)
		rc = machine_create(d, &o, &m->machine);
	if (rc == 0)
		rc = capi_trap_install();
	if (rc) {
		machine_destroy(m->machine);
		machine_free(m);
		return rc;
	}
	m->tree = machine_tree(m->machine);
	log = machine_log(m->machine);
	mutex_lock(&log->lock);
	m->boot = NULL;
	mutex_unlock(&log->lock);
	*out = m;
	return 0;
}

static struct uvfio_machine *create(const char *file, const char *text, char *err, size_t err_size)
{
	struct uvfio_machine *m = NULL;
	struct machine_desc *d = NULL;
	char *reason = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&reason, &n);
	int rc = -ENOMEM;

	if (out) {
		rc = text ? machine_desc_parse("<text>", text, strlen(text), out, &d) : machine_desc_load(file, out, &d);
		if (rc == 0)
			rc = machine_boot(d, out, &m);
		machine_desc_free(d);
		fclose(out);
	}
	if (err && err_size)
		snprintf(err, err_size, "%s", m ? "" : reason && n ? reason : strerror(-rc));
	free(reason);
	if (rc)
		errno = -rc;
	return m;
}

EXPORT struct uvfio_machine *uvfio_create(const char *file, char *err, size_t err_size)
{
	return create(file, NULL, err, err_size);
}

EXPORT struct uvfio_machine *uvfio_create_text(const char *yaml, char *err, size_t err_size)
{
	return create(NULL, yaml, err, err_size);
}

EXPORT void uvfio_destroy(struct uvfio_machine *m)
{
	if (!m)
		return;
	capi_map_cut_all(m);
	for (unsigned fd = 0; fd < m->nfiles; fd++)
		file_put(file_take(m, fd));
	machine_destroy(m->machine);
	machine_free(m);
}

EXPORT void uvfio_set_caps(struct uvfio_machine *m, int sys_rawio, int ipc_lock, int sys_admin)
{
	atomic_store(&m->caps[TASK_CAP_SYS_RAWIO], sys_rawio);
	atomic_store(&m->caps[TASK_CAP_IPC_LOCK], ipc_lock);
	atomic_store(&m->caps[TASK_CAP_SYS_ADMIN], sys_admin);
	atomic_store(&m->caps[TASK_CAP_SYS_RESOURCE], sys_admin);
}

EXPORT int uvfio_true_pins(struct uvfio_machine *m)
{
	int rc = mem_pin_truly(machine_mem(m->machine));

	if (rc == 0)
		atomic_store(&m->mm->true_pins, true);
	return (int)result(rc);
}

/* ---- calls on files ---- */

EXPORT int uvfio_open(struct uvfio_machine *m, const char *path, int oflags)
{
	struct capi_task ct;
	struct file *f;
	int rc;

	capi_task_init(&ct, m);
	rc = tree_open(m->tree, &ct.task, path, oflags, &f);
	if (rc == 0) {
		rc = capi_file_install(m, f);
		file_put(f);
	}
	return (int)result(rc);
}

EXPORT int uvfio_close(struct uvfio_machine *m, int fd)
{
	struct file *f = fd < 0 ? NULL : file_take(m, (unsigned)fd);

	if (!f)
		return (int)result(-EBADF);
	file_put(f);
	return 0;
}

EXPORT int uvfio_dup(struct uvfio_machine *m, int fd)
{
	struct file *f = capi_file_get(m, fd);
	int rc;

	if (!f)
		return (int)result(-EBADF);
	rc = capi_file_install(m, f);
	file_put(f);
	return (int)result(rc);
}

EXPORT int uvfio_ioctl(struct uvfio_machine *m, int fd, unsigned long cmd, void *arg)
{
	struct file *f = capi_file_get(m, fd);
	struct capi_task ct;
	long rc;

	if (!f)
		return (int)result(-EBADF);
	capi_task_init(&ct, m);
	rc = file_ioctl(f, &ct.task, (unsigned)cmd, (uintptr_t)arg);
	file_put(f);
	return (int)result(rc);
}

/* @n is cut as by read(2) and write(2). */
#define RW_MAX (INT32_MAX & ~(UVFIO_PAGE_SIZE - 1))

EXPORT ssize_t uvfio_read(struct uvfio_machine *m, int fd, void *buf, size_t n)
{
	struct file *f = capi_file_get(m, fd);
	struct capi_task ct;
	ssize_t rc;

	if (!f)
		return result(-EBADF);
	capi_task_init(&ct, m);
	rc = file_read(f, &ct.task, (uintptr_t)buf, MIN(n, RW_MAX));
	file_put(f);
	return result(rc);
}

EXPORT ssize_t uvfio_write(struct uvfio_machine *m, int fd, const void *buf, size_t n)
{
	struct file *f = capi_file_get(m, fd);
	struct capi_task ct;
	ssize_t rc;

	if (!f)
		return result(-EBADF);
	capi_task_init(&ct, m);
	rc = file_write(f, &ct.task, (uintptr_t)buf, MIN(n, RW_MAX));
	file_put(f);
	return result(rc);
}

EXPORT ssize_t uvfio_pread(struct uvfio_machine *m, int fd, void *buf, size_t n, off_t pos)
{
	struct file *f = capi_file_get(m, fd);
	struct capi_task ct;
	ssize_t rc;

	if (!f)
		return result(-EBADF);
	capi_task_init(&ct, m);
	rc = file_pread(f, &ct.task, (uintptr_t)buf, MIN(n, RW_MAX), (uint64_t)pos);
	file_put(f);
	return result(rc);
}

EXPORT ssize_t uvfio_pwrite(struct uvfio_machine *m, int fd, const void *buf, size_t n, off_t pos)
{
	struct file *f = capi_file_get(m, fd);
	struct capi_task ct;
	ssize_t rc;

	if (!f)
		return result(-EBADF);
	capi_task_init(&ct, m);
	rc = file_pwrite(f, &ct.task, (uintptr_t)buf, MIN(n, RW_MAX), (uint64_t)pos);
	file_put(f);
	return result(rc);
}

EXPORT int uvfio_poll(struct uvfio_machine *m, int fd, int events, int timeout)
{
	struct file *f = capi_file_get(m, fd);
	int rc;

	if (!f)
		return (int)result(-EBADF);
	rc = file_poll(f, events, timeout);
	file_put(f);
	return rc;
}

EXPORT off_t uvfio_lseek(struct uvfio_machine *m, int fd, off_t offset, int whence)
{
	struct file *f = capi_file_get(m, fd);
	off_t rc;

	if (!f)
		return result(-EBADF);
	rc = file_lseek(f, offset, whence);
	file_put(f);
	return result(rc);
}

static int mmap_check(const struct file_mmap *req)
{
	int type = req->flags & MAP_TYPE;

	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if ((req->flags & MAP_ANONYMOUS) || req->length == 0 || !IS_ALIGNED(req->offset, UVFIO_PAGE_SIZE))
		return -EINVAL;
	if (ALIGN_UP(req->length, UVFIO_PAGE_SIZE) == 0)
		return -ENOMEM;
	if (req->offset + ALIGN_UP(req->length, UVFIO_PAGE_SIZE) < req->offset)
		return -EOVERFLOW;
	return 0;
}

EXPORT void *uvfio_mmap(struct uvfio_machine *m, void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct file_mmap req = { .offset = (uint64_t)offset, .length = length, .prot = prot, .flags = flags };
	struct file *f = capi_file_get(m, fd);
	struct capi_task ct;
	void *out = MAP_FAILED;
	int rc = f ? mmap_check(&req) : -EBADF;

	if (rc == 0) {
		capi_task_init(&ct, m);
		rc = file_mmap(f, &ct.task, &req);
	}
	if (rc == 0)
		rc = capi_map_add(m, f, addr, &req, &out);
	file_put(f);
	result(rc);
	return out;
}

EXPORT int uvfio_munmap(struct uvfio_machine *m, void *addr, size_t length)
{
	return (int)result(capi_map_cut(m, addr, length));
}

EXPORT int uvfio_fault(int sig, siginfo_t *info, void *ucontext)
{
	int saved = errno, ours = capi_trap(sig, info, ucontext);

	errno = saved;
	return ours;
}

/* ---- names ---- */

static int stat_path(struct uvfio_machine *m, const char *path, bool follow, struct stat *st)
{
	struct node_stat ns;
	int rc = tree_stat(m->tree, path, follow, &ns, NULL);

	if (rc)
		return (int)result(rc);
	*st = (struct stat){ .st_ino = ns.ino, .st_mode = ns.mode, .st_rdev = ns.rdev, .st_size = (off_t)ns.size,
			     .st_nlink = 1, .st_blksize = UVFIO_PAGE_SIZE };
	return 0;
}

EXPORT int uvfio_stat(struct uvfio_machine *m, const char *path, struct stat *st)
{
	return stat_path(m, path, true, st);
}

EXPORT int uvfio_lstat(struct uvfio_machine *m, const char *path, struct stat *st)
{
	return stat_path(m, path, false, st);
}

EXPORT ssize_t uvfio_readlink(struct uvfio_machine *m, const char *path, char *buf, size_t size)
{
	struct node_stat ns;
	int rc = tree_stat(m->tree, path, false, &ns, NULL);

	if (rc == 0 && (ns.type != NODE_LINK || size == 0))
		rc = -EINVAL;
	if (rc)
		return result(rc);
	size = MIN(size, ns.size);
	memcpy(buf, ns.target, size);
	return (ssize_t)size;
}

static int list_name(void *ctx, const char *name, const struct node_stat *st)
{
	fprintf(ctx, "%s\n", name);
	return 0;
}

EXPORT char *uvfio_list_dir(struct uvfio_machine *m, const char *path)
{
	char *names = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&names, &n);
	int rc;

	if (!out)
		return NULL;
	rc = tree_list(m->tree, path, list_name, out);
	if (fclose(out) && rc == 0)
		rc = -ENOMEM;
	if (rc == 0)
		return names;
	free(names);
	result(rc);
	return NULL;
}

/* ---- what people want to know ---- */

EXPORT int uvfio_print(struct uvfio_machine *m, int json, FILE *out)
{
	return (int)result(machine_list(m->machine, json != 0, out));
}

EXPORT void uvfio_report(struct uvfio_machine *m, FILE *out)
{
	machine_report(m->machine, out);
}

EXPORT uint64_t uvfio_dma_faults(struct uvfio_machine *m)
{
	return machine_dma_faults(m->machine);
}
