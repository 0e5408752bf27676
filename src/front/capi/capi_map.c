/* SPDX-License-Identifier: MIT */
/*
 * Mappings of the machine's files in this process. A mapping is a mapping of an empty file, in which every
 * page raises SIGBUS; its plain pages are then mapped from the memory behind them, and at all others the
 * SIGBUS of a load or store is turned into accesses to the device (front/mmio.h). Where the device does not
 * answer, the signal is what the program gets, as from a real BAR with memory decoding off.
 *
 * A signal handler belongs to the process, so the table of mappings does too: all machines share it. An
 * access takes a reference on its mapping's file and holds no lock here while it is at the device. A program
 * that installs handlers of its own has them called for what is not ours, if they were there before the
 * latest machine or trapped mapping was made; and mappings are to be removed by uvfio_munmap(), or this
 * table would not know.
 */
#include "front/capi/priv.h"
#include "front/mmio.h"
#include "mem/mem.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

struct capi_map {
	struct uvfio_machine *m;
	struct file *file;     /* holds a reference */
	uintptr_t start, last;
	uint64_t offset;       /* in the file, of @start */
	int prot;
	bool shared;
};

/* [lock] in address order, disjoint */
static struct {
	struct mutex lock; /* RANK_SUPER_FDS */
	struct capi_map *v;
	size_t n, room;
	int empty;         /* the empty file; made once */
} maps = { .empty = -1 };

__attribute__((constructor)) static void maps_init(void)
{
	mutex_init(&maps.lock, RANK_SUPER_FDS);
}

