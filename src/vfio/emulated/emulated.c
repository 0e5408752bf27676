/* SPDX-License-Identifier: MIT */
/*
 * The registers are bytes under one lock. A command is carried out in the call that writes it: pins under the
 * lock, so that the list of what is pinned is right when an unmap comes; copies without it, on a copy of the
 * data, because the program's memory may keep them waiting.
 */
#include "vfio/emulated/vfio_emulated.h"
#include "abi/vfio.h"
#include "base/lock.h"
#include <string.h>

#define ROOT     "/sys/devices/virtual/vfio-emulated"
#define PINS_MAX 4096

enum reg { ID, IOVA, COUNT, PROT, COMMAND, RESULT, PINNED, NOTICES, NOTICE_IOVA, NOTICE_LENGTH, REGS };
#define READ_ONLY(r) ((r) == ID || (r) >= RESULT)

/* One successful pin of one page. */
struct pin {
	iova_t iova;
	phys_t phys;
	LIST_ENTRY(pin) link;
};

struct vfio_emu {
	struct vfio_device v;
	struct dev dev;         /* name and sysfs only */
	struct tree *tree;      /* [I] */
	struct mem *mem;        /* [I] */
	struct mutex lock;      /* RANK_VFIO_EMULATED */
	uint64_t reg[REGS];     /* [lock] */
	uint8_t data[VFIO_EMU_SIZE - VFIO_EMU_DATA]; /* [lock] */
	LIST_HEAD(, pin) pins;  /* [lock] */
};

static struct vfio_emu *emu_of(struct vfio_device *v)
{
	return container_of(v, struct vfio_emu, v);
}

/* ---- pins ---- */

static int pins_add_locked(struct vfio_emu *e, iova_t iova, const phys_t *phys, int n)
{
	struct pin *p;

	for (int i = 0; i < n; i++) {
		p = calloc(1, sizeof(*p));
		if (!p) {
			while (i--) {
				p = LIST_FIRST(&e->pins);
				LIST_REMOVE(p, link);
				free(p);
			}
			return -ENOMEM;
		}
		p->iova = iova + (iova_t)i * UVFIO_PAGE_SIZE;
		p->phys = phys[i];
		LIST_INSERT_HEAD(&e->pins, p, link);
	}
	e->reg[PINNED] += (uint64_t)n;
	return 0;
}

static struct pin *pin_find_locked(struct vfio_emu *e, iova_t page)
{
	struct pin *p;

	LIST_FOREACH(p, &e->pins, link) {
		if (p->iova == page)
			break;
	}
	return p;
}

static void pin_drop_locked(struct vfio_emu *e, struct pin *p)
{
	vfio_unpin_pages(&e->v, p->iova, 1);
	LIST_REMOVE(p, link);
	free(p);
	e->reg[PINNED]--;
}

static int64_t do_pin_locked(struct vfio_emu *e)
{
	phys_t phys[VFIO_PIN_PAGES_MAX];
	iova_t iova = ALIGN_DOWN(e->reg[IOVA], UVFIO_PAGE_SIZE);
	int n, rc;

	if (e->reg[PINNED] + VFIO_PIN_PAGES_MAX > PINS_MAX)
		return -ENOSPC;
	n = vfio_pin_pages(&e->v, e->reg[IOVA], (int)e->reg[COUNT], (unsigned)e->reg[PROT], phys);
	if (n < 0)
		return n;
	rc = pins_add_locked(e, iova, phys, n);
	if (rc)
		vfio_unpin_pages(&e->v, iova, n);
	return rc ? rc : n;
}

/* Also what is not pinned may be unpinned: to show that nothing comes of it. */
static int64_t do_unpin_locked(struct vfio_emu *e)
{
	int n = (int)MIN(e->reg[COUNT], (uint64_t)VFIO_PIN_PAGES_MAX);

	for (int i = 0; i < n; i++) {
		iova_t page = ALIGN_DOWN(e->reg[IOVA], UVFIO_PAGE_SIZE) + (iova_t)i * UVFIO_PAGE_SIZE;
		struct pin *p = pin_find_locked(e, page);

		if (p)
			pin_drop_locked(e, p);
		else
			vfio_unpin_pages(&e->v, page, 1);
	}
	return 0;
}

