/* SPDX-License-Identifier: MIT */
/*
 * Intel I/OAT (CBDMA) with one channel: copies and fills memory as a chain of descriptors says. Spec 40,
 * section 1, and what DPDK's dma/ioat and Linux's driver use.
 *
 * A driver writes the address of a descriptor to CHAINADDR (the channel is ARMED) and the number of
 * descriptors it has issued since then to DMACOUNT, a counter of 16 bits that it lets run over. The channel
 * follows `next` until as many are done. So a ring needs one CHAINADDR for its life, and a descriptor may
 * point to itself. After each descriptor that asks for it, CHANSTS (the address of the last descriptor done,
 * and the state in its low bits) is written to the address in CHANCMP.
 *
 *                 CHAINADDR          DMACOUNT           all done
 *     HALTED(reset) ----> ARMED ----------> ACTIVE ----------> DONE
 *        ^                  ^                |  ^ DMACOUNT      |
 *        | RESET            | CHAINADDR      |  +---------------+
 *     any state        SUSPENDED <-----------+ SUSPEND (also from ARMED and DONE)
 *
 * An error sets a bit of CHANERR and halts the channel; RESET alone brings it back.
 *
 * Who runs the chain. A driver may read CHANSTS right after its DMACOUNT store, and a short job is done
 * before a thread could even wake up: so the store itself runs the first descriptors (IOAT_INLINE_*), and the
 * worker runs the rest, for no store may keep its caller. One of them runs at a time (`busy`) and the lock is
 * not held over DMA: while a descriptor is carried out other stores go through. Those that end the run (RESET,
 * SUSPEND) take effect at the next descriptor; reset() of the whole function waits for it.
 *
 * After an error the hardware takes its time to run again, and drivers rely on it: DPDK's dma/ioat restarts the
 * channel while it reports the failure, and loses count when a descriptor behind the failed one is done before it has
 * returned. So the first run after a RESET that followed an error is the worker's, after IOAT_RECOVERY_US.
 *
 * Not in Intel's: with PASIDs (arg pasid) the register IOAT_PASID says in whose address space all DMA of the channel takes
 * place. A function that asks for pages (arg pri) runs everything on the worker, as that may have to wait.
 *
 * Left out: DCA, XOR/PQ, the CHANNEL_IN_USE semaphore (stored as written), and the interrupt pin.
 */
#include "base/lock.h"
#include "devices/devices.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IOAT_BAR_SIZE      0x4000
#define IOAT_PASID         0x1000 /* RW, 4 bytes; 0: the device's own; not there without PASIDs */
#define IOAT_MSIX_TABLE    0x2000
#define IOAT_MSIX_PBA      0x3000
#define IOAT_XFERCAP       20 /* log2 of the longest transfer */
#define IOAT_CAP_FILL      BIT(6)

#define IOAT_CTRL_INT_DISABLE BIT(0) /* set with each interrupt; writing 1 clears it and so re-arms */
#define IOAT_CTRL_ERR_COMPLETION BIT(2) /* write the status to memory after an error too */
#define IOAT_CTRL_ERR_INT  BIT(4)
#define IOAT_CMD_SUSPEND   0x04
#define IOAT_CMD_RESET     0x20

enum ioat_state { IOAT_ACTIVE, IOAT_DONE, IOAT_SUSPENDED, IOAT_HALTED, IOAT_ARMED };
#define IOAT_STATE_MASK    0x7ull
#define IOAT_DESC_ALIGN    64

enum ioat_error {
	IOAT_ERR_SRC = BIT(0),
	IOAT_ERR_DST = BIT(1),
	IOAT_ERR_NEXT = BIT(2),     /* the address of a descriptor */
	IOAT_ERR_ALIGN = BIT(3),    /* of a descriptor */
	IOAT_ERR_READ = BIT(8),     /* what was read did not arrive: a descriptor */
	IOAT_ERR_CONTROL = BIT(10), /* operation not known */
	IOAT_ERR_LENGTH = BIT(11),
	IOAT_ERR_COMPLETION = BIT(12),
};

#define IOAT_DESC_INT      BIT(0)
#define IOAT_DESC_COMPLETION BIT(3)
#define IOAT_DESC_NULL     BIT(5)
#define IOAT_DESC_OP(ctl)  ((ctl) >> 24)
enum ioat_op { IOAT_OP_COPY = 0, IOAT_OP_FILL = 1 };

