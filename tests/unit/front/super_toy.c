/* SPDX-License-Identifier: MIT */
/*
 * The supervisor against a toy machine: a tree with attributes, directories, links and two device nodes, and
 * programs that use them (super_prog.c, dynamic and static; sh, cat, ls, find). Each test is one run.
 *
 * argv: super-prog, super-prog-static
 */
#include "base/event.h"
#include "base/lock.h"
#include "file/tree.h"
#include "front/supervisor/supervisor.h"
#include "super_toy.h"
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

struct toy {
	struct tree *tree;
	struct log log;
	struct mutex lock;
	struct cond cond;
	unsigned count, blocked, open, released, exclusive;
	bool unblock, access;
	uint32_t next;
	uint8_t scratch[64];
	int plain;      /* memfd of the plain page, or empty while access is denied */
	int region;     /* memfd of TOY_PAGES pages */
	char value[64]; /* of the attribute */
	char text[512]; /* what the log says, for tests that look at it */
	struct file_ready ready[2]; /* of queues that are only read, and of others */
};

static const char *prog, *prog_static;
static struct toy toy;

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

static int toy_mmio(struct file *f, uint64_t offset, void *data, unsigned width, bool write)
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

/* ---- runs ---- */

static void log_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level <= LOG_WARN) {
		fprintf(stderr, "# %s\n", line);
		snprintf(toy.text, sizeof(toy.text), "%s", line);
	}
}

static int setup(void **state)
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

static int teardown(void **state)
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

static int run_with(unsigned without, const char *const argv[])
{
	struct super_options o = { .quiet = true, .without = without };
	int status = -1, rc = super_run_tree(toy.tree, &toy.log, &o, (char *const *)argv, &status);

	if (rc)
		return rc;
	assert_int_equal(toy.open, 0);
	return status;
}

#define RUN(...) run_with(0, (const char *const[]){ __VA_ARGS__, NULL })
#define SH(script) RUN("sh", "-c", script)

static void test_status(void **state)
{
	(void)state;
	assert_int_equal(RUN("true"), 0);
	assert_int_equal(WEXITSTATUS(SH("exit 7")), 7);
	assert_int_equal(WTERMSIG(SH("kill -TERM $$")), SIGTERM);
	assert_int_equal(RUN("/nonexistent/program"), -ENOENT);
	assert_int_equal(RUN("/etc/passwd"), -EACCES);
}

static void test_shell(void **state)
{
	(void)state;
	assert_int_equal(SH("test \"$(cat /sys/bus/toy/devices/0000:00:01.0/value)\" = hello"), 0);
	assert_int_equal(SH("ls /sys/bus/toy/devices/ | grep -q 0000:00:01.0"), 0);
	assert_int_equal(SH("ls -l /dev/toy | grep -q 'crw------- .* 511, *1 .* echo'"), 0);
	assert_int_equal(SH("test \"$(readlink -f /sys/bus/toy/devices/0000:00:01.0)\" = /sys/devices/toy0/0000:00:01.0"), 0);
	assert_int_equal(SH("test $(find /sys/devices/toy0 | wc -l) = 7"), 0);
	assert_int_equal(SH("test $(find /sys/bus/toy/ -follow -name config 2>/dev/null | wc -l) -ge 1"), 0);
	assert_int_equal(SH("read v < /sys/bus/toy/devices/0000:00:01.0/value; test $v = hello"), 0);
	assert_int_equal(SH("test ! -e /sys/bus/toy/nothing; test -d /sys/bus/toy -a -L /sys/bus/toy/devices/0000:00:01.0"), 0);
	assert_int_equal(SH("cat /sys/bus/toy/devices/0000:00:01.0/broken 2>&1 | grep -q 'Input/output error'"), 0);
	assert_int_equal(SH("test $(od -An -tu1 -j200 -N1 /sys/bus/toy/devices/0000:00:01.0/config) = 200"), 0);
	assert_int_equal(SH("mkdir /sys/bus/toy/x 2>/dev/null && exit 1; rm /dev/toy/echo 2>/dev/null && exit 1; exit 0"), 0);
}

