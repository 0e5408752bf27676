/* SPDX-License-Identifier: MIT */
/*
 * The memory of a program. Reading and writing go through /proc/PID/mem, which stays with the address space it
 * was opened for: after an exec or the end of the program it fails instead of reaching somebody else's memory.
 * It ignores page protection, as DMA into pinned pages does; whether a range may be written at all is asked of
 * area() when it is pinned. Large transfers use process_vm_*, which is faster but goes by pid, so only while
 * the process is known to be the same.
 *
 * Where /proc/PID/mem cannot be opened, process_vm_* serves alone.
 */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define LARGE (64 * 1024)

/* Linux 6.11, linux/fs.h */
struct procmap_query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)
#define QUERY_NEXT    0x10u /* the first that ends behind query_addr; else the one it is in */
#define QUERY_FILES   0x20u /* of those of files */

static struct super_mm *to_super(struct mm *mm)
{
	return container_of(mm, struct super_mm, mm);
}

/* ---- what is mapped ---- */

static int vma_query(int maps, uint64_t addr, uint64_t flags, struct super_vma *out)
{
	struct procmap_query q = { .size = sizeof(q), .query_addr = addr, .query_flags = flags };

	if (ioctl(maps, PROCMAP_QUERY, &q) < 0)
		return errno == ENOENT || errno == ESRCH ? -EFAULT : -errno;
	out->start = q.vma_start;
	out->end = q.vma_end;
	out->offset = q.vma_offset;
	out->ino = q.inode;
	out->dev = makedev(q.dev_major, q.dev_minor);
	out->prot = (q.vma_flags & 1 ? PROT_READ : 0) | (q.vma_flags & 2 ? PROT_WRITE : 0) |
		    (q.vma_flags & 4 ? PROT_EXEC : 0);
	out->shared = q.vma_flags & 8;
	out->huge = q.vma_page_size > UVFIO_PAGE_SIZE;
	return 0;
}

static bool vma_parse(const char *line, struct super_vma *out)
{
	unsigned long long start, end, offset, ino;
	unsigned major, minor;
	char perm[8];

	if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu", &start, &end, perm, &offset, &major, &minor, &ino) != 7)
		return false;
	*out = (struct super_vma){ .start = start, .end = end, .offset = offset, .ino = ino,
				   .dev = makedev(major, minor), .shared = perm[3] == 's' };
	out->prot = (perm[0] == 'r' ? PROT_READ : 0) | (perm[1] == 'w' ? PROT_WRITE : 0) |
		    (perm[2] == 'x' ? PROT_EXEC : 0);
	return true;
}

/* Before 6.11: the text, from the start. */
static int text_each(int maps, int (*fn)(void *ctx, const struct super_vma *v), void *ctx)
{
	struct super_vma v;
	char path[64];
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	int rc = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", maps);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (rc == 0 && getline(&line, &room, f) > 0) {
		if (vma_parse(line, &v))
			rc = fn(ctx, &v);
	}
	fclose(f);
	return rc;
}

struct wanted {
	uint64_t addr;
	struct super_vma *out;
};

static int vma_match(void *ctx, const struct super_vma *v)
{
	struct wanted *w = ctx;

	if (w->addr >= v->end)
		return 0;
	if (w->addr < v->start)
		return -EFAULT;
	*w->out = *v;
	return 1;
}

static int vma_by_text(int maps, uint64_t addr, struct super_vma *out)
{
	struct wanted w = { addr, out };
	int rc = text_each(maps, vma_match, &w);

	return rc > 0 ? 0 : rc < 0 ? rc : -EFAULT;
}

int super_mm_vma(struct super_mm *m, uint64_t addr, struct super_vma *out)
{
	int rc = -ENOTTY;

	if (m->maps < 0)
		return -EFAULT;
	if (!(m->s->o->without & SUPER_WITHOUT_PROCMAP))
		rc = vma_query(m->maps, addr, 0, out);
	return rc == -ENOTTY ? vma_by_text(m->maps, addr, out) : rc;
}

static int query_each(int maps, int (*fn)(void *ctx, const struct super_vma *v), void *ctx)
{
	struct super_vma v = { 0 };
	int rc;

	do
		rc = vma_query(maps, v.end, QUERY_NEXT | QUERY_FILES, &v);
	while (rc == 0 && (rc = fn(ctx, &v)) == 0);
	return rc == -EFAULT ? 0 : rc; /* no more */
}

int super_maps_each(struct super *s, int maps, int (*fn)(void *ctx, const struct super_vma *v), void *ctx)
{
	int rc = s->o->without & SUPER_WITHOUT_PROCMAP ? -ENOTTY : query_each(maps, fn, ctx);

	return rc == -ENOTTY ? text_each(maps, fn, ctx) : rc;
}

struct super_file *super_vma_file(struct super *s, const struct super_vma *v, uint64_t *offset)
{
	struct super_file *sf = v->ino ? super_file_by_ino(s, v->dev, v->ino) : NULL;

	*offset = v->offset;
	return sf || !v->ino ? sf : super_file_of_lease(s, v->dev, v->ino, offset);
}

static int mm_area(struct mm *mm, uva_t at, struct mm_area *out)
{
	struct super_mm *m = to_super(mm);
	struct super_file *sf;
	struct super_vma v;
	uint64_t offset;
	int rc = super_mm_vma(m, at, &v);

	if (rc)
		return -EFAULT;
	memset(out, 0, sizeof(*out));
	out->start = v.start;
	out->last = v.end - 1;
	out->readable = v.prot & PROT_READ;
	out->writable = v.prot & PROT_WRITE;
	out->shared = v.shared;
	out->huge = v.huge;
	out->dev = v.dev;
	out->ino = v.ino;
	out->host_offset = v.offset;
	sf = super_vma_file(m->s, &v, &offset);
	if (sf && super_call_hold(sf)) {
		out->file = sf->file;
		out->file_offset = offset;
	}
	return 0;
}

