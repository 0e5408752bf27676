/* SPDX-License-Identifier: MIT */
/* Whose pages they are that are pinned: by user, by process, and when another process takes them over. */
#include "mock.h"
#include "process.h"
#include <sys/mman.h>
#include <sys/resource.h>

#define BASE MOCK_APERTURE_START

static int fd;
static uint32_t ioas;
static struct mock dev;
static struct rlimit old_limit;

/* A context with a device; then 64 pages, and no right to lock more */
static void begin(void)
{
	struct rlimit low = { 64 * PAGE, 64 * PAGE };

	fd = iommu_open();
	ioas = ioas_alloc(fd);
	dev = mock(fd, ioas, 0);
	getrlimit(RLIMIT_MEMLOCK, &old_limit);
	low.rlim_max = old_limit.rlim_max;
	if (test_caps(CAPS_RAWIO | CAPS_ADMIN) || (low.rlim_max != RLIM_INFINITY && low.rlim_max < low.rlim_cur))
		test_skip("cannot be limited");
	setrlimit(RLIMIT_MEMLOCK, &low);
}

static void end(void)
{
	setrlimit(RLIMIT_MEMLOCK, &old_limit);
}

/* Another context, in which pages are counted by process if @by_process */
static int context(bool by_process, uint32_t *id)
{
	int ctx = iommu_open();

	if (by_process && option_set(ctx, IOMMU_OPTION_RLIMIT_MODE, 0, 1)) {
		EXPECT_EQ(EPERM, errno);
		end();
		test_skip("no right to choose");
	}
	*id = ioas_alloc(ctx);
	mock(ctx, *id, 0);
	return ctx;
}

TEST(by_user, "30:IFD-094 30:IFD-096", "pages of one user are counted together, in whichever contexts they are pinned")
{
	char *p = ram(64 * PAGE);
	uint32_t id;
	int other;

	begin();
	other = context(false, &id);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 40 * PAGE, BASE));
	EXPECT_ERR(ENOMEM, ioas_map_at(other, id, p, 25 * PAGE, BASE));
	EXPECT_OK(ioas_map_at(other, id, p, 24 * PAGE, BASE));
	EXPECT_ERR(ENOMEM, ioas_map_at(fd, ioas, p, PAGE, BASE + 0x100000));
	EXPECT_OK(x_close(other));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 24 * PAGE, BASE + 0x100000));
	end();
}

TEST(by_process, "30:IFD-094 30:IFD-090", "a context may count by process: what it has pinned the user's count does not see")
{
	char *p = ram(64 * PAGE);
	uint32_t id;
	int other;

	begin();
	other = context(true, &id);
	EXPECT_EQ(1, option_get(other, IOMMU_OPTION_RLIMIT_MODE, 0));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 64 * PAGE, BASE));
	EXPECT_OK(ioas_map_at(other, id, p, 64 * PAGE, BASE));
	EXPECT_OK(check_refs(fd, p, 64 * PAGE, 2));
	EXPECT_ERR(ENOMEM, ioas_map_at(other, id, p, PAGE, BASE + 0x100000));
	EXPECT_OK(ioas_unmap_n(other, id, BASE, 64 * PAGE));
	EXPECT_OK(ioas_map_at(other, id, p, PAGE, BASE + 0x100000));
	end();
}

static int child_ctx, child_limit;

static int take_over(void)
{
	struct iommu_ioas_change_process c = { .size = sizeof(c) };
	struct rlimit low = { (rlim_t)child_limit * PAGE, old_limit.rlim_max };

	setrlimit(RLIMIT_MEMLOCK, &low);
	return x_ioctl(child_ctx, IOMMU_IOAS_CHANGE_PROCESS, &c) ? errno : 0;
}

TEST(taken_over, "30:IFD-099 30:IFD-098", "who takes pages over has them counted; over its limit nothing changes")
{
	int file = memfd_create("x", 0), ctx;
	uint64_t iova = BASE;
	uint32_t id;
	char *p = ram(65 * PAGE);

	need_processes();
	EXPECT_OK(ftruncate(file, 40 * PAGE));
	begin();
	child_ctx = ctx = context(true, &id);
	EXPECT_OK(ioas_map_file(ctx, id, file, 0, 40 * PAGE, RW | FIXED, &iova));
	iova = BASE + 0x100000;
	child_limit = 39;
	EXPECT_EQ(ENOMEM, in_child(take_over));
	EXPECT_ERR(ENOMEM, ioas_map_at(ctx, id, p, 25 * PAGE, iova));
	child_limit = 40;
	EXPECT_EQ(0, in_child(take_over));
	EXPECT_ERR(ENOMEM, ioas_map_at(ctx, id, p, 65 * PAGE, iova));
	EXPECT_OK(ioas_map_at(ctx, id, p, 64 * PAGE, iova));
	EXPECT_OK(check_refs(fd, p, 64 * PAGE, 1));
	end();
	close(file);
}

