/* SPDX-License-Identifier: MIT */
/*
 * What the stub in a program asks (front/stub/stub.h): carry out an access, tell what a page is, decode an
 * instruction, which handler the program wants. Addresses are looked up in the program's mappings each time, so
 * nothing that the program maps, unmaps or moves can make them stale.
 */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A mapped device page. */
struct place {
	struct super_file *sf; /* referenced */
	uint64_t offset;       /* of the address, in the file */
	struct super_vma vma;
	bool lease;            /* the mapping is of plain memory handed out before */
};

static int place_find(struct super_call *c, uint64_t addr, struct place *out)
{
	struct super_proc *p = super_call_proc(c);
	struct super_mm *m;
	int rc;

	if (!p || super_proc_mm(p, &m))
		return -ENXIO;
	rc = super_mm_vma(m, addr, &out->vma);
	super_mm_put(m);
	if (rc)
		return -ENXIO;
	out->sf = super_vma_file(c->s, &out->vma, &out->offset);
	if (!out->sf)
		return -ENXIO;
	out->offset += addr - out->vma.start;
	out->lease = out->vma.ino != out->sf->ino || out->vma.dev != out->sf->dev;
	return 0;
}

static struct file_page page_of(const struct place *pl)
{
	struct file_page pg = { .kind = FILE_PAGE_TRAP };
	struct file *f = pl->sf->file;

	if (f->ops->page)
		f->ops->page(f, ALIGN_DOWN(pl->offset, UVFIO_PAGE_SIZE), &pg);
	return pg;
}

/* One access. Memory handed out before traps only while it is blocked or being unblocked: mmio() knows. */
static int access_at(struct super_call *c, uint64_t addr, void *data, unsigned width, bool write)
{
	struct task *t;
	struct place pl;
	int rc;

	if (width == 0 || width > MMIO_WIDTH_MAX || (addr & (UVFIO_PAGE_SIZE - 1)) + width > UVFIO_PAGE_SIZE)
		return -EINVAL;
	rc = place_find(c, addr, &pl);
	if (rc)
		return rc;
	if (!(pl.vma.prot & (write ? PROT_WRITE : PROT_READ | PROT_WRITE)))
		rc = -ENXIO;
	else if (!pl.lease && page_of(&pl).kind != FILE_PAGE_TRAP)
		rc = page_of(&pl).kind == FILE_PAGE_PLAIN ? -EAGAIN : -EFAULT;
	else if (!pl.sf->file->ops->mmio)
		rc = -EFAULT; /* plain pages are all it has */
	else if (!(t = super_call_task(c)))
		rc = -ENXIO;
	else
		rc = pl.sf->file->ops->mmio(pl.sf->file, t, pl.offset, data, width, write);
	/* A load that came here though it need not. */
	if (rc == 0 && !write && !pl.lease && width <= 8)
		super_file_mirror(pl.sf, ALIGN_DOWN(pl.offset, UVFIO_PAGE_SIZE));
	super_file_put(pl.sf);
	return rc == 0 || rc == -EAGAIN || rc == -ENXIO ? rc : -EFAULT;
}

static long answer(struct super_call *c, long val)
{
	super_call_send(c, val);
	return SUPER_DONE;
}

static long stub_read(struct super_call *c)
{
	unsigned width = (unsigned)super_arg(c, 3);
	char data[MMIO_WIDTH_MAX] = { 0 };
	int64_t value;
	int rc = access_at(c, super_arg(c, 2), data, width, false);

	if (rc)
		return rc;
	memcpy(&value, data, sizeof(value));
	/* What looks like an errno, or like one of our own answers, goes by memory. */
	if (width <= 8 && !(value < 0 && value >= -(int64_t)0x80000000))
		return answer(c, value);
	return super_copy_out(c, super_arg(c, 4), data, width) ? -EFAULT : -EOVERFLOW;
}

static long stub_write(struct super_call *c)
{
	unsigned width = (unsigned)super_arg(c, 3);
	char data[MMIO_WIDTH_MAX];
	uint64_t value = super_arg(c, 4);

	if (width > MMIO_WIDTH_MAX)
		return -EINVAL;
	memcpy(data, &value, sizeof(value));
	if (width > 8 && super_copy_in(c, data, super_arg(c, 5), width))
		return -EFAULT;
	return access_at(c, super_arg(c, 2), data, width, true);
}

static long stub_rep(struct super_call *c, bool write)
{
	unsigned width = (unsigned)super_arg(c, 3), count = (unsigned)super_arg(c, 4), done;
	uint64_t addr = super_arg(c, 2);
	char data[MMIO_REP_MAX];
	int rc = 0;

	if (width == 0 || width > 8 || count == 0 || count > MMIO_REP_MAX / width)
		return -EINVAL;
	if (write && super_copy_in(c, data, super_arg(c, 5), width * count))
		return -EFAULT;
	for (done = 0; done < count && rc == 0; done++)
		rc = access_at(c, addr + (uint64_t)done * width, data + done * width, width, write);
	done -= rc != 0;
	if (done == 0)
		return rc;
	if (!write && super_copy_out(c, super_arg(c, 5), data, width * done))
		return -EFAULT;
	return done;
}

