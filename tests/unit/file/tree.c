/* SPDX-License-Identifier: MIT */
/* The sysfs tree: names, links, attribute files, and removal while others are inside. */
#include "base/lock.h"
#include "file/tree.h"
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a caller whose memory is ours ---- */

static int copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	if (src < UVFIO_PAGE_SIZE)
		return -EFAULT;
	memcpy(dst, (void *)(uintptr_t)src, n);
	return 0;
}

static int copy_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	if (dst < UVFIO_PAGE_SIZE)
		return -EFAULT;
	memcpy((void *)(uintptr_t)dst, src, n);
	return 0;
}

static const struct task_ops ops = { .copy_in = copy_in, .copy_out = copy_out };
static struct task caller = { .ops = &ops, .tgid = 42, .comm = "test" };

static struct tree *tree;

static int setup(void **state)
{
	return tree_create(&tree);
}

static int teardown(void **state)
{
	tree_destroy(tree);
	return 0;
}

static int must_open(const char *path, int oflags, struct file **f)
{
	int rc = tree_open(tree, &caller, path, oflags, f);

	if (rc == 0)
		assert_non_null(*f);
	return rc;
}

static char text[8192];

static const char *slurp(const char *path)
{
	struct file *f;
	ssize_t n;

	assert_int_equal(must_open(path, O_RDONLY, &f), 0);
	n = file_read(f, &caller, (uintptr_t)text, sizeof(text) - 1);
	file_put(f);
	if (n < 0)
		return strerrorname_np((int)-n);
	text[n] = 0;
	return text;
}

static int spill(const char *path, const char *s)
{
	struct file *f;
	int rc = must_open(path, O_WRONLY, &f);

	if (rc)
		return rc;
	rc = (int)file_write(f, &caller, (uintptr_t)s, strlen(s));
	file_put(f);
	return rc;
}

/* ---- attributes to play with ---- */

struct thing {
	int shown, stored;
	bool hidden;
	char last[5000];
	unsigned char bytes[256];
};

static int name_show(void *priv, FILE *out)
{
	struct thing *th = priv;

	fprintf(out, "thing %d\n", ++th->shown);
	return 0;
}

static int broken_show(void *priv, FILE *out)
{
	return -EIO;
}

static ssize_t name_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct thing *th = priv;

	assert_int_equal(strlen(buf), n);
	assert_ptr_equal(t, &caller);
	th->stored++;
	strcpy(th->last, buf);
	return strcmp(buf, "bad") == 0 ? -EBUSY : (ssize_t)n;
}

static ssize_t config_pread(void *priv, void *buf, size_t n, uint64_t pos)
{
	memcpy(buf, ((struct thing *)priv)->bytes + pos, n);
	return (ssize_t)n;
}

static ssize_t config_pwrite(void *priv, const void *buf, size_t n, uint64_t pos)
{
	memcpy(((struct thing *)priv)->bytes + pos, buf, n);
	return (ssize_t)n;
}

static uint64_t config_size(void *priv)
{
	return 256;
}

static bool not_hidden(void *priv)
{
	return !((struct thing *)priv)->hidden;
}

static const struct attr thing_attrs[] = {
	{ .name = "name", .mode = 0644, .show = name_show, .store = name_store },
	{ .name = "control", .mode = 0200, .store = name_store },
	{ .name = "broken", .mode = 0444, .show = broken_show },
	{ .name = "config", .mode = 0644, .pread = config_pread, .pwrite = config_pwrite, .size = config_size },
	{ .name = "maybe", .mode = 0444, .show = name_show, .visible = not_hidden },
	ATTR_END
};

static const struct attr more_attrs[] = {
	{ .name = "class", .mode = 0444, .show = name_show },
	ATTR_END
};

/* ---- names and links ---- */