static void emu_dma_unmap(struct vfio_device *v, iova_t iova, uint64_t length)
{
	struct vfio_emu *e = emu_of(v);
	struct pin *p, *next;

	SCOPED_LOCK(&e->lock);
	e->reg[NOTICES]++;
	e->reg[NOTICE_IOVA] = iova;
	e->reg[NOTICE_LENGTH] = length;
	for (p = LIST_FIRST(&e->pins); p; p = next) {
		next = LIST_NEXT(p, link);
		if (p->iova - iova < length)
			pin_drop_locked(e, p);
	}
}

/* ---- copies ---- */

/* A copy of what a command needs, for use without the lock. */
struct copy {
	uint64_t command;
	iova_t iova;
	size_t n;
	phys_t phys;
	uint8_t data[VFIO_EMU_SIZE - VFIO_EMU_DATA];
};

static int copy_prepare_locked(struct vfio_emu *e, struct copy *c)
{
	bool pinned = c->command == VFIO_EMU_LOAD || c->command == VFIO_EMU_STORE;
	struct pin *p;

	c->iova = e->reg[IOVA];
	if (e->reg[COUNT] > sizeof(c->data))
		return -EFBIG;
	c->n = e->reg[COUNT];
	memcpy(c->data, e->data, c->n);
	if (!pinned)
		return 0;
	p = pin_find_locked(e, ALIGN_DOWN(c->iova, UVFIO_PAGE_SIZE));
	if (!p || (c->iova & (UVFIO_PAGE_SIZE - 1)) + c->n > UVFIO_PAGE_SIZE)
		return -ENXIO;
	c->phys = p->phys + (c->iova & (UVFIO_PAGE_SIZE - 1));
	return 0;
}

static int copy_run(struct vfio_emu *e, struct task *t, struct copy *c)
{
	switch (c->command) {
	case VFIO_EMU_LOAD:
		return mem_read(e->mem, c->phys, c->data, c->n);
	case VFIO_EMU_STORE:
		return mem_write(e->mem, c->phys, c->data, c->n);
	default:
		return vfio_dma_rw(&e->v, t, c->iova, c->data, c->n, c->command == VFIO_EMU_COPY_OUT);
	}
}

static int64_t do_copy(struct vfio_emu *e, struct task *t, uint64_t command)
{
	struct copy c = { .command = command };
	int rc;

	mutex_lock(&e->lock);
	rc = copy_prepare_locked(e, &c);
	mutex_unlock(&e->lock);
	if (!rc)
		rc = copy_run(e, t, &c);
	if (!rc && (command == VFIO_EMU_COPY_IN || command == VFIO_EMU_LOAD)) {
		SCOPED_LOCK(&e->lock);
		memcpy(e->data, c.data, c.n);
	}
	return rc;
}

static void command_run(struct vfio_emu *e, struct task *t, uint64_t command)
{
	int64_t result = -EINVAL;

	if (command >= VFIO_EMU_COPY_IN && command <= VFIO_EMU_STORE)
		result = do_copy(e, t, command);
	SCOPED_LOCK(&e->lock);
	if (command == VFIO_EMU_PIN)
		result = do_pin_locked(e);
	else if (command == VFIO_EMU_UNPIN)
		result = do_unpin_locked(e);
	e->reg[RESULT] = (uint64_t)result;
}

/* ---- the file ---- */

static ssize_t emu_read(struct vfio_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct vfio_emu *e = emu_of(v);
	uint8_t image[VFIO_EMU_SIZE] = { 0 };

	if (pos >= sizeof(image))
		return -EINVAL;
	count = MIN(count, sizeof(image) - pos);
	mutex_lock(&e->lock);
	memcpy(image, e->reg, sizeof(e->reg));
	memcpy(image + VFIO_EMU_DATA, e->data, sizeof(e->data));
	mutex_unlock(&e->lock);
	return task_copy_out(t, buf, image + pos, count) ? -EFAULT : (ssize_t)count;
}

