/* SPDX-License-Identifier: MIT */
/*
 * The toy machine: a tree with attributes, directories, links and two device nodes. The devices' files have registers,
 * a plain page and calls that ask for each thing that a supervisor has to do for the machine (super_toy.h).
 */
#include "super_machine.h"
#include "super_toy.h"
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

struct toy toy;

/* ---- the device ---- */

static int add(struct task *t, uint64_t arg)
{
	struct toy_add a;
	int rc = ucopy_argsz(t, &a, arg, sizeof(a));

	if (rc)
		return rc;
	a.sum = a.a + a.b;
	return task_copy_out(t, arg, &a, sizeof(a));
}

static int same(struct task *t, int fd)
{
	struct file *f;
	int rc = task_file_get(t, fd, &f);

	if (rc)
		return rc;
	file_put(f);
	return 0;
}

static int signal_event(struct task *t, int fd)
{
	struct event *ev;
	int rc = task_event_get(t, fd, &ev);

	if (rc)
		return rc;
	event_signal(ev);
	event_put(ev);
	return 0;
}

static long peek(struct task *t, uva_t at)
{
	struct mm_area a;
	uint8_t byte;
	void *host;
	int rc = t->mm->ops->area(t->mm, at, &a);

	if (rc)
		return rc;
	if (t->mm->ops->share(t->mm, &a, ALIGN_DOWN(at, UVFIO_PAGE_SIZE), UVFIO_PAGE_SIZE, &host) == 0) {
		byte = ((uint8_t *)host)[at % UVFIO_PAGE_SIZE];
		t->mm->ops->unshare(t->mm, host, UVFIO_PAGE_SIZE);
		return byte | 0x100;
	}
	rc = t->mm->ops->read(t->mm, &byte, at, 1);
	return rc ? rc : byte;
}

static void set_access(bool on)
{
	SCOPED_LOCK(&toy.lock);
	toy.access = on;
	assert_int_equal(ftruncate(toy.plain, on ? 4096 : 0), 0);
}

/* ---- queues ---- */

static ssize_t queue_read(struct file *f, struct task *t, uva_t buf, size_t n, uint64_t pos)
{
	(void)pos;
	if (n == 0 || !file_poll(f, POLLIN, 0))
		return 0;
	return task_copy_out(t, buf, "q", 1) ? -EFAULT : 1;
}

static ssize_t queue_write(struct file *f, struct task *t, uva_t buf, size_t n, uint64_t pos)
{
	(void)t;
	(void)buf;
	(void)pos;
	return f->ready->out ? (ssize_t)n : -EINVAL;
}

static void queue_release(struct file *f)
{
	(void)f;
	__atomic_sub_fetch(&toy.open, 1, __ATOMIC_RELAXED);
}

static const struct file_ops queue_ops = {
	.name = "anon_inode:[queue]",
	.read = queue_read,
	.write = queue_write,
	.release = queue_release,
};

/* One of each kind at a time. */
static long queue(struct task *t, bool out)
{
	struct file *f;
	long rc = file_create(t, &queue_ops, NULL, O_RDWR, 0600, &f);

	if (rc)
		return rc;
	f->seek = FILE_SEEK_STREAM;
	f->ready = &toy.ready[out];
	__atomic_add_fetch(&toy.open, 1, __ATOMIC_RELAXED);
	rc = task_fd_install(t, f, O_RDWR | O_CLOEXEC);
	file_put(f);
	return rc;
}

/* ---- regions: files of plain pages ---- */

static long region_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	(void)t;
	return cmd == TOY_MAPPED ? file_mapped(f, arg, UVFIO_PAGE_SIZE) : -ENOTTY;
}

static int region_mmap(struct file *f, struct task *t, const struct file_mmap *m)
{
	(void)f;
	(void)t;
	return m->offset < TOY_PLAIN || m->offset + m->length > TOY_PLAIN + TOY_PAGES * UVFIO_PAGE_SIZE ? -EINVAL : 0;
}

static void region_page(struct file *f, uint64_t offset, struct file_page *out)
{
	(void)f;
	*out = (struct file_page){ .kind = FILE_PAGE_PLAIN, .memfd = toy.region, .offset = offset - TOY_PLAIN,
				   .length = TOY_PLAIN + TOY_PAGES * UVFIO_PAGE_SIZE - offset };
}

/* Nobody may have them mapped. */
static int region_renew(void)
{
	int old = toy.region;

	toy.region = memfd_create("toy-region", MFD_CLOEXEC);
	assert_int_equal(ftruncate(toy.region, TOY_PAGES * UVFIO_PAGE_SIZE), 0);
	return old < 0 ? 0 : close(old);
}

static void region_release(struct file *f)
{
	(void)f;
	__atomic_sub_fetch(&toy.open, 1, __ATOMIC_RELAXED);
}

static const struct file_ops region_ops = {
	.name = "anon_inode:[region]",
	.ioctl = region_ioctl,
	.mmap = region_mmap,
	.page = region_page,
	.release = region_release,
};