struct ioat_desc {
	uint32_t size, ctl;
	uint64_t src; /* fill: the pattern, 8 bytes */
	uint64_t dst, next;
	uint64_t rest[4];
};
static_assert(sizeof(struct ioat_desc) == IOAT_DESC_ALIGN, "descriptor");

/* The registers as they lie in BAR 0. Loads have no side effects. */
struct ioat_regs {
	uint8_t chancnt, xfercap, genctrl, intrctrl;
	uint32_t attnstatus;
	uint8_t version, reserved0[3];
	uint16_t intrdelay, cs_status;
	uint32_t capability;
	uint8_t reserved1[0x6c];
	uint16_t chanctrl, reserved2; /* 0x80: the channel */
	uint8_t chancmd, reserved3;
	uint16_t dmacount;
	uint64_t chansts, chainaddr, chancmp, reserved4;
	uint32_t chanerr, chanerrmask;
};
static_assert(offsetof(struct ioat_regs, chanctrl) == 0x80 && offsetof(struct ioat_regs, chanerr) == 0xa8, "registers");

/* Extended configuration space */
#define IOAT_CONFIG_DMAUNCERRSTS 0x148
#define IOAT_CONFIG_CHANERR_INT  0x180

/* What one store may run before the worker takes over. */
#define IOAT_INLINE_DESCS 256
#define IOAT_INLINE_BYTES (1024 * 1024)
#define IOAT_RECOVERY_US  10000
struct ioat_budget {
	unsigned descs;
	uint64_t bytes;
};

/*
 * [I] immutable after create   [l] lock   [r] the runner's, whoever has set busy
 */
struct ioat {
	struct pci_dev *dev;       /* [I] */
	struct pci_worker *worker; /* [I] */
	uint8_t version;           /* [I] */
	uint32_t pasids;           /* [I] PASIDs it has; 0: none */
	bool asks;                 /* [I] for pages */
	struct mutex lock;         /* RANK_MODEL */
	struct cond idle;          /* busy was cleared */
	bool busy;                 /* [l] somebody runs the chain */
	bool failed;               /* [l] halted by an error: needs RESET */
	bool recovering;           /* [l] reset after an error, and not run since */
	bool suspend, reset;       /* [l] asked for while a descriptor is carried out */
	unsigned generation;       /* [l] changes with each reset: what began before no longer counts */
	uint64_t next;             /* [l] the next descriptor */
	uint16_t done;             /* [l] descriptors since CHAINADDR */
	uint32_t chanerr_int, uncerrsts; /* [l] configuration space */
	uint32_t pasid;            /* [l] the register */
	struct ioat_regs regs;     /* [l] */
	struct ioat_regs shown;    /* [l] what the mirror says */
	uint32_t space;            /* [r] PASID of the descriptor that is carried out */
	uint8_t pattern[4096];     /* [r] */
};

/* ---- state ---- */

static enum ioat_state ioat_state(const struct ioat *e)
{
	return e->regs.chansts & IOAT_STATE_MASK;
}

/* @desc: the last descriptor done, 0 when there is none */
static void ioat_set_status(struct ioat *e, uint64_t desc, enum ioat_state state)
{
	e->regs.chansts = desc | state;
}

static void ioat_set_state(struct ioat *e, enum ioat_state state)
{
	ioat_set_status(e, e->regs.chansts & ~(IOAT_DESC_ALIGN - 1ull), state);
}

/* Let programs see the registers without asking us; 8 bytes at a time, so that CHANSTS is never torn. */
static void ioat_mirror_locked(struct ioat *e)
{
	const uint8_t *now = (const uint8_t *)&e->regs;
	uint8_t *shown = (uint8_t *)&e->shown;

	for (size_t at = 0; at < sizeof(e->regs); at += 8) {
		if (memcmp(now + at, shown + at, 8) == 0)
			continue;
		memcpy(shown + at, now + at, 8);
		pci_mirror_set(e->dev, 0, at, now + at, 8);
	}
}

static void ioat_channel_reset_locked(struct ioat *e)
{
	e->generation++;
	e->recovering |= e->failed;
	e->failed = e->suspend = e->reset = false;
	e->next = 0;
	e->done = 0;
	e->regs.chancmd = 0;
	e->regs.dmacount = 0;
	e->regs.chainaddr = 0;
	e->regs.chanerr = 0;
	ioat_set_status(e, 0, IOAT_HALTED);
}

