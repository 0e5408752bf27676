/* SPDX-License-Identifier: MIT */
/* BARs as dma-bufs (DEVICE_FEATURE_DMA_BUF): what is exported, who reaches it, and when nobody does. */
#include "cdev.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define EDU_BUFFER 0x40000u
#define AT         0x100000ull /* IOVA: within the 28 bits of an edu's DMA */
#define LENGTH     0x4000ull
#define REGISTER   0x2800u     /* of the igb, keeps what is a multiple of 256 */

static int ctx, edu, igb;
static uint32_t ioas;
static volatile uint32_t *bar;

static int export_n(uint32_t region, uint32_t flags, const struct vfio_region_dma_range *r, uint32_t n, uint32_t oflags)
{
	struct {
		struct vfio_device_feature f;
		struct vfio_device_feature_dma_buf d;
		struct vfio_region_dma_range r[4];
	} a = {
		.f = { .argsz = sizeof(a), .flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF },
		.d = { .region_index = region, .open_flags = oflags, .flags = flags, .nr_ranges = n },
	};

	for (uint32_t i = 0; i < n && n <= 4; i++)
		a.r[i] = r[i];
	return x_ioctl(igb, VFIO_DEVICE_FEATURE, &a);
}

static int export(uint64_t offset, uint64_t length)
{
	return export_n(0, 0, &(struct vfio_region_dma_range){ offset, length }, 1, O_RDWR | O_CLOEXEC);
}

static int feature(uint32_t flags, uint32_t argsz)
{
	struct vfio_device_feature f = { .argsz = argsz, .flags = flags | VFIO_DEVICE_FEATURE_DMA_BUF };

	return x_ioctl(igb, VFIO_DEVICE_FEATURE, &f);
}

/* An edu that does DMA in an address space, and an igb whose BAR it is to reach */
static void begin(void)
{
	ctx = iommu_open();
	edu = cdev_take(EDU);
	igb = cdev_take(IGB);
	EXPECT_OK(cdev_bind(edu, ctx));
	EXPECT_OK(cdev_bind(igb, ctx));
	ioas = ioas_alloc(ctx);
	EXPECT_OK(cdev_attach_to(edu, ioas));
	bar = x_mmap(NULL, 0x100000, PROT_READ | PROT_WRITE, MAP_SHARED, edu, REGION(0));
	EXPECT((void *)bar != MAP_FAILED);
	config_write(edu, 4, 2, config_read(edu, 4, 2) | 6);
}

static int map_at(int buf, uint64_t iova)
{
	return ioas_map_file(ctx, ioas, buf, 0, LENGTH, RW | FIXED, &iova);
}

static uint32_t reg(void)
{
	uint32_t v;

	EXPECT_EQ(4, x_pread(igb, &v, 4, REGION(0) + REGISTER));
	return v;
}

/* Does a word that the edu writes to @iova arrive in the igb's register? Memory of the igb is on. */
static bool reached(uint64_t iova)
{
	static uint32_t word = 0x5a5a0000;
	uint32_t *from = ram(PAGE), zero = 0;
	uint64_t at = AT + 16 * LENGTH;

	*from = word += 0x100;
	EXPECT_EQ(4, x_pwrite(igb, &zero, 4, REGION(0) + REGISTER));
	EXPECT_OK(ioas_map_at(ctx, ioas, from, PAGE, at));
	edu_dma(bar, at, EDU_BUFFER, 4, 0);
	edu_dma(bar, EDU_BUFFER, iova + REGISTER, 4, 1);
	EXPECT_OK(ioas_unmap_n(ctx, ioas, at, PAGE));
	return reg() == word;
}

static void memory(bool on)
{
	uint32_t command = config_read(igb, 4, 2) & ~2u;

	config_write(igb, 4, 2, command | (on ? 2 : 0));
}