/* ---- sharing ---- */

static int mm_share(struct mm *mm, const struct mm_area *a, uva_t uva, uint64_t length, void **host)
{
	struct super_mm *m = to_super(mm);
	void *p;
	int fd;

	if (!a->shared || !a->ino || a->file || atomic_load(&m->stale))
		return -EOPNOTSUPP;
	fd = super_share_open(m, a);
	if (fd < 0)
		return -EOPNOTSUPP;
	p = mmap(NULL, length, PROT_READ | (a->writable ? PROT_WRITE : 0), MAP_SHARED, fd,
		 (off_t)(a->host_offset + (uva - a->start)));
	close(fd);
	if (p == MAP_FAILED)
		return -EOPNOTSUPP;
	*host = p;
	return 0;
}

static void mm_unshare(struct mm *mm, void *host, uint64_t length)
{
	(void)mm;
	munmap(host, length);
}

/* ---- copying ---- */

static bool alive(struct super_mm *m)
{
	return !atomic_load(&m->stale) && m->pidfd >= 0 && syscall(SYS_pidfd_send_signal, m->pidfd, 0, NULL, 0) == 0;
}

bool super_mm_gone(struct super_mm *m)
{
	char c;

	if (m->maps >= 0 && pread(m->maps, &c, 1, 0) == 0)
		atomic_store(&m->stale, true);
	return atomic_load(&m->stale);
}

static int by_pid(struct super_mm *m, void *local, uva_t remote, size_t n, bool write)
{
	struct iovec l = { local, n }, r = { (void *)remote, n };
	ssize_t k;

	if (!alive(m))
		return -EFAULT;
	k = write ? process_vm_writev(m->mm.tgid, &l, 1, &r, 1, 0) : process_vm_readv(m->mm.tgid, &l, 1, &r, 1, 0);
	return k == (ssize_t)n ? 0 : -EFAULT;
}

static int by_mem(struct super_mm *m, void *local, uva_t remote, size_t n, bool write)
{
	char *p = local;

	if (remote > INT64_MAX)
		return -EFAULT;
	while (n > 0) {
		ssize_t k = write ? pwrite(m->mem, p, n, (off_t)remote) : pread(m->mem, p, n, (off_t)remote);

		if (k <= 0)
			return -EFAULT;
		p += k;
		remote += (size_t)k;
		n -= (size_t)k;
	}
	return 0;
}

static int mm_copy(struct super_mm *m, void *local, uva_t remote, size_t n, bool write)
{
	if (m->mem < 0)
		return by_pid(m, local, remote, n, write);
	if (n >= LARGE && by_pid(m, local, remote, n, write) == 0)
		return 0;
	return by_mem(m, local, remote, n, write);
}

static int mm_read(struct mm *mm, void *dst, uva_t src, size_t n)
{
	return mm_copy(to_super(mm), dst, src, n, false);
}

static int mm_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	return mm_copy(to_super(mm), (void *)src, dst, n, true);
}

int super_mm_read(struct super_mm *m, void *dst, uva_t src, size_t n)
{
	return mm_copy(m, dst, src, n, false);
}

static uint64_t mm_memlock_limit(struct mm *mm)
{
	struct rlimit rl;

	if (prlimit(mm->tgid, RLIMIT_MEMLOCK, NULL, &rl) < 0)
		return 0;
	return rl.rlim_cur == RLIM_INFINITY ? UINT64_MAX : rl.rlim_cur;
}

static bool mm_is_alive(struct mm *mm)
{
	return alive(to_super(mm));
}

static void mm_free(struct mm *mm)
{
	struct super_mm *m = to_super(mm);

	if (m->mem >= 0)
		close(m->mem);
	if (m->maps >= 0)
		close(m->maps);
	if (m->pidfd >= 0)
		close(m->pidfd);
	free(m);
}

static const struct mm_ops ops = {
	.area = mm_area,
	.share = mm_share,
	.unshare = mm_unshare,
	.read = mm_read,
	.write = mm_write,
	.pin = super_pin,
	.memlock_limit = mm_memlock_limit,
	.free = mm_free,
	.alive = mm_is_alive,
};

int super_mm_create(struct super *s, pid_t tgid, const char *comm, struct super_mm **out)
{
	struct super_mm *m = calloc(1, sizeof(*m));
	struct stat st;
	char path[64];

	if (!m)
		return -ENOMEM;
	m->mm.ops = &ops;
	ref_init(&m->mm.ref);
	m->mm.tgid = tgid;
	memcpy(m->mm.comm, comm, sizeof(m->mm.comm));
	m->s = s;
	m->pidfd = (int)syscall(SYS_pidfd_open, tgid, 0);
	snprintf(path, sizeof(path), "/proc/%d/mem", tgid);
	m->mem = s->o->without & SUPER_WITHOUT_MEM ? -1 : open(path, O_RDWR | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", tgid);
	m->maps = open(path, O_RDONLY | O_CLOEXEC);
	if (m->maps >= 0 && fstat(m->maps, &st) == 0)
		m->mm.uid = st.st_uid;
	if (m->pidfd < 0) {
		mm_free(&m->mm);
		return -ESRCH;
	}
	*out = m;
	return 0;
}