static long region(struct task *t)
{
	struct file *f;
	long rc = file_create(t, &region_ops, NULL, O_RDWR, 0600, &f);

	if (rc)
		return rc;
	__atomic_add_fetch(&toy.open, 1, __ATOMIC_RELAXED);
	rc = task_fd_install(t, f, O_RDWR | O_CLOEXEC);
	file_put(f);
	return rc;
}

/* ---- ioctls ---- */

static const struct file_ops device_ops;

static long toy_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct file *child;
	long rc;

	switch (cmd) {
	case TOY_ADD:
		return add(t, arg);
	case TOY_COUNT:
		return __atomic_add_fetch(&toy.count, 1, __ATOMIC_RELAXED);
	case TOY_BLOCK:
		mutex_lock(&toy.lock);
		toy.blocked++;
		while (!toy.unblock)
			cond_wait(&toy.cond, &toy.lock);
		toy.blocked--;
		mutex_unlock(&toy.lock);
		return 0;
	case TOY_UNBLOCK:
		mutex_lock(&toy.lock);
		toy.unblock = true;
		cond_broadcast(&toy.cond);
		mutex_unlock(&toy.lock);
		return 0;
	case TOY_REQUESTS:
		mutex_lock(&toy.lock);
		rc = toy.blocked;
		mutex_unlock(&toy.lock);
		return rc;
	case TOY_CHILD:
		rc = file_create(t, &device_ops, NULL, O_RDWR, S_IFCHR | 0600, &child);
		if (rc)
			return rc;
		__atomic_add_fetch(&toy.open, 1, __ATOMIC_RELAXED);
		rc = task_fd_install(t, child, O_RDWR | O_CLOEXEC);
		file_put(child);
		return rc;
	case TOY_QUEUE:
		return queue(t, arg);
	case TOY_RENEW:
		return region_renew();
	case TOY_REGION:
		return region(t);
	case TOY_TURN:
		file_ready_set(&toy.ready[0], arg);
		file_ready_set(&toy.ready[1], arg);
		return 0;
	case TOY_SIGNAL:
		return signal_event(t, (int)arg);
	case TOY_MEMORY:
		set_access(arg);
		return 0;
	case TOY_OPEN:
		return (long)__atomic_load_n(&toy.open, __ATOMIC_RELAXED);
	case TOY_SAME:
		return same(t, (int)arg);
	case TOY_PEEK:
		return peek(t, arg);
	case TOY_SLOW:
		usleep((useconds_t)arg * 1000);
		return 0;
	default:
		(void)f;
		return -ENOTTY;
	}
}

/* Config space of a kind: byte n reads n. */
static ssize_t toy_read(struct file *f, struct task *t, uva_t buf, size_t n, uint64_t pos)
{
	uint8_t bytes[256];

	(void)f;
	if (pos < TOY_CONFIG || pos >= TOY_CONFIG + sizeof(bytes))
		return -EINVAL;
	pos -= TOY_CONFIG;
	n = MIN(n, sizeof(bytes) - pos);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(pos + i);
	return task_copy_out(t, buf, bytes, n) ? -EFAULT : (ssize_t)n;
}

static ssize_t toy_write(struct file *f, struct task *t, uva_t buf, size_t n, uint64_t pos)
{
	uint8_t b;

	(void)f;
	if (pos < TOY_CONFIG)
		return -EINVAL;
	return task_copy_in(t, &b, buf, 1) ? -EFAULT : (ssize_t)n;
}

static int toy_mmap(struct file *f, struct task *t, const struct file_mmap *m)
{
	(void)f;
	(void)t;
	return m->offset + m->length > TOY_SIZE ? -EINVAL : 0;
}

static void toy_page(struct file *f, uint64_t offset, struct file_page *out)
{
	(void)f;
	out->kind = offset == TOY_TRAP ? FILE_PAGE_TRAP : offset == TOY_PLAIN ? FILE_PAGE_PLAIN : FILE_PAGE_NONE;
	out->memfd = toy.plain;
	out->offset = 0;
	out->length = UVFIO_PAGE_SIZE;
}

static int toy_mmio(struct file *f, struct task *t, uint64_t offset, void *data, unsigned width, bool write)
{
	uint32_t v = 0;

	(void)f;
	SCOPED_LOCK(&toy.lock);
	if (!toy.access)
		return -EFAULT;
	if (offset >= TOY_SCRATCH && offset + width <= TOY_SCRATCH + sizeof(toy.scratch)) {
		if (write)
			memcpy(toy.scratch + (offset - TOY_SCRATCH), data, width);
		else
			memcpy(data, toy.scratch + (offset - TOY_SCRATCH), width);
		return 0;
	}
	if (write) {
		memcpy(&v, data, MIN(width, sizeof(v)));
		if (offset == TOY_NEXT)
			toy.next = v;
		return 0;
	}
	if (offset == TOY_ID)
		v = TOY_ID_VALUE;
	else if (offset == TOY_NEXT)
		v = ++toy.next;
	memset(data, 0, width);
	memcpy(data, &v, MIN(width, sizeof(v)));
	return 0;
}