static long stub_page(struct super_call *c)
{
	uint64_t addr = ALIGN_DOWN(super_arg(c, 2), UVFIO_PAGE_SIZE);
	struct stub_page out = { .kind = STUB_PAGE_TRAP, .fd = -1 };
	struct file_page pg;
	struct place pl;
	int rc = place_find(c, addr, &pl), fd;

	if (rc)
		return rc;
	pg = page_of(&pl);
	if (pl.lease || pg.kind == FILE_PAGE_NONE) {
		out.kind = STUB_PAGE_BLOCKED;
	} else if (pg.kind == FILE_PAGE_PLAIN) {
		fd = super_file_lease(c->s, pl.sf, pl.offset, &pg);
		rc = fd < 0 ? fd : super_call_addfd(c, fd, -1, O_CLOEXEC);
		if (fd >= 0)
			close(fd);
		out.kind = STUB_PAGE_PLAIN;
		out.fd = rc;
		out.start = addr;
		out.length = MIN(pg.length, pl.vma.end - addr);
		out.offset = pg.offset;
		out.prot = (uint32_t)pl.vma.prot;
	}
	super_file_put(pl.sf);
	if (rc < 0)
		return rc;
	return super_copy_out(c, super_arg(c, 3), &out, sizeof(out));
}

static struct mmio_thunks *thunks_of(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);
	struct super_image *im;
	struct super_mm *m;

	if (!p || super_proc_mm(p, &m))
		return NULL;
	mutex_lock(&p->lock);
	im = p->image;
	mutex_unlock(&p->lock);
	if (!im && (im = super_image_of(c->s, m))) {
		mutex_lock(&p->lock);
		if (p->image) {
			super_image_put(c->s, im);
			im = p->image;
		}
		p->image = im;
		mutex_unlock(&p->lock);
	}
	super_mm_put(m);
	return im ? im->thunks : NULL;
}

static long stub_decode(struct super_call *c)
{
	uint64_t rip = super_arg(c, 2);
	struct mmio_thunks *t = thunks_of(c);
	struct mmio_insn insn;
	char bytes[MMIO_INSN_MAX];
	size_t n = MMIO_INSN_MAX, page = UVFIO_PAGE_SIZE - (rip & (UVFIO_PAGE_SIZE - 1));
	int rc;

	if (!t)
		return -EINVAL;
	if (super_copy_in(c, bytes, rip, n)) {
		n = page;
		if (n >= MMIO_INSN_MAX || super_copy_in(c, bytes, rip, n))
			return -EFAULT;
	}
	rc = mmio_decode(bytes, n, t, &insn);
	if (rc)
		return rc;
	insn.rip = rip;
	return super_copy_out(c, super_arg(c, 3), &insn, sizeof(insn));
}

/* A description of the thunks that says it is in use: images that nobody maps are freed by it (image.c). */
static int thunks_install(struct super_call *c, struct mmio_thunks *t)
{
	char path[64];
	int fd, n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", mmio_thunks_fd(t));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = super_hold(fd, 0);
	if (n == 0)
		n = super_call_addfd(c, fd, -1, O_CLOEXEC);
	close(fd);
	return n;
}

static long stub_hello(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);
	struct stub_hello h = { .mirror_fd = -1 };
	struct super_image *im;

	if (super_arg(c, 2) != STUB_VERSION)
		return -EPROTO;
	if (!p)
		return -ESRCH;
	im = super_image_create(c->s);
	if (!im)
		return -ENOMEM;
	h.thunks_fd = thunks_install(c, im->thunks);
	if (h.thunks_fd < 0) {
		super_image_put(c->s, im);
		return h.thunks_fd;
	}
	h.thunks_size = mmio_thunks_size(im->thunks);
	if (c->s->mirror) {
		h.mirror_fd = super_call_addfd(c, stub_mirror_fd(c->s->mirror), -1, O_CLOEXEC);
		h.mirror_size = stub_mirror_size(c->s->mirror);
		h.own_fd = c->s->fd_top;
	}
	mutex_lock(&p->lock);
	p->image = im;
	p->actions_known = true;
	memcpy(h.action, p->action, sizeof(h.action));
	mutex_unlock(&p->lock);
	return super_copy_out(c, super_arg(c, 3), &h, sizeof(h));
}

static long stub_ready(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);
	long rc = (long)super_arg(c, 2);

	if (!p)
		return 0;
	mutex_lock(&p->lock);
	p->stub = rc == 0 ? SUPER_YES : SUPER_NO;
	mutex_unlock(&p->lock);
	if (rc)
		super_log(c->s, LOG_WARN, "%s (pid %d) runs without the MMIO stub: %s", p->comm, p->tgid, strerror((int)-rc));
	return 0;
}

long super_stub_call(struct super_call *c)
{
	switch ((unsigned)super_arg(c, 1)) {
	case STUB_HELLO:
		return stub_hello(c);
	case STUB_READY:
		return stub_ready(c);
	case STUB_READ:
		return stub_read(c);
	case STUB_WRITE:
		return stub_write(c);
	case STUB_READ_REP:
		return stub_rep(c, false);
	case STUB_WRITE_REP:
		return stub_rep(c, true);
	case STUB_PAGE:
		return stub_page(c);
	case STUB_DECODE:
		return stub_decode(c);
	case STUB_ACTION:
		return super_stub_action(c, (int)super_arg(c, 2), super_arg(c, 3), super_arg(c, 4) != 0);
	default:
		return -ENOTTY;
	}
}
