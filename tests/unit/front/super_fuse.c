/* SPDX-License-Identifier: MIT */
/*
 * A file system of the program's own: one file, "f", of one page, that is all 'f', under a directory. What its server is
 * asked is counted: the machine must not ask it anything while it pins, as it could wait for the answer for ever.
 */
#include "super_fuse.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

union answer {
	struct fuse_init_out init;
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;
	struct fuse_open_out open;
	struct fuse_kstatfs statfs;
	char page[PAGE];
};

static void attr_of(struct fuse_attr *a, uint64_t node)
{
	a->ino = node;
	a->mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	a->nlink = 1;
	a->size = node == FUSE_ROOT_ID ? 0 : PAGE;
	a->blksize = PAGE;
}

/* Bytes of the answer; -1: there is none; or an error, as a negative errno below that. */
static int answer(const struct fuse_in_header *in, const void *arg, union answer *a)
{
	memset(a, 0, sizeof(*a));
	switch (in->opcode) {
	case FUSE_INIT:
		a->init.major = FUSE_KERNEL_VERSION;
		a->init.minor = ((const struct fuse_init_in *)arg)->minor;
		a->init.max_write = PAGE;
		return sizeof(a->init);
	case FUSE_LOOKUP:
		a->entry.nodeid = 2;
		attr_of(&a->entry.attr, 2);
		return sizeof(a->entry);
	case FUSE_GETATTR:
		attr_of(&a->attr.attr, in->nodeid);
		return sizeof(a->attr);
	case FUSE_OPEN:
		return sizeof(a->open);
	case FUSE_STATFS:
		return sizeof(a->statfs);
	case FUSE_READ:
		memset(a->page, 'f', PAGE);
		return PAGE;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		return 0;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return -1;
	default:
		return -ENOSYS;
	}
}

/* Until the connection ends. Before it begins there is nobody to read from. */
static ssize_t next_request(int dev, void *buf, size_t size)
{
	ssize_t n;

	while ((n = read(dev, buf, size)) < 0 && (errno == EPERM || errno == EINTR || errno == ENOENT))
		usleep(1000);
	return n;
}

static void serve(int dev, struct fuse_server *s)
{
	static char in[1 << 17];
	struct {
		struct fuse_out_header h;
		union answer a;
	} out;

	while (next_request(dev, in, sizeof(in)) > 0) {
		const struct fuse_in_header *h = (const void *)in;
		int n = answer(h, in + sizeof(*h), &out.a);

		if (h->opcode != FUSE_INTERRUPT && h->opcode != FUSE_FORGET && h->opcode != FUSE_BATCH_FORGET)
			atomic_fetch_add(s->asked, 1);
		if (h->opcode == FUSE_LOOKUP && s->mute) {
			atomic_store(s->stuck, true);
			continue;
		}
		if (n == -1)
			continue;
		out.h.unique = h->unique;
		out.h.error = n < 0 ? n : 0;
		out.h.len = (uint32_t)(sizeof(out.h) + (size_t)(n < 0 ? 0 : n));
		if (write(dev, &out, out.h.len) < 0 && errno != ENOENT)
			break;
	}
	_exit(0);
}

int fuse_start(struct fuse_server *s, bool mute)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	s->dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (s->dev < 0 || page == MAP_FAILED)
		return -1;
	s->asked = (void *)page;
	s->stuck = (void *)(page + sizeof(*s->asked));
	s->mute = mute;
	s->pid = fork();
	if (s->pid == 0)
		serve(s->dev, s);
	return 0;
}

int fuse_mount(const struct fuse_server *s, const char *dir)
{
	char options[128];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", s->dev);
	return mount("super-fuse", dir, "fuse", MS_NOSUID | MS_NODEV, options);
}

void fuse_stop(struct fuse_server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->dev);
}
