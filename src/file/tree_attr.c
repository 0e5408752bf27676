/* SPDX-License-Identifier: MIT */
/*
 * Open attribute files. Text is rendered when a read starts at position 0 (or when nothing has been
 * rendered yet) and served from that copy, so a program that reads in small pieces sees one text. A write
 * is one call of store with at most a page. Binary attributes move a window of at most a page.
 *
 * The functions of an attribute run under no lock of the tree, inside tree_enter()/tree_leave(); after
 * removal of the directory every call on the file is -ENODEV.
 */
#include "file/tree_priv.h"
#include <fcntl.h>
#include <string.h>

struct text {
	struct ref ref;
	size_t length;
	char *bytes;
};

struct attr_file {
	struct tree *tree;
	struct source *src; /* [I] holds a reference */
	const struct attr *attr;
	struct mutex lock;  /* RANK_TREE; never together with the tree's */
	struct text *text;  /* [lock] what the last rendering gave; NULL: none yet */
};

static void text_put(struct text *x)
{
	if (x && ref_put(&x->ref)) {
		free(x->bytes);
		free(x);
	}
}

/* The caller is inside a call of the source. */
static int attr_render(const struct attr *a, void *priv, struct text **out)
{
	struct text *x = calloc(1, sizeof(*x));
	FILE *f;
	int rc;

	if (!x)
		return -ENOMEM;
	ref_init(&x->ref);
	f = open_memstream(&x->bytes, &x->length);
	if (!f) {
		free(x);
		return -ENOMEM;
	}
	rc = a->show(priv, f);
	if (fclose(f) != 0 && rc == 0)
		rc = -ENOMEM;
	if (rc) {
		text_put(x);
		return rc;
	}
	*out = x;
	return 0;
}

/* The text to serve a read at @pos from, with a reference. */
static int attr_text(struct attr_file *af, uint64_t pos, struct text **out)
{
	struct text *x = NULL;
	int rc;

	mutex_lock(&af->lock);
	if (pos != 0 && af->text) {
		x = af->text;
		ref_get(&x->ref);
	}
	mutex_unlock(&af->lock);
	if (!x) {
		struct text *old;

		rc = attr_render(af->attr, af->src->priv, &x);
		if (rc)
			return rc;
		ref_get(&x->ref);
		mutex_lock(&af->lock);
		old = af->text;
		af->text = x;
		mutex_unlock(&af->lock);
		text_put(old);
	}
	*out = x;
	return 0;
}

static ssize_t attr_read_text(struct attr_file *af, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct tree_call call;
	struct text *x;
	size_t n = 0;
	int rc;

	if (!tree_enter(af->tree, af->src, &call))
		return -ENODEV;
	rc = attr_text(af, pos, &x);
	tree_leave(af->tree, &call);
	if (rc)
		return rc;
	if (pos < x->length) {
		n = MIN(count, x->length - pos);
		rc = task_copy_out(t, buf, x->bytes + pos, n);
	}
	text_put(x);
	return rc ? rc : (ssize_t)n;
}

static ssize_t attr_read_binary(struct attr_file *af, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	void *priv = af->src->priv;
	char page[UVFIO_PAGE_SIZE];
	struct tree_call call;
	ssize_t n = 0;

	if (!tree_enter(af->tree, af->src, &call))
		return -ENODEV;
	count = MIN(count, sizeof(page));
	if (af->attr->size) {
		uint64_t size = af->attr->size(priv);

		count = pos < size ? MIN(count, size - pos) : 0;
	}
	if (count)
		n = af->attr->pread(priv, page, count, pos);
	tree_leave(af->tree, &call);
	if (n > 0 && task_copy_out(t, buf, page, (size_t)n))
		return -EFAULT;
	return n;
}

static ssize_t attr_read(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct attr_file *af = f->priv;

	return af->attr->pread ? attr_read_binary(af, t, buf, count, pos) : attr_read_text(af, t, buf, count, pos);
}

static ssize_t attr_write_binary(struct attr_file *af, const char *page, size_t count, uint64_t pos)
{
	void *priv = af->src->priv;

	if (af->attr->size) {
		uint64_t size = af->attr->size(priv);

		if (pos >= size)
			return -EFBIG;
		count = MIN(count, size - pos);
	}
	return af->attr->pwrite(priv, page, count, pos);
}

static ssize_t attr_write(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct attr_file *af = f->priv;
	char page[UVFIO_PAGE_SIZE + 1];
	struct tree_call call;
	ssize_t n = 0;

	count = MIN(count, UVFIO_PAGE_SIZE);
	if (task_copy_in(t, page, buf, count))
		return -EFAULT;
	page[count] = 0;
	if (!tree_enter(af->tree, af->src, &call))
		return -ENODEV;
	if (count)
		n = af->attr->pwrite ? attr_write_binary(af, page, count, pos)
				     : af->attr->store(af->src->priv, t, page, count);
	tree_leave(af->tree, &call);
	return n;
}

static void attr_release(struct file *f)
{
	struct attr_file *af = f->priv;

	tree_source_put(af->tree, af->src);
	text_put(af->text);
	mutex_fini(&af->lock);
	free(af);
}

static const struct file_ops attr_file_ops = {
	.name = "sysfs",
	.read = attr_read,
	.write = attr_write,
	.release = attr_release,
};

uint64_t attr_size(const struct attr *a, void *priv)
{
	if (a->size)
		return a->size(priv);
	return a->pread || a->pwrite ? 0 : UVFIO_PAGE_SIZE;
}

int attr_file_create(struct tree *tree, struct source *src, const struct attr *a, struct task *t, int oflags,
		     struct file **out)
{
	int access = oflags & O_ACCMODE;
	struct attr_file *af;
	struct file *f;
	int rc;

	if (access != O_RDONLY && (!(a->mode & 0222) || !(a->store || a->pwrite)))
		return -EACCES;
	if (access != O_WRONLY && (!(a->mode & 0444) || !(a->show || a->pread)))
		return -EACCES;
	af = calloc(1, sizeof(*af));
	if (!af)
		return -ENOMEM;
	rc = file_create(t, &attr_file_ops, af, oflags, S_IFREG | a->mode, &f);
	if (rc) {
		free(af);
		return rc;
	}
	f->seek = FILE_SEEK_POS;
	f->size = attr_size(a, src->priv);
	af->tree = tree;
	af->attr = a;
	af->src = src;
	tree_source_get(tree, src);
	mutex_init(&af->lock, RANK_TREE);
	*out = f;
	return 0;
}