static void test_links(void **state)
{
	struct thing th = { 0 };
	struct node_stat st;
	char real[4096];

	assert_int_equal(tree_attrs(tree, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0", thing_attrs, &th), 0);
	assert_int_equal(tree_dir(tree, "/sys/bus/pci/devices"), 0);
	assert_int_equal(tree_dir(tree, "/sys/kernel/iommu_groups/7/devices"), 0);
	assert_int_equal(tree_link(tree, "/sys/bus/pci/devices/0000:01:00.0",
				   "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"), 0);
	/* Through a link, the new link's text starts where the directory really is. */
	assert_int_equal(tree_link(tree, "/sys/bus/pci/devices/0000:01:00.0/iommu_group",
				   "/sys/kernel/iommu_groups/7"), 0);
	assert_int_equal(tree_linkf(tree, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0",
				    "/sys/kernel/iommu_groups/%d/devices/%s", 7, "0000:01:00.0"), 0);

	assert_int_equal(tree_stat(tree, "/sys/bus/pci/devices/0000:01:00.0", false, &st, NULL), 0);
	assert_int_equal(st.type, NODE_LINK);
	assert_string_equal(st.target, "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0");
	assert_int_equal(st.size, strlen(st.target));
	assert_true(S_ISLNK(st.mode));
	assert_int_equal(tree_stat(tree, "/sys/bus/pci/devices/0000:01:00.0/iommu_group", false, &st, NULL), 0);
	assert_string_equal(st.target, "../../../../kernel/iommu_groups/7");

	assert_int_equal(tree_stat(tree, "/sys/bus/pci/devices/0000:01:00.0/iommu_group/devices/0000:01:00.0/config",
				   true, &st, real), 0);
	assert_string_equal(real, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/config");
	assert_int_equal(st.type, NODE_ATTR);
	assert_int_equal(st.size, 256);
	assert_int_equal(st.mode, S_IFREG | 0644);
	assert_int_equal(tree_stat(tree, "/sys/bus/pci/devices/0000:01:00.0/../0000:01:00.0", true, &st, real), 0);
	assert_string_equal(real, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0");
	assert_int_equal(tree_stat(tree, "/", true, &st, real), 0);
	assert_string_equal(real, "/");

	assert_int_equal(tree_stat(tree, "/sys/nothing", true, &st, NULL), -ENOENT);
	assert_int_equal(tree_stat(tree, "/sys/bus/pci/devices/0000:01:00.0/name/x", true, &st, NULL), -ENOTDIR);
	assert_int_equal(tree_link(tree, "/sys/bus/pci/devices/0000:01:00.0", "/sys"), -EEXIST);
	assert_int_equal(tree_link(tree, "/sys/bus/pci/devices/0000:01:00.0/name", "/sys"), -EEXIST);
	assert_int_equal(tree_link(tree, "/some/where", "/sys"), 0);
	assert_int_equal(tree_stat(tree, "/some", false, &st, NULL), 0);
	assert_int_equal(tree_link(tree, "/sys/bus/pci/devices/0000:01:00.0/name/x", "/sys"), -ENOTDIR);
	assert_int_equal(tree_dir(tree, "/sys/bus/pci/devices/0000:01:00.0/name"), -EEXIST);

	assert_int_equal(tree_link(tree, "/sys/loop", "/sys/loop"), 0);
	assert_int_equal(tree_stat(tree, "/sys/loop", true, &st, NULL), -ELOOP);
	assert_int_equal(tree_stat(tree, "/sys/loop", false, &st, NULL), 0);
	assert_int_equal(tree_link(tree, "/sys/up", "/"), 0);
	assert_int_equal(tree_stat(tree, "/sys/up", false, &st, NULL), 0);
	assert_string_equal(st.target, "..");
	assert_int_equal(tree_stat(tree, "/sys/up/sys/up/sys/bus", false, &st, real), 0);
	assert_string_equal(real, "/sys/bus");
	assert_int_equal(tree_link(tree, "/sys/self", "/sys"), 0);
	assert_int_equal(tree_stat(tree, "/sys/self/self/self", false, &st, NULL), 0);
	assert_string_equal(st.target, ".");

	tree_remove(tree, "/sys/bus/pci/devices/0000:01:00.0"); /* the link, not what it points to */
	assert_int_equal(tree_stat(tree, "/sys/bus/pci/devices/0000:01:00.0", false, &st, NULL), -ENOENT);
	assert_int_equal(tree_stat(tree, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0", true, &st, NULL), 0);
	tree_removef(tree, "/sys/%s", "devices");
	assert_int_equal(tree_stat(tree, "/sys/kernel/iommu_groups/7/devices/0000:01:00.0", true, &st, NULL), -ENOENT);
	assert_int_equal(tree_stat(tree, "/sys/kernel/iommu_groups/7/devices/0000:01:00.0", false, &st, NULL), 0);
	tree_remove(tree, "/sys/devices");
}

static void test_long_names(void **state)
{
	char path[6000] = "/sys/";
	struct node_stat st;

	memset(path + 5, 'a', 256);
	assert_int_equal(tree_dir(tree, path), -ENAMETOOLONG);
	memset(path + 5, 'a', sizeof(path) - 6);
	assert_int_equal(tree_stat(tree, path, true, &st, NULL), -ENAMETOOLONG);
	assert_int_equal(tree_link(tree, path, "/"), -ENAMETOOLONG);
}

static void test_roots(void **state)
{
	assert_int_equal(tree_root(tree, "/sys/bus/pci"), 0);
	assert_int_equal(tree_root(tree, "/sys/devices/pci*"), 0);
	assert_true(tree_covers(tree, "/sys/bus/pci"));
	assert_true(tree_covers(tree, "/sys/bus/pci/devices"));
	assert_false(tree_covers(tree, "/sys/bus/pcix"));
	assert_false(tree_covers(tree, "/sys/bus"));
	assert_true(tree_covers(tree, "/sys/devices/pci0000:00/x"));
	assert_false(tree_covers(tree, "/sys/devices/platform"));
}

/* ---- attribute files ---- */

static void test_text(void **state)
{
	struct thing th = { 0 };
	uint64_t generation = tree_generation(tree);
	char big[6000], c;
	struct file *f;

	assert_int_equal(tree_attrs(tree, "/d", thing_attrs, &th), 0);
	assert_int_equal(tree_attrs(tree, "/d", more_attrs, &th), 0);
	assert_int_not_equal(tree_generation(tree), generation);
	assert_string_equal(slurp("/d/name"), "thing 1\n");
	assert_string_equal(slurp("/d/class"), "thing 2\n");
	assert_string_equal(slurp("/d/broken"), "EIO");

	/* Small reads see one text; position 0 renders anew; a pread in the middle renders when it must. */
	assert_int_equal(must_open("/d/name", O_RDWR, &f), 0);
	assert_int_equal(f->size, 4096);
	assert_int_equal(f->mode, S_IFREG | 0644);
	assert_int_equal(file_pread(f, &caller, (uintptr_t)&c, 1, 6), 1);
	assert_int_equal(c, '3');
	assert_int_equal(file_read(f, &caller, (uintptr_t)text, 6), 6);
	assert_int_equal(file_read(f, &caller, (uintptr_t)text, 6), 2);
	assert_memory_equal(text, "4\n", 2);
	assert_int_equal(file_read(f, &caller, (uintptr_t)text, 6), 0);
	assert_int_equal(file_pread(f, &caller, (uintptr_t)text, 6, 1000), 0);
	assert_int_equal(file_lseek(f, 0, SEEK_SET), 0);
	assert_int_equal(file_read(f, &caller, (uintptr_t)text, 100), 8);
	assert_memory_equal(text, "thing 5\n", 8);
	assert_int_equal(file_lseek(f, -6, SEEK_END), 4090);
	assert_int_equal(file_lseek(f, INT64_MAX, SEEK_CUR), -EINVAL);
	assert_int_equal(file_pread(f, &caller, 8, 4, 0), -EFAULT);

	memset(big, 'x', sizeof(big));
	assert_int_equal(file_pwrite(f, &caller, (uintptr_t)big, sizeof(big), 0), 4096);
	assert_int_equal(strlen(th.last), 4096);
	assert_int_equal(file_pwrite(f, &caller, (uintptr_t)big, 0, 0), 0);
	assert_int_equal(th.stored, 1);
	assert_int_equal(file_pwrite(f, &caller, 8, 1, 0), -EFAULT);
	file_put(f);
	assert_int_equal(spill("/d/name", "bad"), -EBUSY);
	assert_int_equal(spill("/d/control", "on\n"), 3);
	assert_string_equal(th.last, "on\n");
	tree_remove(tree, "/d");
}

static void test_open_errors(void **state)
{
	struct thing th = { 0 };
	struct file *f = NULL;

	assert_int_equal(tree_attrs(tree, "/d/e", thing_attrs, &th), 0);
	assert_int_equal(tree_link(tree, "/d/l", "/d/e/name"), 0);
	assert_int_equal(must_open("/d/e/class", O_RDONLY, &f), -ENOENT);
	assert_int_equal(must_open("/d/e/class", O_WRONLY | O_CREAT, &f), -EACCES);
	assert_int_equal(must_open("/d/e", O_RDONLY, &f), -EISDIR);
	assert_int_equal(must_open("/d/e/name", O_RDONLY | O_DIRECTORY, &f), -ENOTDIR);
	assert_int_equal(must_open("/d/e/name/", O_RDONLY, &f), -ENOTDIR);
	assert_int_equal(must_open("/d/e/control", O_RDONLY, &f), -EACCES);
	assert_int_equal(must_open("/d/e/control", O_RDWR, &f), -EACCES);
	assert_int_equal(must_open("/d/e/broken", O_WRONLY, &f), -EACCES);
	assert_int_equal(must_open("/d/e/name", O_WRONLY | O_CREAT | O_EXCL, &f), -EEXIST);
	assert_int_equal(must_open("/d/l", O_RDONLY | O_NOFOLLOW, &f), -ELOOP);
	assert_null(f);
	assert_int_equal(must_open("/d/e/name", O_WRONLY | O_CREAT | O_TRUNC, &f), 0);
	assert_int_equal(file_pread(f, &caller, (uintptr_t)text, 1, 0), -EBADF);
	file_put(f);
	th.hidden = true;
	assert_int_equal(must_open("/d/e/maybe", O_RDONLY, &f), -ENOENT);
	th.hidden = false;
	assert_int_equal(must_open("/d/e/maybe", O_RDONLY, &f), 0);
	file_put(f);
	tree_remove(tree, "/d");
}

static void test_binary(void **state)
{
	struct thing th = { 0 };
	struct file *f;

	for (unsigned i = 0; i < 256; i++)
		th.bytes[i] = (unsigned char)i;
	assert_int_equal(tree_attrs(tree, "/d", thing_attrs, &th), 0);
	assert_int_equal(must_open("/d/config", O_RDWR, &f), 0);
	assert_int_equal(f->size, 256);
	assert_int_equal(file_read(f, &caller, (uintptr_t)text, 64), 64);
	assert_int_equal(file_read(f, &caller, (uintptr_t)text, 1000), 192);
	assert_int_equal((unsigned char)text[0], 64);
	assert_int_equal(file_read(f, &caller, (uintptr_t)text, 1000), 0);
	assert_int_equal(file_pwrite(f, &caller, (uintptr_t)"abcdef", 6, 252), 4);
	assert_memory_equal(th.bytes + 252, "abcd", 4);
	assert_int_equal(file_pwrite(f, &caller, (uintptr_t)"abcdef", 6, 256), -EFBIG);
	tree_remove(tree, "/d");
	assert_int_equal(file_pread(f, &caller, (uintptr_t)text, 4, 0), -ENODEV);
	assert_int_equal(file_pwrite(f, &caller, (uintptr_t)text, 4, 0), -ENODEV);
	file_put(f);
}

/* ---- device nodes ---- */

static ssize_t null_read(struct file *f, struct task *t, uva_t buf, size_t n, uint64_t pos)
{
	return 0;
}

static const struct file_ops null_ops = { .name = "null", .read = null_read };

static int null_open(void *priv, struct task *t, int oflags, struct file **out)
{
	return priv ? -EBUSY : file_create(t, &null_ops, NULL, oflags, S_IFCHR | 0600, out);
}

static void test_chr(void **state)
{
	struct node_stat st;
	struct file *f;

	assert_int_equal(tree_chr(tree, "/dev/vfio/7", 0600, 0xabc, null_open, NULL), 0);
	assert_int_equal(tree_chr(tree, "/dev/vfio/8", 0666, 0xabd, null_open, &f), 0);
	assert_int_equal(tree_chr(tree, "/dev/vfio/8", 0666, 0xabd, null_open, &f), -EEXIST);
	assert_int_equal(tree_stat(tree, "/dev/vfio/7", true, &st, NULL), 0);
	assert_int_equal(st.mode, S_IFCHR | 0600);
	assert_int_equal(st.rdev, 0xabc);
	assert_int_equal(must_open("/dev/vfio/8", O_RDWR, &f), -EBUSY);
	assert_int_equal(must_open("/dev/vfio/7", O_RDWR, &f), 0);
	assert_int_equal(file_lseek(f, 0, SEEK_SET), -ESPIPE);
	tree_remove(tree, "/dev/vfio/7");
	assert_int_equal(file_read(f, &caller, (uintptr_t)text, 1), 0);
	file_put(f);
}

/* ---- listing ---- */

static int collect(void *ctx, const char *name, const struct node_stat *st)
{
	strcat(ctx, name);
	strcat(ctx, st->type == NODE_DIR ? "/ " : st->type == NODE_LINK ? "@ " : " ");
	return 0;
}

static int stop(void *ctx, const char *name, const struct node_stat *st)
{
	tree_remove(tree, "/d"); /* @fn may do anything */
	return 5;
}

static void test_list(void **state)
{
	struct thing th = { .hidden = true };
	char names[512] = "";

	assert_int_equal(tree_attrs(tree, "/d", thing_attrs, &th), 0);
	assert_int_equal(tree_attrs(tree, "/d", more_attrs, &th), 0);
	assert_int_equal(tree_dir(tree, "/d/sub"), 0);
	assert_int_equal(tree_link(tree, "/d/link", "/d/sub"), 0);
	assert_int_equal(tree_list(tree, "/d", collect, names), 0);
	assert_string_equal(names, "name control broken config class sub/ link@ ");
	assert_int_equal(tree_list(tree, "/d/name", collect, names), -ENOTDIR);
	assert_int_equal(tree_list(tree, "/e", collect, names), -ENOENT);
	assert_int_equal(tree_list(tree, "/d", stop, NULL), 5);
	assert_int_equal(tree_list(tree, "/d", collect, names), -ENOENT);
}

/* ---- removal against calls ---- */

struct gate {
	struct mutex lock;
	struct cond cond;
	bool inside, open, detach;
	atomic_bool removed;
};

static ssize_t gate_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct gate *g = priv;

	if (g->detach)
		tree_call_detach(tree);
	mutex_lock(&g->lock);
	g->inside = true;
	cond_broadcast(&g->cond);
	while (!g->open)
		cond_wait(&g->cond, &g->lock);
	mutex_unlock(&g->lock);
	if (!g->detach)
		assert_false(g->removed); /* tree_remove() has to wait for us */
	return (ssize_t)n;
}

static ssize_t suicide_store(void *priv, struct task *t, const char *buf, size_t n)
{
	tree_remove(tree, "/gate");
	return (ssize_t)n;
}

static const struct attr gate_attrs[] = {
	{ .name = "hold", .mode = 0200, .store = gate_store },
	{ .name = "remove", .mode = 0200, .store = suicide_store },
	ATTR_END
};

static void writer(void *arg)
{
	assert_int_equal(spill("/gate/hold", "1"), 1);
}

static void remover(void *arg)
{
	struct gate *g = arg;

	tree_remove(tree, "/gate");
	mutex_lock(&g->lock);
	g->removed = true;
	cond_broadcast(&g->cond);
	mutex_unlock(&g->lock);
}

static void gate_run(bool detach)
{
	struct gate g = { .detach = detach };
	struct thread w, r;
	struct node_stat st;
	struct file *f;

	mutex_init(&g.lock, RANK_NONE);
	cond_init(&g.cond);
	assert_int_equal(tree_attrs(tree, "/gate", gate_attrs, &g), 0);
	assert_int_equal(must_open("/gate/hold", O_WRONLY, &f), 0);
	assert_int_equal(thread_start(&w, "writer", writer, NULL), 0);
	mutex_lock(&g.lock);
	while (!g.inside)
		cond_wait(&g.cond, &g.lock);
	mutex_unlock(&g.lock);
	assert_int_equal(thread_start(&r, "remover", remover, &g), 0);
	while (tree_stat(tree, "/gate", true, &st, NULL) == 0)
		usleep(100);
	assert_int_equal(file_pwrite(f, &caller, (uintptr_t)"1", 1, 0), -ENODEV);
	mutex_lock(&g.lock);
	while (detach && !g.removed) /* a detached call is not waited for: this ends before it does */
		cond_wait(&g.cond, &g.lock);
	g.open = true;
	cond_broadcast(&g.cond);
	mutex_unlock(&g.lock);
	thread_join(&w);
	thread_join(&r);
	file_put(f);
	cond_fini(&g.cond);
	mutex_fini(&g.lock);
}

static void test_remove_waits(void **state)
{
	gate_run(false);
}

static void test_detached_call(void **state)
{
	gate_run(true);
}

static void test_remove_from_inside(void **state)
{
	struct node_stat st;

	assert_int_equal(tree_attrs(tree, "/gate", gate_attrs, NULL), 0);
	assert_int_equal(spill("/gate/remove", "1"), 1);
	assert_int_equal(tree_stat(tree, "/gate", true, &st, NULL), -ENOENT);
}

static atomic_bool finished;

static void reader(void *arg)
{
	struct node_stat st;
	struct file *f;

	while (!finished) {
		if (tree_open(tree, &caller, "/sys/bus/x/config", O_RDONLY, &f) == 0) {
			char c[8];
			ssize_t n = file_pread(f, &caller, (uintptr_t)c, sizeof(c), 0);

			assert_true(n == 8 || n == -ENODEV);
			file_put(f);
		}
		tree_stat(tree, "/sys/bus/x/maybe", true, &st, NULL);
		tree_list(tree, "/sys/devices/x", collect, (char[512]){ "" });
	}
}

static void test_race(void **state)
{
	struct thread t[3];

	finished = false;
	assert_int_equal(tree_dir(tree, "/sys/bus"), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(thread_start(&t[i], "reader", reader, NULL), 0);
	for (unsigned i = 0; i < 500; i++) {
		struct thing *th = calloc(1, sizeof(*th));

		assert_int_equal(tree_attrs(tree, "/sys/devices/x", thing_attrs, th), 0);
		assert_int_equal(tree_link(tree, "/sys/bus/x", "/sys/devices/x"), 0);
		if (i % 2)
			usleep(10);
		tree_remove(tree, "/sys/bus/x");
		tree_remove(tree, "/sys/devices/x");
		free(th);
	}
	finished = true;
	for (unsigned i = 0; i < 3; i++)
		thread_join(&t[i]);
}

/* ---- size ---- */

static void test_many(void **state)
{
	static struct attr table[26];
	static char names[25][8];
	struct thing th = { 0 };
	struct node_stat st;
	char path[128];
	size_t before;

	for (unsigned i = 0; i < 25; i++) {
		snprintf(names[i], sizeof(names[i]), "a%u", i);
		table[i] = (struct attr){ .name = names[i], .mode = 0444, .show = name_show };
	}
	before = mallinfo2().uordblks;
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(path, sizeof(path), "/sys/devices/pci0000:00/d%u", i);
		assert_int_equal(tree_attrs(tree, path, table, &th), 0);
	}
	if (before) /* a sanitizer's malloc does not say */
		assert_in_range(mallinfo2().uordblks - before, 0, 4u << 20);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(path, sizeof(path), "/sys/devices/pci0000:00/d%u/a%u", i, i % 25);
		assert_int_equal(tree_stat(tree, path, true, &st, NULL), 0);
	}
	assert_int_equal(st.ino, ({ struct node_stat s2; tree_stat(tree, path, true, &s2, NULL); s2.ino; }));
	for (unsigned i = 0; i < 10000; i += 2)
		tree_removef(tree, "/sys/devices/pci0000:00/d%u", i);
	assert_int_equal(tree_stat(tree, "/sys/devices/pci0000:00/d9998", true, &st, NULL), -ENOENT);
	assert_int_equal(tree_stat(tree, "/sys/devices/pci0000:00/d9999/a24", true, &st, NULL), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_links), T(test_long_names), T(test_roots), T(test_text), T(test_open_errors), T(test_binary),
		T(test_chr), T(test_list), T(test_remove_waits), T(test_detached_call), T(test_remove_from_inside),
		T(test_race), T(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
