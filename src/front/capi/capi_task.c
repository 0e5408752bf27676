/* SPDX-License-Identifier: MIT */
/*
 * The caller is this process: its memory is ours, its eventfds are file numbers of ours. Its pointers may be
 * bad all the same, so every access is a guarded copy (mem_copy_guarded), which costs nothing when it does
 * not fault. Memory for DMA: capi_share.c.
 */
#include "front/capi/priv.h"
#include "mem/mem.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- the task ---- */

static void *host_pointer(uva_t uva)
{
	return (void *)(uintptr_t)uva;
}

static int capi_copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	return mem_copy_guarded(dst, host_pointer(src), n);
}

static int capi_copy_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	return mem_copy_guarded(host_pointer(dst), src, n);
}

static struct uvfio_machine *machine_of(struct task *t)
{
	return container_of(t, struct capi_task, task)->m;
}

static int capi_task_file_get(struct task *t, int fd, struct file **out)
{
	struct file *f = capi_file_get(machine_of(t), fd);

	if (!f)
		return fcntl(fd, F_GETFD) < 0 ? -EBADF : -EBADFD;
	*out = f;
	return 0;
}

static int capi_fd_install(struct task *t, struct file *f, int oflags)
{
	return capi_file_install(machine_of(t), f);
}

static int capi_event_get(struct task *t, int fd, struct event **out)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(want)];
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	ssize_t n;

	if (copy < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	n = readlink(path, link, sizeof(link));
	if (n != sizeof(want) - 1 || memcmp(link, want, sizeof(want) - 1) != 0) {
		close(copy);
		return -EINVAL;
	}
	return event_create(copy, out);
}

static int capi_host_fd(struct task *t, int fd)
{
	struct file *f = capi_file_get(machine_of(t), fd);
	int copy;

	if (f) {
		file_put(f);
		return -EBADFD;
	}
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

static bool capi_capable(struct task *t, enum task_cap cap)
{
	return atomic_load(&machine_of(t)->caps[cap]);
}

static const struct task_ops capi_task_ops = {
	.copy_in = capi_copy_in,
	.copy_out = capi_copy_out,
	.file_get = capi_task_file_get,
	.fd_install = capi_fd_install,
	.event_get = capi_event_get,
	.host_fd = capi_host_fd,
	.capable = capi_capable,
};

void capi_task_init(struct capi_task *ct, struct uvfio_machine *m)
{
	static _Thread_local struct {
		pid_t tid;
		char comm[16];
	} me; /* asked for once a thread: a system call costs more than most of ours */
	char name[16];

	if (!me.tid) {
		me.tid = gettid();
		prctl(PR_GET_NAME, name);
		task_comm(me.comm, name);
	}
	ct->task = (struct task){ .ops = &capi_task_ops, .mm = &m->mm->mm, .tid = me.tid, .tgid = m->tgid };
	memcpy(ct->task.comm, me.comm, sizeof(me.comm));
	ct->m = m;
}

void capi_own_caps(struct uvfio_machine *m)
{
	static const int bit[] = {
		[TASK_CAP_SYS_RAWIO] = CAP_SYS_RAWIO,
		[TASK_CAP_IPC_LOCK] = CAP_IPC_LOCK,
		[TASK_CAP_SYS_ADMIN] = CAP_SYS_ADMIN,
		[TASK_CAP_SYS_RESOURCE] = CAP_SYS_RESOURCE,
	};
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	syscall(SYS_capget, &head, data); /* on failure: none */
	for (unsigned i = 0; i < ARRAY_SIZE(bit); i++)
		atomic_store(&m->caps[i], data[bit[i] / 32].effective >> bit[i] % 32 & 1);
}

/* ---- the address space ---- */

/* ioctl of /proc/PID/maps, Linux 6.11: the mapping that holds an address */
struct procmap_query {
	uint64_t size, query_flags, query_addr;
	uint64_t start, end, flags, page_size, offset, inode;
	uint32_t dev_major, dev_minor;
	uint32_t name_size, build_id_size;
	uint64_t name_addr, build_id_addr;
};
#define PROCMAP_QUERY    _IOWR('f', 17, struct procmap_query)
#define PROCMAP_READABLE 1u
#define PROCMAP_WRITABLE 2u
#define PROCMAP_SHARED   8u

static int area_query(int maps, uva_t at, struct mm_area *out)
{
	struct procmap_query q = { .size = sizeof(q), .query_addr = at };

	if (ioctl(maps, PROCMAP_QUERY, &q))
		return errno == ENOENT ? -EFAULT : -EOPNOTSUPP;
	*out = (struct mm_area){
		.start = q.start,
		.last = q.end - 1,
		.readable = q.flags & PROCMAP_READABLE,
		.writable = q.flags & PROCMAP_WRITABLE,
		.shared = q.flags & PROCMAP_SHARED,
		.huge = q.page_size > UVFIO_PAGE_SIZE,
		.dev = makedev(q.dev_major, q.dev_minor),
		.ino = q.inode,
		.host_offset = q.offset,
	};
	return 0;
}

/* Older kernels: some 10 us. */
static int area_parse(uva_t at, struct mm_area *out)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512], perms[5];
	int rc = -EFAULT;

	if (!f)
		return -ENOMEM;
	while (rc && fgets(line, sizeof(line), f)) {
		unsigned long start, end, offset, ino;
		unsigned major, minor;

		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, perms, &offset, &major, &minor, &ino) != 7)
			continue; /* the rest of a long name */
		if (at < start || at >= end)
			continue;
		*out = (struct mm_area){ .start = start, .last = end - 1, .readable = perms[0] == 'r',
					 .writable = perms[1] == 'w', .shared = perms[3] == 's',
					 .dev = makedev(major, minor), .ino = ino, .host_offset = offset };
		rc = 0;
	}
	fclose(f);
	return rc;
}