TEST(exported, "20:FTR-08", "a range of a BAR is a descriptor as the result, its end is its length, and it is not mapped")
{
	int buf;

	begin();
	EXPECT_EQ(0, feature(VFIO_DEVICE_FEATURE_PROBE, 8));
	EXPECT_EQ(0, feature(VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET, 8));
	EXPECT_ERR(EINVAL, feature(VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET, 8));
	EXPECT_ERR(EINVAL, feature(VFIO_DEVICE_FEATURE_SET, 256));
	EXPECT_ERR(EINVAL, feature(VFIO_DEVICE_FEATURE_GET, 8 + 15));
	buf = EXPECT_OK(export(0, LENGTH));
	EXPECT(buf > 0);
	EXPECT_EQ(LENGTH, x_lseek(buf, 0, SEEK_END));
	errno = 0;
	EXPECT(x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, buf, 0) == MAP_FAILED);
	EXPECT_EQ(EINVAL, errno);
	EXPECT_OK(x_close(buf));
}

TEST(ranges, "20:FTR-09", "ranges are whole pages inside one memory BAR; other regions have none")
{
	static const struct { uint64_t offset, length; int error; } bad[] = {
		{ 0, 0, EINVAL }, { 1, PAGE, EINVAL }, { 0, PAGE + 1, EINVAL }, { 0, 2048, EINVAL },
		{ 0x20000, PAGE, EINVAL }, { 0, 0x21000, EINVAL }, { 0x1f000, 2 * PAGE, EINVAL },
		{ -PAGE, PAGE, EOVERFLOW }, { -PAGE, 2 * PAGE, EOVERFLOW }, { 0, -PAGE, EINVAL },
	};
	struct vfio_region_dma_range two[2] = { { 0, PAGE }, { 0x8000, PAGE } };

	begin();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT_ERR(bad[i].error, export(bad[i].offset, bad[i].length));
	EXPECT_ERR(EINVAL, export_n(0, 0, two, 0, O_RDWR));
	EXPECT_ERR(EINVAL, export_n(0, 1, two, 1, O_RDWR));
	EXPECT_ERR(EINVAL, export_n(6, 1, two, 1, O_RDWR));
	EXPECT_ERR(ENODEV, export_n(4, 0, two, 1, O_RDWR)); /* absent */
	EXPECT_ERR(ENODEV, export_n(4, 0, &(struct vfio_region_dma_range){ 1, PAGE }, 1, O_RDWR));
	for (unsigned i = 6; i < 12; i++)
		EXPECT_ERR(ENODEV, export_n(i, 0, two, 1, O_RDWR));
	EXPECT_ERR(ENOMEM, export_n(0, 0, two, UINT32_MAX, O_RDWR));
	EXPECT_OK(x_close(EXPECT_OK(export(0, 0x20000))));
	EXPECT_OK(x_close(EXPECT_OK(export_n(0, 0, two, 2, O_RDWR))));
	two[1].length = -PAGE;
	EXPECT_ERR(EINVAL, export_n(0, 0, two, 2, O_RDWR)); /* the sum */
}

TEST(pieces, "20:FTR-08", "what is in several ranges can be exported, but no address space takes it")
{
	struct vfio_region_dma_range two[2] = { { 0, PAGE }, { 0x2000, LENGTH - PAGE } };
	int buf;

	begin();
	buf = EXPECT_OK(export_n(0, 0, two, 2, O_RDWR));
	EXPECT_EQ(LENGTH, x_lseek(buf, 0, SEEK_END));
	EXPECT_ERR(EOPNOTSUPP, map_at(buf, AT));
	memory(false);
	EXPECT_ERR(ENODEV, map_at(buf, AT));
	EXPECT_OK(x_close(buf));
}

TEST(reach, "20:FTR-08", "what is mapped of it is the BAR, for another device's DMA, also when the descriptor is closed")
{
	int buf;

	begin();
	EXPECT(!reached(AT));
	buf = EXPECT_OK(export(0, LENGTH));
	EXPECT_OK(map_at(buf, AT));
	EXPECT(reached(AT));
	EXPECT_OK(x_close(buf));
	EXPECT(reached(AT));
	EXPECT_OK(ioas_unmap_n(ctx, ioas, AT, LENGTH));
	EXPECT(!reached(AT));
}

