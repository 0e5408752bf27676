/* SPDX-License-Identifier: MIT */
/* The pages that virtual IOMMUs give to programs, and who has them mapped. */
#include "nested.h"
#include "process.h"
#include <signal.h>

static int fd;
static uint32_t parent, dev;

/* A context with a device on an IOAS, and a nest parent over the same */
static void begin(void)
{
	uint32_t ioas;

	fd = iommu_open();
	ioas = ioas_alloc(fd);
	dev = mock(fd, ioas, 0).dev;
	parent = paging(fd, dev, ioas, PARENT, 0);
}

static uint32_t alloc(struct iommu_viommu_selftest *data)
{
	uint32_t id;

	EXPECT_OK(viommu_alloc_data(fd, dev, parent, IOMMU_VIOMMU_TYPE_SELFTEST, data, sizeof(*data), &id));
	return id;
}

TEST(map, "30:IFD-179 31:TST-37", "the region of a VIOMMU is mapped whole, at the offset it was given")
{
	struct iommu_viommu_selftest data = { .in_data = 0x1badcafe }, second = { .in_data = 2 };
	uint32_t id, other, *p, *q;
	uint64_t at, n;

	begin();
	id = alloc(&data);
	other = alloc(&second);
	at = data.out_mmap_offset;
	n = data.out_mmap_length;
	EXPECT(at != second.out_mmap_offset);
	EXPECT(x_mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENXIO);
	EXPECT(x_mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 1ull << 40) == MAP_FAILED && errno == ENXIO);
	EXPECT(x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, at) == MAP_FAILED && errno == ENXIO);
	EXPECT(x_mmap(NULL, n + PAGE, PROT_READ, MAP_SHARED, fd, at) == MAP_FAILED && errno == ENXIO);
	EXPECT(x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, at + PAGE) == MAP_FAILED && errno == ENXIO);
	EXPECT(x_mmap(NULL, n, PROT_READ, MAP_SHARED, fd, at + PAGE) == MAP_FAILED && errno == ENXIO);
	EXPECT(x_mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, at) == MAP_FAILED && errno == EINVAL);
	EXPECT(x_mmap(NULL, n, PROT_READ | PROT_EXEC, MAP_SHARED, fd, at) == MAP_FAILED && errno == EPERM);
	p = x_mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
	EXPECT(p != MAP_FAILED);
	EXPECT_EQ(0x1badcafe, *p);
	q = x_mmap(NULL, n, PROT_READ, MAP_SHARED, fd, at);
	EXPECT(q != MAP_FAILED);
	p[PAGE / 4] = 7; /* both see one memory */
	EXPECT_EQ(7, q[PAGE / 4]);
	EXPECT_ERR(EBUSY, destroy(fd, id));
	EXPECT_OK(destroy(fd, other));
	EXPECT(x_mmap(NULL, n, PROT_READ, MAP_SHARED, fd, second.out_mmap_offset) == MAP_FAILED && errno == ENXIO);
	EXPECT_OK(x_munmap(p, n));
	EXPECT_ERR(EBUSY, destroy(fd, id));
	EXPECT_OK(x_munmap(q, n));
	EXPECT_OK(destroy(fd, id));
	EXPECT(x_mmap(NULL, n, PROT_READ, MAP_SHARED, fd, at) == MAP_FAILED && errno == ENXIO);
}

TEST(map_lives, "30:IFD-179", "a mapping outlives the descriptor of its context")
{
	struct iommu_viommu_selftest data = { .in_data = 0x5eed };
	uint32_t *p;

	begin();
	alloc(&data);
	p = x_mmap(NULL, data.out_mmap_length, PROT_READ, MAP_SHARED, fd, data.out_mmap_offset);
	EXPECT(p != MAP_FAILED);
	EXPECT_OK(x_close(fd));
	EXPECT_EQ(0x5eed, *p);
	EXPECT_OK(x_munmap(p, data.out_mmap_length));
}

/* A VIOMMU with a region, and that mapped */
struct region {
	uint32_t id;
	uint64_t at, n;
	volatile uint32_t *p;
};

static struct region region(uint32_t word)
{
	struct iommu_viommu_selftest data = { .in_data = word };
	struct region r = { .id = alloc(&data) };

	r.at = data.out_mmap_offset;
	r.n = data.out_mmap_length;
	r.p = x_mmap(NULL, r.n, PROT_READ, MAP_SHARED, fd, r.at);
	EXPECT(r.p != MAP_FAILED);
	return r;
}

