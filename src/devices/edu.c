/* SPDX-License-Identifier: MIT */
/*
 * The educational device, register for register the one QEMU has (its manual is docs/specs/edu.rst there), so
 * that drivers and lessons written for it work here. It is also the model to copy: docs/MODELS.md walks
 * through this file.
 *
 * What it does: it tells who it is, inverts a word to prove that it lives, computes factorials, raises and
 * lowers its interrupt on demand, and moves bytes between memory and a buffer of 4096 bytes of its own, at
 * addresses of 28 bits (arg dma_mask). Factorials and DMA take time: its worker does them, and a driver
 * waits for the status bit, the start bit or the interrupt.
 *
 * Kept from QEMU because drivers can see it: accesses of another width than the register's are ignored and
 * read as all ones; DMA registers do not change while a transfer runs; a transfer always ends, and what
 * could not be read arrives as zeros. Better than there: a transfer outside the buffer moves nothing.
 *
 * Not in QEMU's: with PASIDs (arg pasid) there is one more DMA register, EDU_DMA_PASID, which says in whose address space
 * the next transfer finds its memory. All DMA is the worker's, so it may wait for pages (arg pri).
 *
 * No load has a side effect, so programs may see the registers without asking: edu_show_locked() after each change,
 * and before the interrupt that tells of it.
 *
 * One lock guards the registers. It is not held over DMA, whose target may be this very BAR; the buffer
 * needs no lock, as only the worker touches it.
 */
#include "base/lock.h"
#include "devices/devices.h"
#include <string.h>

enum edu_reg {
	EDU_ID = 0x00,        /* RO */
	EDU_LIVENESS = 0x04,  /* RW: reads the inverse of what was written */
	EDU_FACTORIAL = 0x08, /* RW: write n, read n! */
	EDU_STATUS = 0x20,    /* RW */
	EDU_IRQ = 0x24,       /* RO: causes not yet acknowledged */
	EDU_RAISE = 0x60,     /* WO: add causes and interrupt */
	EDU_ACK = 0x64,       /* WO: take causes away */
	EDU_DMA_SRC = 0x80,   /* RW, as those that follow 4 or 8 bytes wide */
	EDU_DMA_DST = 0x88,
	EDU_DMA_COUNT = 0x90,
	EDU_DMA_COMMAND = 0x98,
	EDU_DMA_PASID = 0xa0, /* 0: the device's own; not there without PASIDs */
};

/* Registers that programs may load by themselves. */
#define EDU_SHOWN 9
static const uint8_t edu_shown[EDU_SHOWN] = { EDU_ID, EDU_LIVENESS, EDU_FACTORIAL, EDU_STATUS, EDU_IRQ,
					      EDU_DMA_SRC, EDU_DMA_DST, EDU_DMA_COUNT, EDU_DMA_COMMAND };

#define EDU_ID_VALUE         0x010000ed
#define EDU_STATUS_COMPUTING BIT(0)
#define EDU_STATUS_IRQ       BIT(7) /* interrupt when the factorial is done */
#define EDU_IRQ_FACTORIAL    BIT(0)
#define EDU_IRQ_DMA          BIT(8)
#define EDU_DMA_START        BIT(0)
#define EDU_DMA_TO_MEMORY    BIT(1) /* else from memory to the buffer */
#define EDU_DMA_IRQ          BIT(2) /* interrupt when done */

/* Where the buffer is in the device's own address space, that is, in one of EDU_DMA_SRC and EDU_DMA_DST. */
#define EDU_BUFFER      0x40000u
#define EDU_BUFFER_SIZE 4096u

/* The DMA registers. */
struct edu_dma {
	uint64_t src, dst, count, command;
	uint32_t pasid;
};

/*
 * [I] immutable after create   [l] lock   [w] the worker's alone
 */
struct edu {
	struct pci_dev *dev;       /* [I] */
	struct pci_worker *worker; /* [I] */
	uint64_t dma_mask;         /* [I] address bits the device has */
	uint32_t pasids;           /* [I] PASIDs it has; 0: none */
	struct mutex lock;         /* RANK_MODEL */
	uint32_t liveness;         /* [l] */
	uint32_t factorial;        /* [l] */
	uint32_t status;           /* [l] */
	uint32_t irq;              /* [l] */
	struct edu_dma dma;        /* [l] */
	uint64_t shown[EDU_SHOWN]; /* [l] what programs see of edu_shown[]; bit 32: anything */
	uint8_t buffer[EDU_BUFFER_SIZE]; /* [w] */
};

/* ---- loads ---- */