static void test_redirect(void **state)
{
	(void)state;
	assert_int_equal(SH("echo world > /sys/bus/toy/devices/0000:00:01.0/value"), 0);
	assert_string_equal(toy.value, "world");
	assert_int_equal(SH("echo bad > /sys/bus/toy/devices/0000:00:01.0/value 2>/dev/null || exit 3"), 3 << 8);
	assert_string_equal(toy.value, "world");
	assert_int_equal(RUN("bash", "-c", "echo bad 2>&1 > /sys/bus/toy/devices/0000:00:01.0/trigger | grep -q 'resource busy'"), 0);
	assert_int_equal(SH("/bin/echo external > /sys/bus/toy/devices/0000:00:01.0/value"), 0);
	assert_string_equal(toy.value, "external");
	assert_int_equal(SH("{ echo inner; } > /sys/bus/toy/devices/0000:00:01.0/value; echo out >/dev/null"), 0);
	assert_string_equal(toy.value, "inner");
	assert_int_equal(SH("echo piped | tee /sys/bus/toy/devices/0000:00:01.0/value > /dev/null"), 0);
	assert_string_equal(toy.value, "piped");
	assert_int_equal(SH("(sleep 0.01; echo late) > /sys/bus/toy/devices/0000:00:01.0/value & wait"), 0);
	assert_string_equal(toy.value, "late");
	assert_int_equal(RUN("bash", "-c", "exec 5> /sys/bus/toy/devices/0000:00:01.0/value; echo five >&5; exec 5>&-"), 0);
	assert_string_equal(toy.value, "five");
	assert_int_equal(RUN("python3", "-c", "open('/sys/bus/toy/devices/0000:00:01.0/value', 'w').write('python')"), 0);
	assert_string_equal(toy.value, "python");
}

static void test_cwd(void **state)
{
	(void)state;
	assert_int_equal(SH("cd /sys/bus/toy/devices && test \"$(/bin/pwd)\" = /sys/bus/toy/devices"), 0);
	assert_int_equal(SH("cd /sys/bus/toy/devices && cat 0000:00:01.0/value | grep -q hello"), 0);
	assert_int_equal(SH("cd /sys/bus/toy/devices/0000:00:01.0 && test -d subsystem/devices && cat ../0000:00:01.0/value"), 0);
	assert_int_equal(SH("cd /dev/toy && ls | grep -q echo && cd /tmp && test $(/bin/pwd) = /tmp"), 0);
}

/* A case of super_prog.c, dynamic and static. */
static void prog_case(const char *name)
{
	const char *const variants[] = { prog, prog_static };

	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		int status;

		toy.unblock = false;
		status = RUN(variants[i], name);
		if (status)
			print_message("%s %s: status %x\n", variants[i], name, status);
		assert_int_equal(status, 0);
	}
}