TEST(map_counts, "30:IFD-179", "pages count from mmap on, touched or not, until the last is unmapped or mapped over")
{
	struct region a, b;

	begin();
	a = region(1);
	EXPECT_ERR(EBUSY, destroy(fd, a.id));
	EXPECT_OK(x_munmap((void *)a.p, PAGE));
	EXPECT_ERR(EBUSY, destroy(fd, a.id));
	EXPECT_EQ(0, a.p[PAGE / 4]);
	EXPECT_ERR(EBUSY, destroy(fd, a.id));
	EXPECT_OK(x_munmap((char *)a.p + PAGE, PAGE));
	EXPECT_OK(destroy(fd, a.id));
	a = region(2);
	b = region(3);
	EXPECT_EQ(2, *a.p);
	EXPECT(x_mmap((void *)a.p, a.n, PROT_READ, MAP_SHARED | MAP_FIXED, fd, b.at) == a.p);
	EXPECT_OK(destroy(fd, a.id));
	EXPECT_OK(x_munmap((void *)b.p, b.n));
	EXPECT_ERR(EBUSY, destroy(fd, b.id));
	EXPECT_EQ(3, *a.p);
	EXPECT_ERR(EBUSY, destroy(fd, b.id));
	EXPECT_OK(x_munmap((void *)a.p, a.n));
	EXPECT_OK(destroy(fd, b.id));
	EXPECT_OK(destroy(fd, parent));
}

/* A child that does what it is told, one letter at a time, and says an errno or 0 */
struct child {
	pid_t pid;
	int ask, said;
};

static int child_does(char what, struct region *r)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	switch (what) {
	case 't':
		return *r->p == 4 ? 0 : EIO;
	case 'u':
		return x_munmap((void *)r->p, r->n) ? errno : 0;
	case 'o':
		return mmap((void *)r->p, r->n, PROT_READ, flags, -1, 0) == MAP_FAILED ? errno : 0;
	default:
		return destroy(fd, r->id) ? errno : 0;
	}
}

/* It is a grandchild, and its parent gone, when @orphan. */
static struct child child(struct region *r, bool orphan)
{
	int ask[2], said[2];
	struct child c;
	char b;

	EXPECT_OK(pipe(ask));
	EXPECT_OK(pipe(said));
	c = (struct child){ .pid = EXPECT_OK(fork()), .ask = ask[1], .said = said[0] };
	if (c.pid == 0) {
		close(ask[1]);
		close(said[0]);
		if (orphan && fork())
			_exit(0);
		while (read(ask[0], &b, 1) == 1) {
			b = (char)child_does(b, r);
			if (write(said[1], &b, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	close(ask[0]);
	close(said[1]);
	if (orphan) {
		EXPECT(waitpid(c.pid, NULL, 0) == c.pid);
		c.pid = 0;
	}
	EXPECT_OK(x_munmap((void *)r->p, r->n));
	return c;
}

static int ask(struct child *c, char what)
{
	char b = what;

	EXPECT_EQ(1, write(c->ask, &b, 1));
	EXPECT_EQ(1, read(c->said, &b, 1));
	return b;
}

/* An orphan is gone when nobody can write any more. */
static void end(struct child *c)
{
	char b;

	close(c->ask);
	EXPECT_EQ(0, read(c->said, &b, 1));
	close(c->said);
	if (c->pid)
		EXPECT(waitpid(c->pid, NULL, 0) == c->pid);
}

TEST(map_fork, "30:IFD-179", "what a child has inherited counts, until it unmaps it or maps something over it")
{
	struct region r;
	struct child c;

	need_processes();
	begin();
	for (unsigned i = 0; i < 4; i++) {
		r = region(4);
		if (i % 2)
			EXPECT_EQ(4, *r.p);
		c = child(&r, false);
		EXPECT_ERR(EBUSY, destroy(fd, r.id));
		EXPECT_EQ(0, ask(&c, i / 2 ? 'u' : 'o'));
		EXPECT_OK(destroy(fd, r.id));
		end(&c);
	}
}

TEST(map_child, "30:IFD-179", "a child that was given the mapping touches it, and is refused as its parent")
{
	struct region r;
	struct child c;

	need_processes();
	begin();
	r = region(4);
	c = child(&r, false);
	EXPECT_EQ(EBUSY, ask(&c, 'd'));
	EXPECT_EQ(0, ask(&c, 't'));
	EXPECT_EQ(EBUSY, ask(&c, 'd'));
	EXPECT_ERR(EBUSY, destroy(fd, r.id));
	EXPECT_EQ(0, ask(&c, 'u'));
	EXPECT_EQ(0, ask(&c, 'd'));
	EXPECT_ERR(ENOENT, destroy(fd, r.id));
	end(&c);
}

TEST(map_ends, "30:IFD-179", "what a process has mapped goes with it: a child that exits, or is killed, or has no parent")
{
	struct region r;
	struct child c;

	need_processes();
	begin();
	for (unsigned i = 0; i < 3; i++) {
		r = region(4);
		c = child(&r, i == 2);
		EXPECT_ERR(EBUSY, destroy(fd, r.id));
		if (i == 1)
			EXPECT_OK(kill(c.pid, SIGKILL));
		end(&c);
		EXPECT_OK(destroy(fd, r.id));
	}
}