static uint64_t edu_load_locked(struct edu *e, uint64_t offset)
{
	switch (offset) {
	case EDU_ID:
		return EDU_ID_VALUE;
	case EDU_LIVENESS:
		return e->liveness;
	case EDU_FACTORIAL:
		return e->factorial;
	case EDU_STATUS:
		return e->status;
	case EDU_IRQ:
		return e->irq;
	case EDU_DMA_SRC:
		return e->dma.src;
	case EDU_DMA_DST:
		return e->dma.dst;
	case EDU_DMA_COUNT:
		return e->dma.count;
	case EDU_DMA_COMMAND:
		return e->dma.command;
	case EDU_DMA_PASID:
		return e->pasids ? e->dma.pasid : UINT64_MAX;
	default:
		return UINT64_MAX;
	}
}

/* Loads of 4 bytes need not come to edu_read(). */
static void edu_show_locked(struct edu *e)
{
	for (size_t i = 0; i < EDU_SHOWN; i++) {
		uint64_t value = (uint32_t)edu_load_locked(e, edu_shown[i]) | BIT64(32);

		if (value == e->shown[i])
			continue;
		e->shown[i] = value;
		pci_mirror_set(e->dev, 0, edu_shown[i], &value, 4);
	}
}

/* ---- interrupts ---- */

static void edu_raise_locked(struct edu *e, uint32_t causes)
{
	e->irq |= causes;
	edu_show_locked(e);
	if (e->irq && !pci_irq_fire(e->dev, 0))
		pci_intx_set(e->dev, true);
}

static void edu_ack_locked(struct edu *e, uint32_t causes)
{
	e->irq &= ~causes;
	edu_show_locked(e);
	if (!e->irq)
		pci_intx_set(e->dev, false);
}

/* ---- the worker ---- */

/* n! modulo 2^32. From 34! on it is 0, so that no one waits for four billion multiplications. */
static uint32_t edu_factorial(uint32_t n)
{
	uint32_t product = 1;

	while (n && product)
		product *= n--;
	return product;
}

static void edu_compute(struct edu *e)
{
	SCOPED_LOCK(&e->lock);

	if (!(e->status & EDU_STATUS_COMPUTING))
		return;
	e->factorial = edu_factorial(e->factorial);
	e->status &= ~EDU_STATUS_COMPUTING;
	edu_show_locked(e);
	if (e->status & EDU_STATUS_IRQ)
		edu_raise_locked(e, EDU_IRQ_FACTORIAL);
}

/* The @count bytes of the buffer at @address, or NULL: not all of them are there. */
static uint8_t *edu_buffer(struct edu *e, uint64_t address, uint64_t count)
{
	uint64_t offset = address - EDU_BUFFER;

	if (address < EDU_BUFFER || offset > EDU_BUFFER_SIZE || count > EDU_BUFFER_SIZE - offset)
		return NULL;
	return e->buffer + offset;
}

static void edu_move(struct edu *e, const struct edu_dma *dma)
{
	uint8_t *bytes;

	if (dma->command & EDU_DMA_TO_MEMORY) {
		bytes = edu_buffer(e, dma->src, dma->count);
		if (bytes)
			pci_dma_write_pasid(e->dev, dma->pasid, dma->dst & e->dma_mask, bytes, dma->count);
	} else {
		bytes = edu_buffer(e, dma->dst, dma->count);
		if (bytes && pci_dma_read_pasid(e->dev, dma->pasid, dma->src & e->dma_mask, bytes, dma->count))
			memset(bytes, 0, dma->count);
	}
}

static void edu_transfer(struct edu *e)
{
	struct edu_dma dma;

	mutex_lock(&e->lock);
	dma = e->dma;
	mutex_unlock(&e->lock);
	if (!(dma.command & EDU_DMA_START))
		return;

	edu_move(e, &dma);

	mutex_lock(&e->lock);
	/* A reset while the bytes moved has cleared the command, and then there is nobody to interrupt. */
	if (e->dma.command & EDU_DMA_START) {
		e->dma.command &= ~(uint64_t)EDU_DMA_START;
		edu_show_locked(e);
		if (e->dma.command & EDU_DMA_IRQ)
			edu_raise_locked(e, EDU_IRQ_DMA);
	}
	mutex_unlock(&e->lock);
}

static void edu_work(void *state)
{
	struct edu *e = state;

	edu_compute(e);
	edu_transfer(e);
}

/* ---- registers ---- */

static bool edu_width_ok(uint64_t offset, unsigned width)
{
	return width == 4 || (width == 8 && offset >= EDU_DMA_SRC);
}