static void toy_release(struct file *f)
{
	SCOPED_LOCK(&toy.lock);
	if (f->priv)
		toy.exclusive = 0;
	toy.open--;
	toy.released++;
}

static const struct file_ops device_ops = {
	.name = "anon_inode:[toy]",
	.ioctl = toy_ioctl,
	.read = toy_read,
	.write = toy_write,
	.mmap = toy_mmap,
	.page = toy_page,
	.mmio = toy_mmio,
	.release = toy_release,
};

/* @priv: only one opener at a time */
static int toy_open(void *priv, struct task *t, int oflags, struct file **out)
{
	int rc = 0;

	mutex_lock(&toy.lock);
	if (priv && toy.exclusive)
		rc = -EBUSY;
	else if (priv)
		toy.exclusive = 1;
	if (rc == 0)
		toy.open++;
	mutex_unlock(&toy.lock);
	if (rc)
		return rc;
	rc = file_create(t, &device_ops, priv, oflags, S_IFCHR | 0600, out);
	if (rc == 0)
		(*out)->rdev = makedev(511, priv ? 2 : 1);
	return rc;
}

/* ---- attributes ---- */

static int show_value(void *priv, FILE *out)
{
	(void)priv;
	fprintf(out, "%s\n", toy.value);
	return 0;
}

static ssize_t store_value(void *priv, struct task *t, const char *buf, size_t n)
{
	(void)priv;
	(void)t;
	if (strncmp(buf, "bad", 3) == 0)
		return -EBUSY;
	SCOPED_LOCK(&toy.lock);
	snprintf(toy.value, sizeof(toy.value), "%.*s", (int)strcspn(buf, "\n"), buf);
	return (ssize_t)n;
}

static int show_error(void *priv, FILE *out)
{
	(void)priv;
	(void)out;
	return -EIO;
}

static ssize_t read_config(void *priv, void *buf, size_t n, uint64_t pos)
{
	(void)priv;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = (uint8_t)(pos + i);
	return (ssize_t)n;
}

static uint64_t config_size(void *priv)
{
	(void)priv;
	return 256;
}

static const struct attr attrs[] = {
	{ .name = "value", .mode = 0644, .show = show_value, .store = store_value },
	{ .name = "trigger", .mode = 0200, .store = store_value },
	{ .name = "broken", .mode = 0444, .show = show_error },
	{ .name = "config", .mode = 0644, .pread = read_config, .size = config_size },
	ATTR_END,
};

/* ---- the machine ---- */

static void log_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level <= LOG_WARN) {
		fprintf(stderr, "# %s\n", line);
		snprintf(toy.text, sizeof(toy.text), "%s", line);
	}
}

int toy_setup(void **state)
{
	(void)state;
	memset(&toy, 0, sizeof(toy));
	log_init(&toy.log, log_line, NULL);
	mutex_init(&toy.lock, RANK_MODEL);
	cond_init(&toy.cond);
	file_ready_init(&toy.ready[0], false);
	file_ready_init(&toy.ready[1], true);
	toy.access = true;
	snprintf(toy.value, sizeof(toy.value), "hello");
	toy.plain = memfd_create("toy-plain", MFD_CLOEXEC);
	assert_int_equal(ftruncate(toy.plain, 4096), 0);
	toy.region = -1;
	assert_int_equal(region_renew(), 0);
	assert_int_equal(tree_create(&toy.tree), 0);
	assert_int_equal(tree_root(toy.tree, "/sys/bus/toy"), 0);
	assert_int_equal(tree_root(toy.tree, "/sys/devices/toy*"), 0);
	assert_int_equal(tree_root(toy.tree, "/dev/toy"), 0);
	assert_int_equal(tree_attrs(toy.tree, "/sys/devices/toy0/0000:00:01.0", attrs, NULL), 0);
	assert_int_equal(tree_dir(toy.tree, "/sys/bus/toy/devices"), 0);
	assert_int_equal(tree_link(toy.tree, "/sys/bus/toy/devices/0000:00:01.0", "/sys/devices/toy0/0000:00:01.0"), 0);
	assert_int_equal(tree_link(toy.tree, "/sys/devices/toy0/0000:00:01.0/subsystem", "/sys/bus/toy"), 0);
	assert_int_equal(tree_chr(toy.tree, "/dev/toy/echo", 0600, makedev(511, 1), toy_open, NULL), 0);
	assert_int_equal(tree_chr(toy.tree, "/dev/toy/one", 0600, makedev(511, 2), toy_open, &toy), 0);
	return 0;
}

int toy_teardown(void **state)
{
	(void)state;
	tree_destroy(toy.tree);
	close(toy.plain);
	close(toy.region);
	file_ready_fini(&toy.ready[0]);
	file_ready_fini(&toy.ready[1]);
	cond_fini(&toy.cond);
	mutex_fini(&toy.lock);
	log_fini(&toy.log);
	return 0;
}