static void ioat_power_on_locked(struct ioat *e)
{
	e->regs = (struct ioat_regs){
		.chancnt = 1,
		.xfercap = IOAT_XFERCAP,
		.version = e->version,
		.capability = IOAT_CAP_FILL,
	};
	e->chanerr_int = 0;
	e->uncerrsts = 0;
	e->pasid = 0;
	ioat_channel_reset_locked(e);
	e->recovering = false;
	ioat_mirror_locked(e);
}

static void ioat_interrupt_locked(struct ioat *e)
{
	if (e->regs.chanctrl & IOAT_CTRL_INT_DISABLE)
		return;
	e->regs.chanctrl |= IOAT_CTRL_INT_DISABLE;
	pci_msix_fire(e->dev, 0);
}

/* ---- one descriptor: no lock held ---- */

static uint32_t ioat_fill(struct ioat *e, const struct ioat_desc *d)
{
	uint64_t chunk;

	for (size_t i = 0; i < sizeof(e->pattern) && i < d->size; i += 8)
		memcpy(e->pattern + i, &d->src, 8);
	for (uint64_t at = 0; at < d->size; at += chunk) {
		chunk = MIN(d->size - at, sizeof(e->pattern));
		if (pci_dma_write_pasid(e->dev, e->space, d->dst + at, e->pattern, chunk))
			return IOAT_ERR_DST;
	}
	return 0;
}

static uint32_t ioat_copy(struct ioat *e, const struct ioat_desc *d)
{
	bool fault_write = false;

	if (pci_dma_copy_pasid(e->dev, e->space, d->dst, d->src, d->size, &fault_write))
		return fault_write ? IOAT_ERR_DST : IOAT_ERR_SRC;
	return 0;
}

/* Fetch the descriptor at @at and do what it says. Returns bits of CHANERR. */
static uint32_t ioat_execute(struct ioat *e, uint64_t at, struct ioat_desc *d)
{
	if (at % IOAT_DESC_ALIGN)
		return IOAT_ERR_ALIGN;
	if (pci_dma_read_pasid(e->dev, e->space, at, d, sizeof(*d)))
		return IOAT_ERR_NEXT | IOAT_ERR_READ;
	if (d->ctl & IOAT_DESC_NULL)
		return 0;
	if (d->size == 0 || d->size > BIT(IOAT_XFERCAP))
		return IOAT_ERR_LENGTH;
	switch (IOAT_DESC_OP(d->ctl)) {
	case IOAT_OP_COPY:
		return ioat_copy(e, d);
	case IOAT_OP_FILL:
		return ioat_fill(e, d);
	default:
		return IOAT_ERR_CONTROL;
	}
}

/* Tell the driver in its memory. */
static uint32_t ioat_complete(struct ioat *e, uint64_t chancmp, uint64_t status)
{
	if (!chancmp || !pci_dma_write_pasid(e->dev, e->space, chancmp, &status, sizeof(status)))
		return 0;
	return IOAT_ERR_COMPLETION;
}

/* ---- the chain ---- */

static void ioat_fail_locked(struct ioat *e, uint32_t errors)
{
	e->regs.chanerr |= errors;
	e->chanerr_int |= errors;
	e->failed = true;
	ioat_set_state(e, IOAT_HALTED);
	ioat_mirror_locked(e);
	if (e->regs.chanctrl & IOAT_CTRL_ERR_INT)
		ioat_interrupt_locked(e);
	if (e->regs.chanctrl & IOAT_CTRL_ERR_COMPLETION && !(errors & IOAT_ERR_COMPLETION)) {
		uint64_t chancmp = e->regs.chancmp, status = e->regs.chansts;

		/* From here on the driver may reset the channel and begin anew; the run loop looks again. */
		mutex_unlock(&e->lock);
		ioat_complete(e, chancmp, status);
		mutex_lock(&e->lock);
	}
}