static void edu_store_dma_locked(struct edu *e, uint64_t offset, uint64_t value)
{
	if (e->dma.command & EDU_DMA_START)
		return;
	switch (offset) {
	case EDU_DMA_SRC:
		e->dma.src = value;
		break;
	case EDU_DMA_DST:
		e->dma.dst = value;
		break;
	case EDU_DMA_COUNT:
		e->dma.count = value;
		break;
	case EDU_DMA_PASID:
		e->dma.pasid = e->pasids ? value & (e->pasids - 1) : 0;
		break;
	case EDU_DMA_COMMAND:
		if (!(value & EDU_DMA_START))
			break;
		e->dma.command = value;
		pci_worker_kick(e->worker);
		break;
	}
}

static void edu_store_locked(struct edu *e, uint64_t offset, uint64_t value)
{
	switch (offset) {
	case EDU_LIVENESS:
		e->liveness = ~(uint32_t)value;
		break;
	case EDU_FACTORIAL:
		if (e->status & EDU_STATUS_COMPUTING)
			break;
		e->factorial = value;
		e->status |= EDU_STATUS_COMPUTING;
		pci_worker_kick(e->worker);
		break;
	case EDU_STATUS:
		e->status = (e->status & ~EDU_STATUS_IRQ) | (value & EDU_STATUS_IRQ);
		break;
	case EDU_RAISE:
		edu_raise_locked(e, value);
		return;
	case EDU_ACK:
		edu_ack_locked(e, value);
		return;
	default:
		edu_store_dma_locked(e, offset, value);
		break;
	}
	edu_show_locked(e);
}

static void edu_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct edu *e = state;
	uint64_t value;

	if (!edu_width_ok(offset, width)) {
		memset(data, 0xff, width);
		return;
	}
	mutex_lock(&e->lock);
	value = edu_load_locked(e, offset);
	mutex_unlock(&e->lock);
	memcpy(data, &value, width);
}

static void edu_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct edu *e = state;
	uint64_t value = 0;

	if (!edu_width_ok(offset, width))
		return;
	memcpy(&value, data, width);
	mutex_lock(&e->lock);
	edu_store_locked(e, offset, value);
	mutex_unlock(&e->lock);
}

/* ---- life ---- */

static void edu_registers_reset(struct edu *e)
{
	SCOPED_LOCK(&e->lock);

	e->liveness = 0;
	e->factorial = 0;
	e->status = 0;
	e->dma = (struct edu_dma){ 0 };
	edu_ack_locked(e, UINT32_MAX);
}

static void edu_reset(void *state)
{
	struct edu *e = state;

	/* The worker finds nothing to do any more; what it was doing is waited for. */
	edu_registers_reset(e);
	pci_worker_drain(e->worker);
	memset(e->buffer, 0, sizeof(e->buffer));
}

static void edu_destroy(void *state)
{
	struct edu *e = state;

	pci_worker_destroy(e->worker);
	mutex_fini(&e->lock);
	free(e);
}

static int edu_create(struct pci_dev *dev, const char *const *args, void **state)
{
	struct edu *e = calloc(1, sizeof(*e));
	const char *value;
	int rc;

	if (!e)
		return -ENOMEM;
	e->dev = dev;
	e->dma_mask = BIT64(28) - 1;
	e->pasids = pci_pasids(dev);
	mutex_init(&e->lock, RANK_MODEL);
	for (; args && *args; args++) {
		value = model_arg(*args, "dma_mask");
		if (value)
			model_size_parse(value, &e->dma_mask); /* edu_shape() has seen it */
	}
	rc = pci_worker_create(dev, edu_work, e, &e->worker);
	if (rc)
		goto err_free;
	mutex_lock(&e->lock);
	edu_show_locked(e);
	mutex_unlock(&e->lock);
	*state = e;
	return 0;

err_free:
	mutex_fini(&e->lock);
	free(e);
	return rc;
}

static int edu_shape(struct pci_model *copy, const char *arg, char *err, size_t err_size)
{
	const char *value = model_arg(arg, "dma_mask");
	uint64_t mask;

	if (value)
		return model_arg_number(value, &mask, err, err_size);
	return model_shape_common(copy, arg, "dma_mask", err, err_size);
}

const struct pci_model edu_model = {
	.size = sizeof(struct pci_model),
	.name = "edu",
	.what = "QEMU's educational device: factorials, DMA, interrupts",
	.vendor = 0x1234,
	.device = 0x11e8,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
	.class_code = 0x00ff00,
	.revision = 0x10,
	.bar = { { .kind = PCI_BAR_MEM32, .size = 1024 * 1024 } },
	.intx_pin = 1,
	.msi_vectors = 1,
	.msi_64bit = true,
	.create = edu_create,
	.destroy = edu_destroy,
	.reset = edu_reset,
	.read = edu_read,
	.write = edu_write,
	.shape = edu_shape,
};
