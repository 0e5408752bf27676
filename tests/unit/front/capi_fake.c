/* SPDX-License-Identifier: MIT */
/*
 * A machine in the place of the real one: one node, /dev/fake, whose file has two trapped pages, two plain ones and one that
 * never answers, and whose ioctls do what the layers below do with a task.
 */
#include "capi_fake.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct machine *last;

static long fake_pin(struct machine *m, struct task *t, uint64_t uva)
{
	struct mem_pin *pin;
	const struct mem_piece *p;
	char text[8];
	int rc = mem_pin(m->mem, t, uva, PAGE, 0, MEM_READ | MEM_WRITE, true, &pin);

	if (rc)
		return rc;
	mem_pin_pieces(pin, &p);
	rc = mem_read(m->mem, p->phys, text, sizeof(text));
	if (rc == 0 && memcmp(text, "unmap me", 8) == 0) {
		munmap((void *)(uintptr_t)uva, PAGE); /* the caller does it behind our back */
		rc = mem_read(m->mem, p->phys, text, sizeof(text));
		assert_int_equal(mem_write(m->mem, p->phys, "!", 1), rc);
	} else if (rc == 0) {
		rc = mem_write(m->mem, p->phys + 8, "device", 7);
	}
	mem_unpin(pin);
	return rc;
}

static long fake_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct machine *m = f->priv;
	struct event *ev;
	struct file *other;
	uint64_t v;
	int rc;

	switch (cmd) {
	case GET_U64:
		rc = task_copy_in(t, &v, arg, sizeof(v));
		if (rc)
			return rc;
		v++;
		return task_copy_out(t, arg, &v, sizeof(v));
	case SIGNAL:
		rc = task_event_get(t, (int)arg, &ev);
		if (rc)
			return rc;
		event_signal(ev);
		event_put(ev);
		return 0;
	case PIN:
		return fake_pin(m, t, arg);
	case DUP:
		return task_fd_install(t, f, O_RDWR);
	case WHO:
		rc = task_file_get(t, (int)arg, &other);
		if (rc)
			return rc;
		rc = other == f;
		file_put(other);
		return rc;
	case CAPS:
		return task_capable(t, TASK_CAP_SYS_RAWIO) | task_capable(t, TASK_CAP_IPC_LOCK) << 1 |
		       task_capable(t, TASK_CAP_SYS_ADMIN) << 2;
	}
	return -ENOTTY;
}

static ssize_t fake_read(struct file *f, struct task *t, uva_t buf, size_t n, uint64_t pos)
{
	struct machine *m = f->priv;

	n = MIN(n, sizeof(m->regs));
	return task_copy_out(t, buf, m->regs, n) ? -EFAULT : (ssize_t)n;
}

static int fake_mmap(struct file *f, struct task *t, const struct file_mmap *req)
{
	return req->offset + req->length > 5 * PAGE ? -EINVAL : 0;
}

static void fake_page(struct file *f, uint64_t offset, struct file_page *out)
{
	struct machine *m = f->priv;
	unsigned page = (unsigned)(offset / PAGE);

	if (page == 1 || page == 2)
		*out = (struct file_page){ FILE_PAGE_PLAIN, m->memfd, offset - PAGE, (3 - page) * PAGE };
	else
		*out = (struct file_page){ .kind = page < 4 ? FILE_PAGE_TRAP : FILE_PAGE_NONE, .length = PAGE };
}

static int fake_mmio(struct file *f, struct task *t, uint64_t offset, void *data, unsigned width, bool write)
{
	struct machine *m = f->priv;

	if (m->disabled || offset >= 4 * PAGE)
		return -EFAULT;
	if (write)
		memcpy(m->regs + offset, data, width);
	else
		memcpy(data, m->regs + offset, width);
	return 0;
}

static int fake_dma_target(struct file *f, uint64_t offset, phys_t *phys, uint64_t *length)
{
	return -EFAULT;
}

static void fake_release(struct file *f)
{
	((struct machine *)f->priv)->open--;
}

static const struct file_ops fake_ops = {
	.name = "fake", .ioctl = fake_ioctl, .read = fake_read, .mmap = fake_mmap, .page = fake_page,
	.mmio = fake_mmio, .dma_target = fake_dma_target, .release = fake_release,
};

static int fake_open(void *priv, struct task *t, int oflags, struct file **out)
{
	((struct machine *)priv)->open++;
	return file_create(t, &fake_ops, priv, oflags, S_IFCHR | 0600, out);
}

int machine_desc_load(const char *path, FILE *err, struct machine_desc **out)
{
	if (!path)
		return 0;
	fprintf(err, "%s:1:1: no good\n", path);
	return -EINVAL;
}

int machine_desc_parse(const char *name, const char *text, size_t n, FILE *err, struct machine_desc **out)
{
	return 0;
}

void machine_desc_free(struct machine_desc *d)
{
}

int machine_create(const struct machine_desc *d, const struct machine_options *o, struct machine **out)
{
	struct machine *m = calloc(1, sizeof(*m));

	log_init(&m->log, o->log_sink, o->log_ctx);
	assert_int_equal(tree_create(&m->tree), 0);
	assert_int_equal(mem_create(&m->log, &m->mem), 0);
	assert_int_equal(tree_chr(m->tree, "/dev/fake", 0600, 7, fake_open, m), 0);
	assert_int_equal(tree_link(m->tree, "/dev/link", "/dev/fake"), 0);
	m->memfd = memfd_create("plain", MFD_CLOEXEC);
	assert_int_equal(ftruncate(m->memfd, 2 * PAGE), 0);
	*out = last = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	assert_int_equal(m->open, 0); /* every file is released by now */
	assert_int_equal(mem_pinned_pages(m->mem), 0);
	close(m->memfd);
	tree_destroy(m->tree);
	mem_destroy(m->mem);
	log_fini(&m->log);
	free(m);
}

struct tree *machine_tree(struct machine *m)
{
	return m->tree;
}

struct log *machine_log(struct machine *m)
{
	return &m->log;
}

struct mem *machine_mem(struct machine *m)
{
	return m->mem;
}

int machine_list(struct machine *m, bool json, FILE *out)
{
	return 0;
}

void machine_report(struct machine *m, FILE *out)
{
}

uint64_t machine_dma_faults(struct machine *m)
{
	return 3;
}