/* Carry out the descriptor at e->next. Gives the lock up meanwhile; the caller has set busy. */
static void ioat_step_locked(struct ioat *e, struct ioat_budget *budget)
{
	uint64_t at = e->next, chancmp = e->regs.chancmp;
	unsigned generation = e->generation;
	bool last = (uint16_t)(e->done + 1) == e->regs.dmacount;
	struct ioat_desc d = { 0 };
	uint32_t errors;

	e->space = e->pasid;
	mutex_unlock(&e->lock);
	errors = ioat_execute(e, at, &d);
	if (!errors && d.ctl & IOAT_DESC_COMPLETION)
		errors = ioat_complete(e, chancmp, at | (last ? IOAT_DONE : IOAT_ACTIVE));
	mutex_lock(&e->lock);

	budget->descs--;
	budget->bytes -= MIN(budget->bytes, d.size);
	if (generation != e->generation)
		return;
	if (errors) {
		ioat_fail_locked(e, errors);
		return;
	}
	e->next = d.next;
	e->done++;
	ioat_set_status(e, at, e->done == e->regs.dmacount ? IOAT_DONE : IOAT_ACTIVE);
	if (d.ctl & IOAT_DESC_INT)
		ioat_interrupt_locked(e);
}

/* Run the chain until it is done, stopped, or the budget is used up: then the worker goes on. */
static void ioat_run_locked(struct ioat *e, struct ioat_budget budget)
{
	if (e->busy)
		return;
	e->busy = true;
	while (ioat_state(e) == IOAT_ACTIVE && budget.descs && budget.bytes) {
		ioat_step_locked(e, &budget);
		if (e->reset)
			ioat_channel_reset_locked(e);
		if (e->suspend && ioat_state(e) != IOAT_HALTED)
			ioat_set_state(e, IOAT_SUSPENDED);
		e->suspend = false;
		ioat_mirror_locked(e);
	}
	e->busy = false;
	cond_broadcast(&e->idle);
	if (ioat_state(e) == IOAT_ACTIVE)
		pci_worker_kick(e->worker);
}

static void ioat_work(void *state)
{
	struct ioat *e = state;
	const struct ioat_budget budget = { .descs = UINT32_MAX, .bytes = UINT64_MAX };

	mutex_lock(&e->lock);
	if (e->recovering) {
		mutex_unlock(&e->lock);
		usleep(IOAT_RECOVERY_US);
		mutex_lock(&e->lock);
		e->recovering = false;
	}
	ioat_run_locked(e, budget);
	mutex_unlock(&e->lock);
}

/* ---- stores ---- */

static void ioat_store_dmacount(struct ioat *e, uint64_t value)
{
	const struct ioat_budget budget = { .descs = IOAT_INLINE_DESCS, .bytes = IOAT_INLINE_BYTES };

	if (ioat_state(e) == IOAT_HALTED)
		return;
	e->regs.dmacount = value;
	if (e->done == e->regs.dmacount)
		return;
	ioat_set_state(e, IOAT_ACTIVE);
	ioat_mirror_locked(e);
	if (e->recovering || e->asks)
		pci_worker_kick(e->worker);
	else
		ioat_run_locked(e, budget);
}

static void ioat_store_chainaddr(struct ioat *e, uint64_t value)
{
	if (ioat_state(e) == IOAT_ACTIVE)
		return;
	e->regs.chainaddr = value;
	if (e->failed)
		return;
	e->next = value;
	e->done = 0;
	e->regs.dmacount = 0;
	ioat_set_status(e, 0, IOAT_ARMED);
}

static void ioat_store_chancmd(struct ioat *e, uint64_t value)
{
	bool running = e->busy && ioat_state(e) == IOAT_ACTIVE;

	if (value & IOAT_CMD_RESET) {
		if (running) {
			e->reset = true;
			e->regs.chancmd = IOAT_CMD_RESET; /* reads so until it has happened */
		} else {
			ioat_channel_reset_locked(e);
		}
	} else if (value & IOAT_CMD_SUSPEND) {
		if (running)
			e->suspend = true;
		else if (ioat_state(e) != IOAT_HALTED)
			ioat_set_state(e, IOAT_SUSPENDED);
	}
}

static void ioat_store_chanctrl(struct ioat *e, uint64_t value)
{
	uint16_t disabled = e->regs.chanctrl & IOAT_CTRL_INT_DISABLE;

	if (value & IOAT_CTRL_INT_DISABLE)
		disabled = 0;
	e->regs.chanctrl = (value & ~(uint64_t)IOAT_CTRL_INT_DISABLE) | disabled;
}

