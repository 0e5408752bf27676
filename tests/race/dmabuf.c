/* SPDX-License-Identifier: MIT */
/*
 * A BAR that is handed out as a dma-buf, mapped for another device, taken away again and used all the while, as memory
 * of the function goes and comes and the function is reset. While memory is on it can be mapped, while it is off it
 * cannot; and a mapping that has once been revoked reaches nothing, for good, whatever memory is then.
 */
#include "gated.h"
#include "peer.h"
#include "abi/iommufd.h"

#define BDF    "0000:01:00.0"
#define LENGTH 0x4000u
#define AT     0x1000000u

#define FLAGS  (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_FIXED_IOVA)

static int ctx;
static uint32_t ioas;
static struct peer peer;
static struct gated g;
static const struct gated_user user[] = { { &g, 1 }, { &g, 2 } };
static atomic_uint mapped, refused, reached, dead;

static int export(void)
{
	struct {
		struct vfio_device_feature f;
		struct vfio_device_feature_dma_buf d;
		struct vfio_region_dma_range r;
	} a = {
		.f = { .argsz = sizeof(a), .flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF },
		.d = { .region_index = VFIO_PCI_BAR2_REGION_INDEX, .open_flags = O_RDWR | O_CLOEXEC, .nr_ranges = 1 },
		.r = { .length = LENGTH },
	};
	int buf = (int)race_ioctl(g.device, VFIO_DEVICE_FEATURE, &a);

	MUST(buf >= 0);
	return buf;
}

static long buf_map(int buf)
{
	struct iommu_ioas_map_file a = {
		.size = sizeof(a), .flags = FLAGS, .ioas_id = ioas, .fd = buf, .length = LENGTH, .iova = AT,
	};

	return race_ioctl(ctx, IOMMU_IOAS_MAP_FILE, &a);
}

static void buf_unmap(void)
{
	struct iommu_ioas_unmap a = { .size = sizeof(a), .ioas_id = ioas, .iova = AT, .length = LENGTH };

	MUST(race_ioctl(ctx, IOMMU_IOAS_UNMAP, &a) == 0);
}

static bool take(int buf)
{
	struct gated_moment m = gated_now(&g, BY_CALL);
	bool ok = race_may(buf_map(buf), ENODEV);

	MUST(ok || !gated_still(&g, BY_CALL, m, ON) || !gated_quiet(&g, m));
	MUST(!ok || !gated_still(&g, BY_CALL, m, OFF));
	atomic_fetch_add(ok ? &mapped : &refused, 1);
	return ok;
}

/* What was mapped by @m at the latest: has memory been off for sure since, or a reset been and gone? */
static bool revoked(struct gated_moment m)
{
	struct gated_moment now = gated_now(&g, BY_CALL);

	for (unsigned step = m.step + 1; step <= now.step; step++) {
		if (step % STEPS == OFF)
			return true;
	}
	return now.resets_over > m.resets;
}

/* What does not arrive is more than the slot's value, and so can never be found in it. */
static void use(struct gated_slot *s, uint64_t *n, struct gated_moment since)
{
	for (unsigned i = 0; i < 20; i++) {
		struct gated_moment m = gated_now(&g, BY_CALL);
		bool is_dead = revoked(since);

		peer_store(&peer, AT + 8 * s->index, ++*n);
		if (is_dead) {
			atomic_fetch_add(&dead, 1);
			return;
		}
		gated_stored(&g, s, *n, m, gated_still(&g, BY_CALL, since, ON) && gated_quiet(&g, since));
		atomic_fetch_add(&reached, s->sure);
	}
}

static void importer(void *arg)
{
	struct gated_slot s = { .index = 8 * user[0].n };
	uint64_t n = 0, v;

	while (!race_over()) {
		int buf = export();

		if (take(buf)) {
			use(&s, &n, gated_now(&g, BY_CALL));
			buf_unmap();
		}
		uvfio_close(race_m, buf);
		if (gated_call(&g, false, g.plain_at + 8 * s.index, &v))
			gated_loaded(&g, &s, v);
	}
}

static void switcher(void *arg)
{
	gated_switch(&g, race_rounds(400), gated_pm(&g), 2000);
}

static void resetter(void *arg)
{
	gated_resets(&g, race_rounds(600));
}

/* ---- */

static int cdev_open(const char *bdf)
{
	struct vfio_device_bind_iommufd b = { .argsz = sizeof(b), .iommufd = ctx };
	char path[128], *names;
	int device;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	MUST((names = uvfio_list_dir(race_m, path)));
	snprintf(path, sizeof(path), "/dev/vfio/devices/%.*s", (int)strcspn(names, "\n"), names);
	free(names);
	MUST((device = race_open(path)) >= 0);
	MUST(race_ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &b) == 0);
	return device;
}

static void begin(void)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_ioas_map map = { .size = sizeof(map), .flags = FLAGS, .length = 4096, .iova = PEER_WORD };

	race_begin();
	MUST((ctx = race_open("/dev/iommu")) >= 0);
	MUST(race_ioctl(ctx, IOMMU_IOAS_ALLOC, &alloc) == 0);
	peer_begin(&peer, cdev_open(PEER_BDF));
	attach.pt_id = map.ioas_id = ioas = alloc.out_ioas_id;
	map.user_va = (uintptr_t)peer.page;
	MUST(race_ioctl(peer.device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0);
	MUST(race_ioctl(ctx, IOMMU_IOAS_MAP, &map) == 0);
	gated_begin(&g, cdev_open(BDF));
}

static void end(const char *name)
{
	gated_end(&g);
	uvfio_close(race_m, g.device);
	uvfio_close(race_m, peer.device);
	uvfio_close(race_m, ctx);
	race_end();
	peer_end(&peer);
	gated_say(&g, name);
	printf("# mapped %u times, refused %u times; %u words arrived for sure, %u went where nothing was any more\n",
	       mapped, refused, reached, dead);
}

int main(void)
{
	const struct race_actor switched[] = {
		ACTOR(switcher, NULL), HELPER(importer, NULL), HELPER(gated_accessor, &user[1]),
	};
	const struct race_actor reset[] = {
		ACTOR(resetter, NULL), HELPER(importer, NULL), HELPER(gated_accessor, &user[1]),
	};

	gated_catch();
	begin();
	race_run("dmabuf-switched", "a BAR handed out is reached while memory is on, and once revoked by no old mapping",
		 switched);
	end("switched");
	begin();
	race_run("dmabuf-reset", "a reset revokes what was handed out, and what is mapped afterwards is reached",
		 reset);
	end("reset");
	return 0;
}