/* The first mapping that ends at or after @addr. */
static size_t maps_at_locked(uintptr_t addr)
{
	size_t lo = 0, hi = maps.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (maps.v[mid].last < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct capi_map *map_find_locked(uintptr_t addr)
{
	size_t i = maps_at_locked(addr);

	return i < maps.n && maps.v[i].start <= addr ? &maps.v[i] : NULL;
}

bool capi_map_find(uintptr_t addr, struct capi_area *out)
{
	struct capi_map *map;

	SCOPED_LOCK(&maps.lock);
	map = map_find_locked(addr);
	if (map)
		*out = (struct capi_area){ .start = map->start, .last = map->last, .file = map->file,
					   .offset = map->offset, .prot = map->prot, .shared = map->shared };
	return map;
}

bool capi_mapped(struct file *f, uint64_t offset, uint64_t length)
{
	SCOPED_LOCK(&maps.lock);
	for (size_t i = 0; i < maps.n; i++) {
		const struct capi_map *map = &maps.v[i];

		if (map->file == f && map->offset <= offset + (length - 1) && offset <= map->offset + (map->last - map->start))
			return true;
	}
	return false;
}

/* Room for @more mappings, so that what follows cannot fail. */
static int maps_room_locked(size_t more)
{
	size_t room = maps.room ? maps.room : 8;
	struct capi_map *v;

	while (room < maps.n + more)
		room *= 2;
	if (room == maps.room)
		return 0;
	v = reallocarray(maps.v, room, sizeof(*v));
	if (!v)
		return -ENOMEM;
	maps.v = v;
	maps.room = room;
	return 0;
}

static void maps_insert_locked(const struct capi_map *map)
{
	size_t i = maps_at_locked(map->start);

	memmove(&maps.v[i + 1], &maps.v[i], (maps.n - i) * sizeof(*maps.v));
	maps.v[i] = *map;
	maps.n++;
}

/* ---- trapped accesses ---- */

static int access_device(uint64_t addr, void *data, unsigned width, bool write)
{
	struct capi_map *map;
	struct capi_task ct;
	struct file *f = NULL;
	uint64_t offset = 0;
	int rc;

	mutex_lock(&maps.lock);
	map = map_find_locked(addr);
	if (map && (map->prot & (write ? PROT_WRITE : PROT_READ)) && map->last - addr >= width - 1) {
		f = file_get(map->file);
		offset = map->offset + (addr - map->start);
		capi_task_init(&ct, map->m);
	}
	mutex_unlock(&maps.lock);
	if (!f)
		return -ENXIO;
	rc = f->ops->mmio ? f->ops->mmio(f, &ct.task, offset, data, width, write) : -EFAULT;
	file_put(f);
	return rc ? -EFAULT : 0;
}

static int mmio_read(void *ctx, uint64_t addr, unsigned width, void *buf)
{
	return access_device(addr, buf, width, false);
}

static int mmio_write(void *ctx, uint64_t addr, unsigned width, const void *buf)
{
	char copy[MMIO_WIDTH_MAX];

	memcpy(copy, buf, width);
	return access_device(addr, copy, width, true);
}

static const struct mmio_ops capi_mmio_ops = { .read = mmio_read, .write = mmio_write };

/* Who had a signal when we took it. Never freed: a handler may be reading it. */
struct trap_old {
	struct sigaction sa;
	struct trap_old *older;
};

static const int trap_signals[2] = { SIGSEGV, SIGBUS };
static _Atomic(struct trap_old *) trap_old[2]; /* [maps.lock] to change */

/*
 * Not ours: what would have happened without us. The handler that had the signal before us may itself pass on to us,
 * if it was installed after us and we took the signal again: then it is the turn of the one before it. That call comes
 * from further down the stack than @frame was; if not, what is remembered is of a handler that has jumped away.
 */
static void trap_pass_on(int sig, siginfo_t *info, void *uc, char *frame)
{
	static _Thread_local struct {
		struct trap_old *to;
		void *uc;
		char *frame;
	} passing;
	struct trap_old *old = atomic_load(&trap_old[sig == SIGBUS]);
	bool sent = info->si_code <= 0; /* by kill() and the like */

	if (passing.to && passing.uc == uc && frame < passing.frame)
		old = passing.to->older;
	if (old && old->sa.sa_handler == SIG_IGN && sent)
		return;
	if (!old || old->sa.sa_handler == SIG_DFL || old->sa.sa_handler == SIG_IGN) {
		signal(sig, SIG_DFL); /* the instruction faults again, and ends the process */
		if (sent)
			raise(sig);
		return;
	}
	passing.to = old;
	passing.uc = uc;
	passing.frame = frame;
	if (old->sa.sa_flags & SA_SIGINFO)
		old->sa.sa_sigaction(sig, info, uc);
	else
		old->sa.sa_handler(sig);
	passing.to = NULL;
}

bool capi_trap(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;
	struct capi_area a;

	if (mmio_guard_fixup((uint64_t *)uc->uc_mcontext.gregs, sig, info->si_code))
		return true;
	if (info->si_code > 0 && mem_fault_fixup(uc))
		return true;
	return sig == SIGBUS && info->si_code == BUS_ADRERR && capi_map_find((uintptr_t)info->si_addr, &a) &&
	       mmio_emulate(uc, (uintptr_t)info->si_addr, &capi_mmio_ops, NULL) == 0;
}

static void trap_handler(int sig, siginfo_t *info, void *uc)
{
	int saved = errno;

	if (!capi_trap(sig, info, uc))
		trap_pass_on(sig, info, uc, __builtin_frame_address(0));
	errno = saved;
}

/* Take one signal, unless we have it. */
static int trap_take_locked(unsigned i)
{
	struct sigaction sa = { .sa_sigaction = trap_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	struct sigaction now;
	struct trap_old *old;

	sigemptyset(&sa.sa_mask);
	if (sigaction(trap_signals[i], NULL, &now))
		return -errno;
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == trap_handler)
		return 0;
	old = malloc(sizeof(*old));
	if (!old)
		return -ENOMEM;
	old->sa = now;
	old->older = atomic_load(&trap_old[i]);
	atomic_store(&trap_old[i], old); /* first: a fault may come before the next call returns */
	return sigaction(trap_signals[i], &sa, NULL) ? -errno : 0;
}

int capi_trap_install(void)
{
	int rc = mmio_init();

	SCOPED_LOCK(&maps.lock);
	if (maps.empty < 0)
		maps.empty = memfd_create("uvfio-trap", MFD_CLOEXEC);
	if (maps.empty < 0)
		return -errno;
	for (unsigned i = 0; i < ARRAY_SIZE(trap_signals) && rc == 0; i++)
		rc = trap_take_locked(i);
	return rc;
}

/* ---- mmap and munmap ---- */

/*
 * Take [@start, @last] out of the mappings of @m (NULL: of any machine); what remains of one at either side stays.
 * The files to be let go, when no lock is held, are in *@files.
 */
static int maps_cut_locked(struct uvfio_machine *m, uintptr_t start, uintptr_t last, struct file ***files, size_t *n)
{
	size_t i = maps_at_locked(start), end = i;

	while (end < maps.n && maps.v[end].start <= last)
		end++;
	*files = end > i ? calloc(end - i, sizeof(**files)) : NULL;
	if (end > i && (!*files || maps_room_locked(1)))
		return -ENOMEM;
	while (i < maps.n && maps.v[i].start <= last) {
		struct capi_map *map = &maps.v[i], tail = *map;

		if (m && map->m != m) {
			i++;
			continue;
		}
		if (map->last > last) {
			tail.offset += last + 1 - map->start;
			tail.start = last + 1;
		}
		if (map->start < start && map->last > last) { /* a hole */
			map->last = start - 1;
			file_get(tail.file);
			maps_insert_locked(&tail);
			return 0;
		}
		if (map->start < start) {
			map->last = start - 1;
			i++;
		} else if (map->last > last) {
			*map = tail;
			return 0;
		} else {
			(*files)[(*n)++] = map->file;
			memmove(map, map + 1, (--maps.n - i) * sizeof(*map));
		}
	}
	return 0;
}

static int maps_cut(struct uvfio_machine *m, uintptr_t start, uintptr_t last)
{
	struct file **files = NULL;
	size_t n = 0;
	int rc;

	mutex_lock(&maps.lock);
	rc = maps_cut_locked(m, start, last, &files, &n);
	mutex_unlock(&maps.lock);
	while (n > 0)
		file_put(files[--n]);
	free(files);
	return rc;
}

/* Map the plain pages of the mapping at @base. */
static int map_plain(struct file *f, char *base, const struct file_mmap *req, size_t length)
{
	struct file_page page;

	for (uint64_t at = 0; at < length; at += page.length) {
		page = (struct file_page){ .kind = FILE_PAGE_TRAP, .length = length };
		if (f->ops->page)
			f->ops->page(f, req->offset + at, &page);
		page.length = MIN(ALIGN_UP(MAX(page.length, 1), UVFIO_PAGE_SIZE), length - at);
		if (page.kind == FILE_PAGE_PLAIN &&
		    mmap(base + at, page.length, req->prot, (req->flags & MAP_TYPE) | MAP_FIXED, page.memfd,
			 (off_t)page.offset) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

int capi_map_add(struct uvfio_machine *m, struct file *f, void *addr, const struct file_mmap *req, void **out)
{
	int flags = MAP_SHARED | (req->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT));
	size_t length = ALIGN_UP(req->length, UVFIO_PAGE_SIZE);
	struct capi_map map = { .m = m, .offset = req->offset, .prot = req->prot };
	char *base;
	int rc = capi_trap_install();

	if (rc)
		return rc;
	if ((req->flags & MAP_FIXED) && IS_ALIGNED((uintptr_t)addr, UVFIO_PAGE_SIZE)) {
		rc = maps_cut(NULL, (uintptr_t)addr, (uintptr_t)addr + (length - 1));
		if (rc)
			return rc;
	}
	base = mmap(addr, length, req->prot & ~PROT_EXEC, flags, maps.empty, 0);
	if (base == MAP_FAILED)
		return -errno;
	map.start = (uintptr_t)base;
	map.last = map.start + (length - 1);
	map.shared = (req->flags & MAP_TYPE) != MAP_PRIVATE;
	map.file = f;
	mutex_lock(&maps.lock);
	rc = maps_room_locked(1);
	if (rc == 0) {
		file_get(f);
		maps_insert_locked(&map);
	}
	mutex_unlock(&maps.lock);
	if (rc) {
		munmap(base, length);
		return rc;
	}
	/* Not earlier: what is behind a page stays only while the page is known to be mapped. */
	rc = map_plain(f, base, req, length);
	if (rc)
		capi_map_cut(m, base, length);
	else
		*out = base;
	return rc;
}

int capi_map_cut(struct uvfio_machine *m, void *addr, size_t length)
{
	uintptr_t start = (uintptr_t)addr, last;
	int rc;

	if (!IS_ALIGNED(start, UVFIO_PAGE_SIZE) || length == 0)
		return -EINVAL;
	length = ALIGN_UP(length, UVFIO_PAGE_SIZE);
	if (length == 0 || __builtin_add_overflow(start, length - 1, &last))
		return -EINVAL;
	rc = maps_cut(m, start, last);
	if (rc)
		return rc;
	return munmap(addr, length) ? -errno : 0;
}

void capi_map_cut_all(struct uvfio_machine *m)
{
	for (;;) {
		struct capi_map map = { 0 };

		mutex_lock(&maps.lock);
		for (size_t i = 0; i < maps.n && !map.m; i++) {
			if (maps.v[i].m != m)
				continue;
			map = maps.v[i];
			memmove(&maps.v[i], &maps.v[i + 1], (--maps.n - i) * sizeof(map));
		}
		if (maps.n == 0) {
			free(maps.v);
			maps.v = NULL;
			maps.room = 0;
		}
		mutex_unlock(&maps.lock);
		if (!map.m)
			return;
		munmap((void *)map.start, map.last - map.start + 1);
		file_put(map.file);
	}
}