static void ioat_store_chancmp(struct ioat *e, uint64_t value)
{
	e->regs.chancmp = value & ~7ull;
}

static void ioat_store_chanerr(struct ioat *e, uint64_t value)
{
	e->regs.chanerr &= ~(uint32_t)value;
}

static void ioat_store_chanerrmask(struct ioat *e, uint64_t value)
{
	e->regs.chanerrmask = value;
}

static void ioat_store_intrctrl(struct ioat *e, uint64_t value)
{
	e->regs.intrctrl = value;
}

static void ioat_store_intrdelay(struct ioat *e, uint64_t value)
{
	e->regs.intrdelay = value;
}

/*
 * The registers that can be written. A store may cover a register, part of one (then the other bytes keep
 * their value; for those that act on ones they count as zero) or several, and takes effect in this order: the
 * doorbell comes last.
 */
static const struct ioat_register {
	uint16_t offset;
	uint8_t width;
	bool acts_on_ones;
	void (*store)(struct ioat *e, uint64_t value);
} ioat_registers[] = {
#define REGISTER(reg, ones)                                                                                  \
	{ offsetof(struct ioat_regs, reg), sizeof(((struct ioat_regs *)0)->reg), ones, ioat_store_##reg }
	REGISTER(intrctrl, false),
	REGISTER(intrdelay, false),
	REGISTER(chanctrl, false),
	REGISTER(chanerr, true),
	REGISTER(chanerrmask, false),
	REGISTER(chancmp, false),
	REGISTER(chainaddr, false),
	REGISTER(chancmd, true),
	REGISTER(dmacount, false),
#undef REGISTER
};

static void ioat_store_locked(struct ioat *e, const struct ioat_register *r, uint64_t offset, const uint8_t *data,
			      unsigned width)
{
	uint64_t first = MAX(offset, r->offset), end = MIN(offset + width, (uint64_t)r->offset + r->width);
	uint64_t value = 0;

	if (first >= end)
		return;
	if (!r->acts_on_ones)
		memcpy(&value, (uint8_t *)&e->regs + r->offset, r->width);
	memcpy((uint8_t *)&value + (first - r->offset), data + (first - offset), end - first);
	r->store(e, value);
}

static void ioat_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct ioat *e = state;

	mutex_lock(&e->lock);
	if (e->pasids && offset == IOAT_PASID && width == sizeof(e->pasid)) {
		memcpy(&e->pasid, data, width);
		e->pasid &= e->pasids - 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ioat_registers); i++)
		ioat_store_locked(e, &ioat_registers[i], offset, data, width);
	ioat_mirror_locked(e);
	mutex_unlock(&e->lock);
}

static void ioat_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct ioat *e = state;

	memset(data, 0, width);
	mutex_lock(&e->lock);
	if (offset < sizeof(e->regs))
		memcpy(data, (const uint8_t *)&e->regs + offset, MIN(width, sizeof(e->regs) - offset));
	else if (offset == IOAT_PASID && width == sizeof(e->pasid))
		memcpy(data, &e->pasid, width);
	mutex_unlock(&e->lock);
}

/* ---- configuration space: error status, cleared by writing ones ---- */

static uint32_t ioat_config_read(void *state, unsigned offset)
{
	struct ioat *e = state;
	SCOPED_LOCK(&e->lock);

	return offset == IOAT_CONFIG_CHANERR_INT ? e->chanerr_int : e->uncerrsts;
}

static void ioat_config_write(void *state, unsigned offset, uint32_t value, uint32_t mask)
{
	struct ioat *e = state;
	SCOPED_LOCK(&e->lock);

	if (offset == IOAT_CONFIG_CHANERR_INT)
		e->chanerr_int &= ~(value & mask);
	else
		e->uncerrsts &= ~(value & mask);
}

/* ---- life ---- */

/* Stop the channel for good: on return no descriptor is being carried out, and none will be. */
static void ioat_quiesce(struct ioat *e)
{
	mutex_lock(&e->lock);
	ioat_channel_reset_locked(e);
	while (e->busy)
		cond_wait(&e->idle, &e->lock);
	mutex_unlock(&e->lock);
	pci_worker_drain(e->worker);
}