TEST(born_off, "20:MEM-16", "exported while memory is off it is revoked: ENODEV; with memory on it can be mapped")
{
	int buf;

	begin();
	memory(false);
	buf = EXPECT_OK(export(0, LENGTH));
	EXPECT_ERR(ENODEV, map_at(buf, AT));
	memory(true);
	EXPECT_OK(map_at(buf, AT));
	EXPECT(reached(AT));
	EXPECT_OK(x_close(buf));
}

TEST(off, "20:MEM-17", "memory off ends what is mapped of it, and memory on does not bring that back, but a new mapping")
{
	int buf;

	begin();
	buf = EXPECT_OK(export(0, LENGTH));
	EXPECT_OK(map_at(buf, AT));
	EXPECT(reached(AT));
	memory(false);
	EXPECT_ERR(ENODEV, map_at(buf, AT + LENGTH));
	memory(true);
	EXPECT(!reached(AT));
	EXPECT_ERR(EEXIST, map_at(buf, AT)); /* the area is there still */
	EXPECT_OK(map_at(buf, AT + LENGTH));
	EXPECT(reached(AT + LENGTH) && !reached(AT));
	EXPECT_OK(ioas_unmap_n(ctx, ioas, AT, LENGTH));
	EXPECT_OK(map_at(buf, AT));
	EXPECT(reached(AT));
	EXPECT_OK(x_close(buf));
}

TEST(reset, "20:MEM-17", "a reset ends what is mapped of it, too")
{
	int buf;

	begin();
	buf = EXPECT_OK(export(0, LENGTH));
	EXPECT_OK(map_at(buf, AT));
	EXPECT_OK(x_ioctl(igb, VFIO_DEVICE_RESET, NULL));
	EXPECT(!reached(AT));
	EXPECT_OK(map_at(buf, AT + LENGTH));
	EXPECT(reached(AT + LENGTH));
	EXPECT_OK(x_close(buf));
}

TEST(asleep, "20:MEM-17", "so does D3hot; in D0 it can be mapped again")
{
	unsigned pm;
	int buf;

	begin();
	for (pm = config_read(igb, 0x34, 1); pm && config_read(igb, pm, 1) != 1; pm = config_read(igb, pm + 1, 1))
		;
	EXPECT(pm);
	buf = EXPECT_OK(export(0, LENGTH));
	EXPECT_OK(map_at(buf, AT));
	config_write(igb, pm + 4, 2, config_read(igb, pm + 4, 2) | 3);
	EXPECT_ERR(ENODEV, map_at(buf, AT + LENGTH));
	config_write(igb, pm + 4, 2, config_read(igb, pm + 4, 2) & ~3u);
	EXPECT(!reached(AT));
	EXPECT_OK(map_at(buf, AT + LENGTH));
	EXPECT(reached(AT + LENGTH));
	EXPECT_OK(x_close(buf));
}

TEST(low_power, "20:MEM-17", "so does low power mode; what is exported meanwhile is not revoked")
{
	struct vfio_device_feature f = { .argsz = sizeof(f), .flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY };
	int buf, late;

	begin();
	buf = EXPECT_OK(export(0, LENGTH));
	EXPECT_OK(map_at(buf, AT));
	EXPECT_OK(x_ioctl(igb, VFIO_DEVICE_FEATURE, &f));
	EXPECT_ERR(ENODEV, map_at(buf, AT + LENGTH));
	late = EXPECT_OK(export(0, LENGTH));
	EXPECT_OK(map_at(late, AT + LENGTH));
	f.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
	EXPECT_OK(x_ioctl(igb, VFIO_DEVICE_FEATURE, &f));
	EXPECT(!reached(AT));
	EXPECT_OK(map_at(buf, AT + 2 * LENGTH));
	EXPECT(reached(AT + 2 * LENGTH) && reached(AT + LENGTH));
	EXPECT_OK(x_close(buf));
	EXPECT_OK(x_close(late));
}

