/* SPDX-License-Identifier: MIT */
/*
 * Dma-bufs of the test interface: memory of their own, which a program revokes and restores as hardware would.
 * Spec: 31, 1.
 */
#include "iommufd/mock.h"
#include <fcntl.h>

#define LENGTH_MAX (512 * UVFIO_PAGE_SIZE)

/* One name, so that ours are known by where it is. */
static const char exporter[] = "iommufd";

static int install(struct task *t, struct mem_dmabuf *buf, int oflags)
{
	struct file *f;
	int rc;

	if ((oflags & O_ACCMODE) == O_ACCMODE)
		oflags = (oflags & ~O_ACCMODE) | O_RDWR;
	rc = mem_dmabuf_open(buf, t, oflags & (O_ACCMODE | O_NONBLOCK), &f);
	if (rc)
		return rc;
	rc = task_fd_install(t, f, oflags & (O_ACCMODE | O_CLOEXEC));
	file_put(f);
	return rc;
}

int iommufd_test_dmabuf_get(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	const uint64_t length = ALIGN_UP((uint64_t)c->dmabuf_get.length, UVFIO_PAGE_SIZE);
	struct mem_dmabuf *buf;
	int rc;

	if (!length || length > LENGTH_MAX)
		return -EINVAL;
	rc = mem_dmabuf_create_memory(u->ctx->fd->mem, length, exporter, &buf);
	if (rc)
		return rc;
	rc = install(u->t, buf, (int)c->dmabuf_get.open_flags);
	mem_dmabuf_put(buf);
	return rc;
}

static int revoke(struct file *f, bool on)
{
	struct mem_dmabuf *buf = mem_dmabuf_of(f);

	if (!buf)
		return -EINVAL;
	if (mem_dmabuf_exporter(buf) != exporter)
		return -EOPNOTSUPP;
	mem_dmabuf_revoke(buf); /* what is mapped is lost either way */
	if (!on)
		mem_dmabuf_restore(buf);
	return 0;
}

int iommufd_test_dmabuf_revoke(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	struct file *f;
	int rc = task_file_get(u->t, c->dmabuf_revoke.dmabuf_fd, &f);

	if (rc)
		return rc == -EBADFD ? -EINVAL : rc;
	rc = revoke(f, c->dmabuf_revoke.revoked);
	file_put(f);
	return rc;
}