static void ioat_reset(void *state)
{
	struct ioat *e = state;

	ioat_quiesce(e);
	mutex_lock(&e->lock);
	ioat_power_on_locked(e);
	mutex_unlock(&e->lock);
}

static void ioat_destroy(void *state)
{
	struct ioat *e = state;

	ioat_quiesce(e);
	pci_worker_destroy(e->worker);
	cond_fini(&e->idle);
	mutex_fini(&e->lock);
	free(e);
}

/* The chips that DPDK and Linux know. The first is the default. */
static const struct ioat_chip {
	const char *name;
	uint16_t device;
	uint8_t version;
} ioat_chips[] = {
	{ "skx", 0x2021, 0x33 },
	{ "bdx", 0x6f20, 0x33 },
	{ "icx", 0x0b00, 0x34 }, /* the one whose errors DPDK handles */
};

static const struct ioat_chip *ioat_chip(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(ioat_chips); i++) {
		if (strcmp(ioat_chips[i].name, name) == 0)
			return &ioat_chips[i];
	}
	return NULL;
}

/* "3.4" */
static int ioat_version(const char *text, uint8_t *out)
{
	unsigned major, minor;
	char end;

	if (sscanf(text, "%u.%u%c", &major, &minor, &end) != 2 || major > 15 || minor > 15)
		return -EINVAL;
	*out = major << 4 | minor;
	return 0;
}

static int ioat_create(struct pci_dev *dev, const char *const *args, void **state)
{
	struct ioat *e = calloc(1, sizeof(*e));
	const char *value;
	int rc;

	if (!e)
		return -ENOMEM;
	e->dev = dev;
	e->version = ioat_chips[0].version;
	for (; args && *args; args++) {
		if ((value = model_arg(*args, "chip")))
			e->version = ioat_chip(value)->version; /* ioat_shape() has seen it */
		else if ((value = model_arg(*args, "version")))
			ioat_version(value, &e->version);
	}
	e->pasids = pci_pasids(dev);
	e->asks = pci_page_requests(dev);
	mutex_init(&e->lock, RANK_MODEL);
	cond_init(&e->idle);
	rc = pci_worker_create(dev, ioat_work, e, &e->worker);
	if (rc)
		goto err_free;
	mutex_lock(&e->lock);
	ioat_power_on_locked(e);
	mutex_unlock(&e->lock);
	*state = e;
	return 0;

err_free:
	cond_fini(&e->idle);
	mutex_fini(&e->lock);
	free(e);
	return rc;
}

static int ioat_shape(struct pci_model *copy, const char *arg, char *err, size_t err_size)
{
	const struct ioat_chip *chip;
	const char *value;
	uint8_t version;

	if ((value = model_arg(arg, "chip"))) {
		chip = ioat_chip(value);
		if (!chip) {
			snprintf(err, err_size, "unknown chip \"%s\" (known: skx, bdx, icx)", value);
			return -EINVAL;
		}
		copy->device = chip->device;
		return 0;
	}
	if ((value = model_arg(arg, "version"))) {
		if (ioat_version(value, &version) == 0)
			return 0;
		snprintf(err, err_size, "\"%s\" is not a version (such as 3.4)", value);
		return -EINVAL;
	}
	return model_shape_common(copy, arg, "chip, version", err, err_size);
}

const struct pci_model ioat_model = {
	.size = sizeof(struct pci_model),
	.name = "ioat",
	.what = "Intel I/OAT: copies and fills memory",
	.vendor = 0x8086,
	.device = 0x2021,
	.subvendor = 0x8086,
	.class_code = 0x088000,
	.revision = 0x07,
	.express = true,
	.bar = { { .kind = PCI_BAR_MEM64, .size = IOAT_BAR_SIZE } },
	.msix_vectors = 1,
	.msix_bar = 0,
	.msix_table = IOAT_MSIX_TABLE,
	.msix_pba = IOAT_MSIX_PBA,
	.flr = true,
	.power_management = true,
	.extended_config_writable = { IOAT_CONFIG_DMAUNCERRSTS, IOAT_CONFIG_CHANERR_INT },
	.create = ioat_create,
	.destroy = ioat_destroy,
	.reset = ioat_reset,
	.read = ioat_read,
	.write = ioat_write,
	.config_read = ioat_config_read,
	.config_write = ioat_config_write,
	.shape = ioat_shape,
};