TEST(closed, "20:FTR-08", "the last close of the device ends it for good")
{
	int buf, old;

	begin();
	buf = EXPECT_OK(export(0, LENGTH));
	EXPECT_OK(map_at(buf, AT));
	EXPECT_OK(x_close(igb));
	EXPECT_ERR(ENODEV, map_at(buf, AT + LENGTH));
	igb = cdev_take(IGB);
	EXPECT_OK(cdev_bind(igb, ctx));
	EXPECT(!reached(AT));
	old = buf;
	buf = EXPECT_OK(export(0, LENGTH));
	memory(false);
	memory(true);
	EXPECT_ERR(ENODEV, map_at(old, AT + LENGTH));
	EXPECT_OK(map_at(buf, AT + LENGTH));
	EXPECT(reached(AT + LENGTH) && !reached(AT));
	EXPECT_EQ(LENGTH, x_lseek(old, 0, SEEK_END));
	EXPECT_OK(x_close(old));
	EXPECT_OK(x_close(buf));
}

TEST(bar_mapping, "20:MEM-14", "an address space takes no mapping of a BAR as memory: EFAULT")
{
	volatile uint32_t *map;

	begin();
	map = x_mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, igb, REGION(0));
	EXPECT((void *)map != MAP_FAILED);
	EXPECT_ERR(EFAULT, ioas_map_at(ctx, ioas, (void *)map, LENGTH, AT));
	(void)map[0]; /* a touched one neither */
	EXPECT_ERR(EFAULT, ioas_map_at(ctx, ioas, (void *)map, PAGE, AT));
}

/* ---- all of it at once ---- */

struct race {
	int buf;
	atomic_uint maps, refused, toggles, wrong;
	atomic_bool over;
};

/* Maps the dma-buf and takes it away again; while memory is off it is refused */
static void *maps(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->over)) {
		if (map_at(r->buf, AT) == 0) {
			if (ioas_unmap_n(ctx, ioas, AT, LENGTH))
				atomic_fetch_add(&r->wrong, 1);
			atomic_fetch_add(&r->maps, 1);
		} else {
			atomic_fetch_add(errno == ENODEV ? &r->refused : &r->wrong, 1);
		}
	}
	return NULL;
}

static void *toggles(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->over)) {
		unsigned turn = atomic_fetch_add(&r->toggles, 1);
		uint32_t command = turn & 1 ? 2 : 0;
		bool failed = turn % 5 == 4 ? x_ioctl(igb, VFIO_DEVICE_RESET, NULL) != 0
					    : x_pwrite(igb, &command, 2, REGION(7) + 4) != 2;

		if (failed)
			atomic_fetch_add(&r->wrong, 1);
		sched_yield();
	}
	return NULL;
}

TEST(race, "20:MEM-17 20:FTR-08", "exported, mapped, unmapped, revoked, returned and closed by several threads while an edu writes there")
{
	struct race r = { 0 };
	pthread_t thread[2];

	begin();
	r.buf = EXPECT_OK(export(0, LENGTH));
	EXPECT_EQ(0, pthread_create(&thread[0], NULL, maps, &r));
	EXPECT_EQ(0, pthread_create(&thread[1], NULL, toggles, &r));
	for (unsigned i = 0; i < (test_door() == DOOR_HOST ? 3 : 200); i++) {
		unsigned m = atomic_load(&r.maps), n = atomic_load(&r.refused);
		int buf = export(0x8000, LENGTH);

		if (buf < 0 || x_close(buf))
			atomic_fetch_add(&r.wrong, 1);
		edu_dma(bar, EDU_BUFFER, AT + REGISTER, 4, 1);
		while (atomic_load(&r.maps) == m || atomic_load(&r.refused) == n)
			sched_yield();
	}
	atomic_store(&r.over, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, atomic_load(&r.wrong));
	memory(true);
	EXPECT_OK(map_at(r.buf, AT));
	EXPECT(reached(AT));
	EXPECT_OK(x_close(r.buf));
}