static int capi_area(struct mm *mm, uva_t at, struct mm_area *out)
{
	struct capi_mm *cm = container_of(mm, struct capi_mm, mm);
	struct capi_area a;
	int rc;

	if (capi_map_find(at, &a)) {
		*out = (struct mm_area){ .start = a.start, .last = a.last, .readable = a.prot & PROT_READ,
					 .writable = a.prot & PROT_WRITE, .shared = a.shared, .file = a.file,
					 .file_offset = a.offset };
		return 0;
	}
	rc = cm->maps >= 0 ? area_query(cm->maps, at, out) : -EOPNOTSUPP;
	return rc == -EOPNOTSUPP ? area_parse(at, out) : rc;
}

static int capi_mm_read(struct mm *mm, void *dst, uva_t src, size_t n)
{
	return mem_copy_guarded(dst, host_pointer(src), n);
}

static int capi_mm_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	return mem_copy_guarded(host_pointer(dst), src, n);
}

static uint64_t capi_memlock_limit(struct mm *mm)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_MEMLOCK, &r) || r.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return r.rlim_cur;
}

static void capi_mm_free(struct mm *mm)
{
	struct capi_mm *cm = container_of(mm, struct capi_mm, mm);

	if (cm->maps >= 0)
		close(cm->maps);
	mutex_fini(&cm->lock);
	free(cm);
}

static int capi_pin(struct mm *mm, int ring, unsigned slot, uva_t uva, uint64_t length)
{
	return mem_pin_slot(ring, slot, uva, length);
}

static const struct mm_ops capi_mm_ops = {
	.area = capi_area,
	.share = capi_share,
	.unshare = capi_unshare,
	.read = capi_mm_read,
	.write = capi_mm_write,
	.pin = capi_pin,
	.memlock_limit = capi_memlock_limit,
	.free = capi_mm_free,
};

int capi_mm_create(struct capi_mm **out)
{
	struct capi_mm *cm = calloc(1, sizeof(*cm));
	char name[16];

	if (!cm)
		return -ENOMEM;
	cm->mm.ops = &capi_mm_ops;
	ref_init(&cm->mm.ref);
	mutex_init(&cm->lock, RANK_SUPER_FDS);
	cm->mm.tgid = getpid();
	cm->mm.uid = getuid();
	prctl(PR_GET_NAME, name);
	task_comm(cm->mm.comm, name);
	cm->maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	*out = cm;
	return 0;
}
