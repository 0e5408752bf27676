/* SPDX-License-Identifier: MIT */
/*
 * Accesses of the test interface: a descriptor each. What one has pinned are items with numbers of their own; an unmap
 * takes those of its range, which then are not known any more.
 *
 * An item is made, from its pin on, with the lock held that the callback takes: an unmap that comes in between waits, and
 * finds it.
 *
 * Spec: 31, part 1; 30, section 5.
 */
#include "iommufd/mock.h"
#include <fcntl.h>

#define LENGTH_MAX (16u << 20) /* bytes */

struct item {
	LIST_ENTRY(item) link;
	uint32_t id;
	iova_t iova;
	uint64_t length;
};

struct test_access {
	struct iommufd_ctx *ctx;         /* [I] which the access keeps */
	struct iommufd_access *access;   /* [I] */
	bool pins;                       /* [I] it may */
	struct mutex lock;               /* RANK_IOMMUFD_TEST */
	LIST_HEAD(, item) items;         /* [lock] */
	uint32_t next;                   /* [lock] */
};

/* ---- items; lock held ---- */

static void item_end(struct test_access *a, struct item *i)
{
	LIST_REMOVE(i, link);
	iommufd_access_unpin(a->access, i->iova, i->length);
	free(i);
}

static struct item *item_find(struct test_access *a, uint32_t id)
{
	struct item *i;

	LIST_FOREACH(i, &a->items, link) {
		if (i->id == id)
			break;
	}
	return i;
}

static void unmapped(void *priv, iova_t iova, uint64_t length)
{
	const iova_t last = length - 1 > UINT64_MAX - iova ? UINT64_MAX : iova + (length - 1);
	struct test_access *a = priv;
	struct item *i, *next;

	SCOPED_LOCK(&a->lock);
	for (i = LIST_FIRST(&a->items); i; i = next) {
		next = LIST_NEXT(i, link);
		if (i->iova <= last && i->iova + (i->length - 1) >= iova)
			item_end(a, i);
	}
}

static const struct iommufd_access_ops ops_pin = { .needs_pin_pages = true, .unmap = unmapped };
static const struct iommufd_access_ops ops_rw = { .unmap = unmapped };

/* ---- the descriptor ---- */

static void access_release(struct file *f)
{
	struct test_access *a = f->priv;

	if (a->access)
		iommufd_access_destroy(a->access);
	mutex_fini(&a->lock);
	free(a);
}

static const struct file_ops access_file_ops = {
	.name = "anon_inode:[iommufd_test_staccess]",
	.release = access_release,
};

/* -EBADFD: no descriptor of an access */
static int access_get(struct ucmd *u, struct file **f, struct test_access **out)
{
	const struct iommu_test_cmd *c = u->cmd;

	if (task_file_get(u->t, (int)c->id, f))
		return -EBADFD;
	if ((*f)->ops != &access_file_ops) {
		file_put(*f);
		return -EBADFD;
	}
	*out = (*f)->priv;
	return 0;
}

/* An operation on the access that the command names by its descriptor */
static int with_access(struct ucmd *u, int (*fn)(struct ucmd *u, struct test_access *a))
{
	struct test_access *a;
	struct file *f;
	int rc = access_get(u, &f, &a);

	if (rc)
		return rc;
	rc = fn(u, a);
	file_put(f);
	return rc;
}

static int access_open(struct ucmd *u, uint32_t flags, struct test_access **access, struct file **out)
{
	struct test_access *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return -ENOMEM;
	a->ctx = u->ctx;
	a->pins = flags & MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES;
	mutex_init(&a->lock, RANK_IOMMUFD_TEST);
	LIST_INIT(&a->items);
	rc = file_create(u->t, &access_file_ops, a, O_RDWR, S_IFREG | 0600, out);
	if (rc) {
		mutex_fini(&a->lock);
		free(a);
		return rc;
	}
	*access = a;
	return 0;
}

/*
 * What cannot be told is not made, and a descriptor that is there cannot be taken back: so it is tried first. Who takes the
 * memory away in between has a descriptor of an access to nothing.
 */
static int access_install(struct ucmd *u, struct test_access *a, struct file *f)
{
	struct iommu_test_cmd *c = u->cmd;
	int rc = ucmd_respond(u);

	if (!rc)
		rc = task_fd_install(u->t, f, O_RDWR | O_CLOEXEC);
	if (rc < 0)
		return rc;
	c->create_access.out_access_fd = (uint32_t)rc;
	rc = ucmd_respond(u);
	if (rc)
		iommufd_access_detach(a->access);
	return rc;
}

int iommufd_test_create_access(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	const uint32_t flags = c->create_access.flags;
	struct test_access *a;
	struct file *f;
	uint32_t id;
	int rc;

	if (flags & ~MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES)
		return -EOPNOTSUPP;
	rc = access_open(u, flags, &a, &f);
	if (rc)
		return rc;
	rc = iommufd_access_create(u->ctx, a->pins ? &ops_pin : &ops_rw, a, &a->access, &id);
	if (!rc)
		rc = iommufd_access_attach(a->access, c->id);
	if (!rc)
		rc = access_install(u, a, f);
	file_put(f);
	return rc;
}

/* ---- pins ---- */

static int compare(struct ucmd *u, const phys_t *pages, uint64_t n, uva_t uva)
{
	for (uint64_t i = 0; i < n; i++) {
		int rc = iommufd_test_same_page(u->ctx, u->t, pages[i], uva + (i << UVFIO_PAGE_SHIFT));

		if (rc)
			return rc == -EINVAL ? -EBADE : rc;
	}
	return 0;
}