/* ---- what is seen of it in /proc/PID/status ---- */

static long pinned(void)
{
	return status_pages(getpid(), "VmPin");
}

static long locked(void)
{
	return status_pages(getpid(), "VmLck");
}

TEST(pinned_shown, "30:IFD-096 30:IFD-097", "VmPin counts what is pinned for a process, once however many domains there are")
{
	char *p = ram(8 * PAGE);
	long was, lock;
	uint32_t none;

	need_status();
	begin();
	was = pinned();
	lock = locked();
	none = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, none, p, 8 * PAGE, BASE));
	EXPECT_EQ(was, pinned());
	mock(fd, none, 0);
	EXPECT_EQ(was + 8, pinned());
	mock(fd, none, 0);
	EXPECT_EQ(was + 8, pinned());
	EXPECT_OK(ioas_map_at(fd, ioas, p, 3 * PAGE, BASE));
	EXPECT_EQ(was + 11, pinned());
	EXPECT_OK(mlock(p, PAGE));
	EXPECT_EQ(lock + 1, locked());
	EXPECT_OK(munlock(p, PAGE));
	EXPECT_OK(ioas_unmap_n(fd, none, BASE, 8 * PAGE));
	EXPECT_EQ(was + 3, pinned());
	EXPECT_OK(x_close(fd));
	EXPECT_EQ(was, pinned());
	end();
}

TEST(locked_shown, "30:IFD-094 30:IFD-090", "pages counted by process are in its VmLck too, beside what it has locked itself")
{
	char *p = ram(8 * PAGE);
	long was, lock;
	uint32_t id;
	int ctx;

	need_status();
	begin();
	was = pinned();
	lock = locked();
	ctx = context(true, &id);
	EXPECT_OK(ioas_map_at(ctx, id, p, 8 * PAGE, BASE));
	EXPECT_EQ(was + 8, pinned());
	EXPECT_EQ(lock + 8, locked());
	EXPECT_OK(mlock(p, 2 * PAGE));
	EXPECT_EQ(lock + 10, locked());
	EXPECT_OK(x_close(ctx));
	EXPECT_EQ(lock + 2, locked());
	EXPECT_EQ(was, pinned());
	EXPECT_OK(munlock(p, 2 * PAGE));
	end();
}

static pid_t parent;
static long parent_was;

/* 0: what was the parent's is now shown as this process's; 1: it is still the parent's */
static int whose_now(void)
{
	int rc;

	if (status_pages(parent, "VmPin") != parent_was + 20 || pinned() != 0)
		return 100;
	rc = take_over();
	if (rc)
		return rc;
	if (status_pages(parent, "VmPin") == parent_was && pinned() == 20)
		return 0;
	return status_pages(parent, "VmPin") == parent_was + 20 && pinned() == 0 ? 1 : 101;
}

static int twenty_pages_of_a_file(void)
{
	int file = memfd_create("x", 0);
	uint64_t iova = BASE;

	EXPECT_OK(ftruncate(file, 20 * PAGE));
	parent = getpid();
	parent_was = pinned();
	child_ctx = fd;
	child_limit = 64;
	EXPECT_OK(ioas_map_file(fd, ioas, file, 0, 20 * PAGE, RW | FIXED, &iova));
	return file;
}

TEST(taken_over_shown, "30:IFD-098", "what is taken over is in VmPin of who took it")
{
	int file;

	need_status();
	begin();
	file = twenty_pages_of_a_file();
	EXPECT_EQ(0, in_child(whose_now));
	EXPECT_EQ(parent_was, pinned());
	end();
	close(file);
}

TEST(taken_over_uncounted, "30:IFD-098", "what nobody counts stays in VmPin of who mapped it")
{
	int file;

	need_status();
	begin();
	if (test_caps(CAPS_ALL)) {
		end();
		test_skip("no CAP_IPC_LOCK to be had");
	}
	file = twenty_pages_of_a_file();
	EXPECT_EQ(1, in_child(whose_now));
	EXPECT_EQ(parent_was + 20, pinned());
	end();
	close(file);
}

TEST(taken_over_twice, "30:IFD-099", "a user's pages count twice for the moment in which they pass from process to process")
{
	int file;

	need_processes();
	begin();
	file = twenty_pages_of_a_file();
	child_limit = 39;
	EXPECT_EQ(ENOMEM, in_child(take_over));
	child_limit = 40;
	EXPECT_EQ(0, in_child(take_over));
	end();
	close(file);
}

TEST(taken_over_private, "30:IFD-098", "memory that is no file's is not taken over")
{
	char *p = ram(PAGE);

	need_processes();
	begin();
	child_ctx = fd;
	child_limit = 64;
	EXPECT_EQ(0, in_child(take_over));
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, BASE));
	EXPECT_EQ(EINVAL, in_child(take_over));
	EXPECT_OK(check_map(fd, dev.hwpt, BASE, PAGE, p));
	end();
}