/* Whole registers, or bytes of DATA. */
static ssize_t emu_write(struct vfio_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct vfio_emu *e = emu_of(v);
	uint8_t in[VFIO_EMU_SIZE - VFIO_EMU_DATA];
	uint64_t value;

	if (pos >= VFIO_EMU_SIZE || (pos < VFIO_EMU_DATA && (pos % 8 || count != 8)))
		return -EINVAL;
	count = MIN(count, VFIO_EMU_SIZE - MAX(pos, (uint64_t)VFIO_EMU_DATA));
	if (task_copy_in(t, in, buf, count))
		return -EFAULT;
	mutex_lock(&e->lock);
	memcpy(&value, in, MIN(count, sizeof(value)));
	if (pos >= VFIO_EMU_DATA)
		memcpy(e->data + (pos - VFIO_EMU_DATA), in, count);
	else if (pos / 8 < REGS && !READ_ONLY(pos / 8))
		e->reg[pos / 8] = value;
	mutex_unlock(&e->lock);
	if (pos == COMMAND * 8)
		command_run(e, t, value);
	return (ssize_t)count;
}

static long get_info(struct task *t, uint64_t arg)
{
	struct vfio_device_info info = { .argsz = 0 };
	int rc = ucopy_argsz(t, &info, arg, VFIO_DEVICE_INFO_MINSZ);

	if (rc)
		return rc;
	info.flags = 0;
	info.num_regions = 1;
	info.num_irqs = 0;
	return task_copy_out(t, arg, &info, MIN(info.argsz, sizeof(info)));
}

static long get_region_info(struct task *t, uint64_t arg)
{
	struct vfio_region_info info;
	int rc = ucopy_argsz(t, &info, arg, VFIO_REGION_INFO_MINSZ);

	if (rc)
		return rc;
	if (info.index)
		return -EINVAL;
	info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info.cap_offset = 0;
	info.size = VFIO_EMU_SIZE;
	info.offset = 0;
	return task_copy_out(t, arg, &info, sizeof(info));
}

static long emu_ioctl(struct vfio_device *v, struct task *t, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(t, arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info(t, arg);
	default:
		return -ENOTTY;
	}
}

static int emu_open(struct vfio_device *v)
{
	struct vfio_emu *e = emu_of(v);

	SCOPED_LOCK(&e->lock);
	memset(e->reg, 0, sizeof(e->reg));
	memset(e->data, 0, sizeof(e->data));
	memcpy(&e->reg[ID], "UVFIOEMU", 8);
	return 0;
}

static void emu_close(struct vfio_device *v)
{
	struct vfio_emu *e = emu_of(v);
	struct pin *p;

	SCOPED_LOCK(&e->lock);
	while ((p = LIST_FIRST(&e->pins)))
		pin_drop_locked(e, p);
}

#define COMMON                                                                                            \
	.name = "vfio-emulated", .open = emu_open, .close = emu_close, .ioctl = emu_ioctl, .read = emu_read, \
	.write = emu_write
static const struct vfio_device_ops emu_ops = { COMMON, .dma_unmap = emu_dma_unmap };
static const struct vfio_device_ops deaf_ops = { COMMON };

/* ---- life ---- */

int vfio_emu_create(struct vfio *vfio, struct tree *tree, struct mem *mem, const char *name, bool deaf,
		    struct vfio_emu **out)
{
	struct vfio_emu *e = calloc(1, sizeof(*e));
	struct node_stat st;
	int rc;

	if (!e)
		return -ENOMEM;
	e->tree = tree;
	e->mem = mem;
	mutex_init(&e->lock, RANK_VFIO_EMULATED);
	LIST_INIT(&e->pins);
	snprintf(e->dev.name, sizeof(e->dev.name), "%s", name);
	snprintf(e->dev.sysfs, sizeof(e->dev.sysfs), ROOT "/%s", e->dev.name);
	e->v = (struct vfio_device){ .ops = deaf ? &deaf_ops : &emu_ops, .dev = &e->dev };
	rc = tree_stat(tree, e->dev.sysfs, false, &st, NULL) ? tree_dir(tree, e->dev.sysfs) : -EEXIST;
	if (rc)
		goto err_free;
	rc = vfio_register(vfio, &e->v);
	if (rc)
		goto err_tree;
	*out = e;
	return 0;

err_tree:
	tree_remove(tree, e->dev.sysfs);
err_free:
	mutex_fini(&e->lock);
	free(e);
	return rc;
}

void vfio_emu_destroy(struct vfio_emu *e)
{
	if (!e)
		return;
	vfio_unregister(&e->v);
	tree_remove(e->tree, e->dev.sysfs);
	mutex_fini(&e->lock);
	free(e);
}