static int pin_locked(struct ucmd *u, struct test_access *a, struct item *i, phys_t *pages, uint64_t n)
{
	struct iommu_test_cmd *c = u->cmd;
	const uint64_t offset = i->iova & (UVFIO_PAGE_SIZE - 1);
	int rc = iommufd_access_pin(a->access, i->iova, i->length, c->access_pages.flags & MOCK_FLAGS_ACCESS_WRITE, pages);

	if (rc)
		return rc;
	if (c->access_pages.uptr)
		rc = compare(u, pages, n, c->access_pages.uptr - offset);
	if (rc) {
		iommufd_access_unpin(a->access, i->iova, i->length);
		return rc;
	}
	i->id = a->next++;
	LIST_INSERT_HEAD(&a->items, i, link);
	c->access_pages.out_access_pages_id = i->id;
	return 0;
}

static int pin(struct ucmd *u, struct test_access *a, iova_t iova)
{
	const struct iommu_test_cmd *c = u->cmd;
	const uint64_t length = c->access_pages.length;
	const uint64_t n = (ALIGN_UP(iova + length, UVFIO_PAGE_SIZE) - ALIGN_DOWN(iova, UVFIO_PAGE_SIZE)) >> UVFIO_PAGE_SHIFT;
	phys_t *pages = calloc(MIN(n, LENGTH_MAX / UVFIO_PAGE_SIZE + 1) + 1, sizeof(*pages));
	struct item *i = calloc(1, sizeof(*i));
	int rc = -ENOMEM;

	if (pages && i) {
		i->iova = iova;
		i->length = length;
		mutex_lock(&a->lock);
		rc = pin_locked(u, a, i, pages, n);
		mutex_unlock(&a->lock);
	}
	if (rc)
		free(i);
	free(pages);
	return rc;
}

static int unpin(struct test_access *a, uint32_t id)
{
	struct item *i;

	SCOPED_LOCK(&a->lock);
	i = item_find(a, id);
	if (!i)
		return -ENOENT;
	item_end(a, i);
	return 0;
}

/* A fuzzer's address in the address space of the access */
static iova_t by_area(struct test_access *a, iova_t iova)
{
	struct iommufd_ioas *ioas = iommufd_access_ioas_visit(a->access);

	if (!ioas)
		return 0;
	iova = iommufd_test_area(ioas, iova);
	iommufd_ioas_leave(ioas);
	return iova;
}

static int access_pages(struct ucmd *u, struct test_access *a)
{
	struct iommu_test_cmd *c = u->cmd;
	int rc;

	if (c->access_pages.flags & MOCK_FLAGS_ACCESS_SYZ)
		c->access_pages.iova = by_area(a, c->access_pages.iova);
	rc = a->pins ? pin(u, a, c->access_pages.iova) : -EOPNOTSUPP;
	if (rc)
		return rc;
	rc = ucmd_respond(u);
	if (rc)
		unpin(a, c->access_pages.out_access_pages_id);
	return rc;
}

int iommufd_test_access_pages(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;

	if (c->access_pages.length > LENGTH_MAX)
		return -ENOMEM;
	if (c->access_pages.flags & ~(MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ))
		return -EOPNOTSUPP;
	return with_access(u, access_pages);
}

static int destroy_pages(struct ucmd *u, struct test_access *a)
{
	const struct iommu_test_cmd *c = u->cmd;

	return unpin(a, c->destroy_access_pages.access_pages_id);
}

int iommufd_test_destroy_pages(struct ucmd *u)
{
	return with_access(u, destroy_pages);
}

/* ---- copies ---- */

static int copy(struct ucmd *u, struct test_access *a)
{
	const struct iommu_test_cmd *c = u->cmd;
	const bool write = c->access_rw.flags & MOCK_ACCESS_RW_WRITE;
	const uint64_t length = c->access_rw.length;
	const iova_t iova = c->access_rw.flags & MOCK_FLAGS_ACCESS_SYZ ? by_area(a, c->access_rw.iova) : c->access_rw.iova;
	/* The slow way is the one of threads that are nobody's. */
	struct task *t = c->access_rw.flags & MOCK_ACCESS_RW_SLOW_PATH ? NULL : u->t;
	void *data = calloc(1, length ? length : 1);
	int rc = 0;

	if (!data)
		return -ENOMEM;
	if (write)
		rc = task_copy_in(u->t, data, c->access_rw.uptr, length);
	if (!rc)
		rc = iommufd_access_rw(a->access, t, iova, data, length, write);
	if (!rc && !write)
		rc = task_copy_out(u->t, c->access_rw.uptr, data, length);
	free(data);
	return rc;
}

int iommufd_test_access_rw(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;

	if (c->access_rw.length > LENGTH_MAX)
		return -ENOMEM;
	if (c->access_rw.flags & ~(MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH | MOCK_FLAGS_ACCESS_SYZ))
		return -EOPNOTSUPP;
	return with_access(u, copy);
}

static int replace(struct ucmd *u, struct test_access *a)
{
	const struct iommu_test_cmd *c = u->cmd;

	return iommufd_access_replace(a->access, c->access_replace_ioas.ioas_id);
}

int iommufd_test_access_replace(struct ucmd *u)
{
	return with_access(u, replace);
}