#define PROG(name)                                 \
	static void test_##name(void **state)      \
	{                                          \
		(void)state;                       \
		prog_case(#name);                  \
	}
PROG(files)
PROG(ioctl)
PROG(events)
PROG(release)
PROG(dup)
PROG(lowfd)
PROG(poll)
PROG(rw)
PROG(mmio)
PROG(blocked)
PROG(handlers)
PROG(masked)
PROG(threads)
PROG(fork)
PROG(storm)
PROG(stall)
PROG(memory)
PROG(fuse)
PROG(firstmap)
PROG(exec)
PROG(region)
PROG(mapped)
PROG(fuzz)

static void test_kill(void **state)
{
	(void)state;
	prog_case("kill");
	assert_int_equal(toy.blocked, 0);
}

/* Each fallback alone must do the same. */
static void test_without(void **state)
{
	static const struct {
		unsigned without;
		const char *name;
	} cases[] = {
		{ SUPER_WITHOUT_GETFD, "events" }, { SUPER_WITHOUT_GETFD, "ioctl" },
		{ SUPER_WITHOUT_GETFD, "manyevents" }, { SUPER_WITHOUT_NOTIFY, "stuckopen" },
		{ SUPER_WITHOUT_NOTIFY, "firstmap" }, { SUPER_WITHOUT_PROCMAP, "mmio" },
		{ SUPER_WITHOUT_PROCMAP, "memory" }, { SUPER_WITHOUT_MEM, "ioctl" }, { SUPER_WITHOUT_MEM, "memory" },
		{ SUPER_WITHOUT_INJECT, "ioctl" }, { SUPER_WITHOUT_INJECT, "nommio" },
		{ SUPER_WITHOUT_GETFD, "poll" }, { SUPER_WITHOUT_NOTIFY, "poll" },
		{ SUPER_WITHOUT_PROCMAP, "mapped" }, { SUPER_WITHOUT_NOTIFY, "mapped" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = run_with(cases[i].without, (const char *const[]){ prog, cases[i].name, NULL });

		if (status)
			print_message("without %x, %s: status %x\n", cases[i].without, cases[i].name, status);
		assert_int_equal(status, 0);
	}
}

/* All of the tree counts, not only the first program. */
static void test_descendants(void **state)
{
	(void)state;
	assert_int_equal(SH("(sleep 0.2; echo last > /sys/bus/toy/devices/0000:00:01.0/value) & exit 5"), 5 << 8);
	assert_string_equal(toy.value, "last");
	assert_int_equal(SH("setsid sh -c 'sleep 0.2; echo later > /sys/bus/toy/devices/0000:00:01.0/value' & exit 0"), 0);
	assert_string_equal(toy.value, "later");
}

/* A supervisor that dies takes all programs along. */
static void test_death(void **state)
{
	int p[2], status;
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(p), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(p[0]);
		SH("setsid sh -c 'sleep 100' & echo -n x >&0; sleep 100");
		_exit(0);
	}
	close(p[1]);
	usleep(300000);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* Every program holds the write end. */
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
}

/* The first program's parent is the guard. Whoever kills it kills all. */
static void test_guard(void **state)
{
	(void)state;
	assert_int_equal(WTERMSIG(SH("setsid sleep 100 & kill -9 $PPID; sleep 100")), SIGKILL);
	assert_non_null(strstr(toy.text, "guard"));
}

/* Limits, signals to ignore and the like are as they were. */
static void test_inherited(void **state)
{
	char script[128];
	struct rlimit rl;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
	snprintf(script, sizeof(script), "test $(ulimit -Hn) = %llu -a $(ulimit -n) -le 8256", (unsigned long long)rl.rlim_max);
	rl.rlim_cur = 1024;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
	assert_int_equal(SH(script), 0);
	assert_int_equal(SH("kill -USR1 $$"), SIGUSR1);
	assert_int_equal(SH("test $(sed -n 's/^SigBlk:.//p' /proc/self/status) = 0000000000000000"), 0);
}

int main(int argc, char **argv)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(test_##fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(status), TEST(shell), TEST(files), TEST(ioctl), TEST(events), TEST(release), TEST(dup), TEST(lowfd), TEST(poll),
		TEST(rw), TEST(cwd), TEST(exec), TEST(mmio), TEST(blocked), TEST(handlers), TEST(masked), TEST(threads),
		TEST(fork), TEST(storm), TEST(stall), TEST(memory), TEST(fuse), TEST(firstmap), TEST(region), TEST(mapped),
		TEST(kill), TEST(redirect), TEST(without),
		TEST(descendants), TEST(death), TEST(guard), TEST(inherited), TEST(fuzz),
	};

	if (argc < 3) {
		fprintf(stderr, "usage: super_toy super-prog super-prog-static [filter]\n");
		return 2;
	}
	prog = argv[1];
	prog_static = argv[2];
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
