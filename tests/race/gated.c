/* SPDX-License-Identifier: MIT */
#include "gated.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

/* ---- accesses, which may fail ---- */

static _Thread_local sigjmp_buf jump;
static _Thread_local volatile sig_atomic_t armed;

static void on_fault(int sig)
{
	if (armed)
		siglongjmp(jump, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

void gated_catch(void)
{
	const struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

bool gated_load(volatile uint64_t *p, uint64_t *value)
{
	bool ok = sigsetjmp(jump, 1) == 0;

	armed = 1;
	if (ok)
		__asm__ volatile("mov %1, %0" : "=r"(*value) : "m"(*p) : "memory");
	armed = 0;
	return ok;
}

bool gated_store(volatile uint64_t *p, uint64_t value)
{
	bool ok = sigsetjmp(jump, 1) == 0;

	armed = 1;
	if (ok)
		__asm__ volatile("mov %1, %0" : "=m"(*p) : "r"(value) : "memory");
	armed = 0;
	return ok;
}

bool gated_call(struct gated *g, bool write, uint64_t at, uint64_t *value)
{
	ssize_t n = write ? uvfio_pwrite(race_m, g->device, value, 8, (off_t)at) :
			    uvfio_pread(race_m, g->device, value, 8, (off_t)at);

	MUST(n == 8 || (n < 0 && errno == EIO));
	return n == 8;
}

volatile uint64_t *gated_map(struct gated *g, uint64_t at, uint64_t size)
{
	void *p = uvfio_mmap(race_m, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, g->device, (off_t)at);

	MUST(p != MAP_FAILED);
	return p;
}

/* ---- what is for sure ---- */

struct gated_moment gated_now(struct gated *g, enum gated_way way)
{
	struct gated_moment m = { .step = atomic_load(&g->step[way]), .resets = atomic_load(&g->resets) };

	m.resets_over = atomic_load(&g->resets_over); /* in this order: those that had begun, and now have ended */
	return m;
}

bool gated_still(struct gated *g, enum gated_way way, struct gated_moment m, unsigned step)
{
	return m.step % STEPS == step && atomic_load(&g->step[way]) == m.step;
}

bool gated_quiet(struct gated *g, struct gated_moment m)
{
	return m.resets == m.resets_over && atomic_load(&g->resets) == m.resets;
}

void gated_seen(struct gated *g, enum gated_way way, struct gated_moment m, bool ok)
{
	if (gated_still(g, way, m, ON)) {
		MUST(ok);
		atomic_fetch_add(&g->on, 1);
	} else if (gated_still(g, way, m, OFF)) {
		MUST(!ok);
		atomic_fetch_add(&g->off, 1);
	} else {
		atomic_fetch_add(&g->between, 1);
	}
}

void gated_stored(struct gated *g, struct gated_slot *s, uint64_t v, struct gated_moment m, bool sure)
{
	s->sure = sure && gated_quiet(g, m);
	s->resets = m.resets;
	s->value = v;
}

void gated_loaded(struct gated *g, const struct gated_slot *s, uint64_t v)
{
	if (v == s->value)
		return;
	MUST(v < s->value); /* an older one, or none: never what a bus answers for nobody */
	MUST(!s->sure || atomic_load(&g->resets) != s->resets);
	atomic_fetch_add(&g->lost, 1);
}

/* ---- who takes it away ---- */

void gated_step(struct gated *g, enum gated_way way, unsigned step)
{
	unsigned was = atomic_load(&g->step[way]);

	atomic_store(&g->step[way], was + (step - was - 1) % STEPS + 1);
}

static void both_step(struct gated *g, unsigned step)
{
	gated_step(g, BY_CALL, step);
	gated_step(g, BY_MAPPING, step);
}

static void command(struct gated *g, bool memory)
{
	uint32_t bits = PCI_COMMAND_MASTER | (memory ? PCI_COMMAND_MEMORY : 0);

	MUST(race_config_write(g->device, PCI_COMMAND, 2, bits) == 2);
}

void gated_memory(struct gated *g, bool enable, unsigned pm)
{
	both_step(g, enable ? GOING_ON : GOING_OFF);
	if (pm)
		MUST(race_config_write(g->device, pm + PCI_PM_CTRL, 2, enable ? 0 : 3) == 2);
	else
		command(g, enable);
	both_step(g, enable ? ON : OFF);
}

/* The same of calls and of both kinds of mappings. */
static void answers(struct gated *g, bool does)
{
	uint64_t x;

	MUST(gated_call(g, false, g->plain_at, &x) == does);
	MUST(gated_load(&g->plain[0], &x) == does && gated_load(&g->regs[4], &x) == does);
}

void gated_switch(struct gated *g, unsigned rounds, unsigned pm, unsigned us)
{
	unsigned seed = 3;

	for (unsigned i = 0; i < rounds; i++) {
		unsigned how = race_draw(&seed, 4) ? 0 : pm;

		gated_memory(g, false, how);
		answers(g, false);
		race_pause(&seed, us);
		gated_memory(g, true, how);
		answers(g, true);
		race_pause(&seed, us);
	}
}

unsigned gated_pm(struct gated *g)
{
	unsigned at = race_config_read(g->device, PCI_CAPABILITY_LIST, 1);

	while (at && race_config_read(g->device, at, 1) != PCI_CAP_ID_PM)
		at = race_config_read(g->device, at + 1, 1);
	MUST(at);
	return at;
}

void gated_resetting(struct gated *g, bool begins)
{
	atomic_fetch_add(begins ? &g->resets : &g->resets_over, 1);
}

bool gated_reset(struct gated *g)
{
	bool done;

	gated_resetting(g, true);
	done = race_may(race_ioctl(g->device, VFIO_DEVICE_RESET, NULL), EAGAIN);
	gated_resetting(g, false);
	return done;
}

void gated_resets(struct gated *g, unsigned rounds)
{
	unsigned seed = 6;

	for (unsigned i = 0; i < rounds; i++) {
		gated_reset(g);
		race_pause(&seed, 300);
	}
}

/* ---- begin and end ---- */

void gated_begin(struct gated *g, int device)
{
	*g = (struct gated){ .device = device };
	g->plain_at = race_region(device, VFIO_PCI_BAR2_REGION_INDEX, &g->plain_size);
	g->regs_at = race_region(device, VFIO_PCI_BAR1_REGION_INDEX, NULL);
	command(g, true);
	g->plain = gated_map(g, g->plain_at, g->plain_size);
	g->regs = gated_map(g, g->regs_at, 4096);
	*g->plain = 1;
}

void gated_end(struct gated *g)
{
	uvfio_munmap(race_m, (void *)g->plain, g->plain_size);
	uvfio_munmap(race_m, (void *)g->regs, 4096);
}

void gated_say(const struct gated *g, const char *name)
{
	printf("# %s: %u accesses while on, %u while off, %u between, %u arrivals; %u stores lost in between; "
	       "%u switches, %u resets\n", name, g->on, g->off, g->between, g->arrived, g->lost,
	       g->step[BY_MAPPING] / STEPS, g->resets);
}

/* ---- loads and stores, calls and mappings ---- */

static bool word_store(struct gated *g, enum gated_way way, unsigned index, uint64_t v)
{
	return way == BY_CALL ? gated_call(g, true, g->plain_at + 8 * index, &v) : gated_store(&g->plain[index], v);
}

static bool word_load(struct gated *g, enum gated_way way, unsigned index, uint64_t *v)
{
	return way == BY_CALL ? gated_call(g, false, g->plain_at + 8 * index, v) : gated_load(&g->plain[index], v);
}

static void slot_store(struct gated *g, struct gated_slot *s, enum gated_way way)
{
	struct gated_moment m = gated_now(g, way);
	uint64_t v = s->value + 1;
	bool ok = word_store(g, way, s->index, v);

	gated_seen(g, way, m, ok);
	/* The first to a page that a reset has emptied may be lost when memory goes at that moment. */
	if (ok)
		gated_stored(g, s, v, m, m.resets == 0 || gated_still(g, way, m, ON));
}

static void slot_check(struct gated *g, const struct gated_slot *s, enum gated_way way)
{
	struct gated_moment m = gated_now(g, way);
	uint64_t v = 0;
	bool ok = word_load(g, way, s->index, &v);

	gated_seen(g, way, m, ok);
	if (ok)
		gated_loaded(g, s, v);
}

static void register_access(struct gated *g, volatile uint64_t *at, bool write)
{
	struct gated_moment m = gated_now(g, BY_MAPPING);
	uint64_t x = 0;

	gated_seen(g, BY_MAPPING, m, write ? gated_store(at, x) : gated_load(at, &x));
}

static void register_call(struct gated *g, uint64_t at, bool write)
{
	struct gated_moment m = gated_now(g, BY_CALL);
	uint64_t x = 0;

	gated_seen(g, BY_CALL, m, gated_call(g, write, at, &x));
}

void gated_accessor(void *arg)
{
	const struct gated_user *u = arg;
	struct gated_slot s = { .index = 8 * u->n };
	struct gated *g = u->g;
	unsigned seed = u->n;

	while (!race_over()) {
		slot_store(g, &s, race_draw(&seed, WAYS));
		slot_check(g, &s, race_draw(&seed, WAYS));
		register_access(g, &g->regs[8 * u->n], race_draw(&seed, 2));
		register_call(g, g->regs_at + 64 * u->n, race_draw(&seed, 2));
	}
}

void gated_mapper(void *arg)
{
	struct gated *g = arg;

	while (!race_over()) {
		volatile uint64_t *plain = gated_map(g, g->plain_at, g->plain_size);
		volatile uint64_t *regs = gated_map(g, g->regs_at, 4096);

		register_access(g, &plain[g->plain_size / 8 - 1], false);
		register_access(g, &regs[7], true);
		MUST(uvfio_munmap(race_m, (void *)plain, g->plain_size) == 0);
		MUST(uvfio_munmap(race_m, (void *)regs, 4096) == 0);
	}
}

/* ---- an ioeventfd ---- */

#define SIGNALLED 0x5163a11edull

static void ioeventfd_set(struct gated *g, uint64_t at, int fd)
{
	struct vfio_device_ioeventfd a = {
		.argsz = sizeof(a), .flags = VFIO_DEVICE_IOEVENTFD_64, .offset = at, .data = SIGNALLED, .fd = fd,
	};

	MUST(race_ioctl(g->device, VFIO_DEVICE_IOEVENTFD, &a) == 0);
}

/* The store comes some time after the signal, and must, unless memory goes or there is a reset meanwhile. */
static bool signal_once(struct gated *g, uint64_t at, int fd)
{
	struct gated_moment m = gated_now(g, BY_CALL);
	uint64_t x = 0;

	if (!gated_call(g, true, at, &x))
		return false;
	race_efd_signal(fd);
	while (gated_still(g, BY_CALL, m, ON) && gated_quiet(g, m)) {
		if (gated_call(g, false, at, &x) && x == SIGNALLED) {
			atomic_fetch_add(&g->arrived, 1);
			return true;
		}
		usleep(20);
	}
	return false;
}

void gated_signaller(void *arg)
{
	const struct gated_user *u = arg;
	struct gated *g = u->g;
	uint64_t at = g->regs_at + 64 * u->n + 8;
	int fd = race_efd_create();

	ioeventfd_set(g, at, fd);
	/* In the end memory is on, and nobody takes it any more. */
	for (bool arrives = false; !arrives || !race_over();)
		arrives = signal_once(g, at, fd);
	ioeventfd_set(g, at, -1);
	close(fd);
}

/* ---- the ROM ---- */

void gated_rom(void *arg)
{
	struct gated *g = arg;
	uint64_t at = race_region(g->device, VFIO_PCI_ROM_REGION_INDEX, NULL);
	uint8_t bytes[64];

	while (!race_over()) {
		struct gated_moment m = gated_now(g, BY_CALL);
		ssize_t n = uvfio_pread(race_m, g->device, bytes, sizeof(bytes), (off_t)at);

		MUST(n == sizeof(bytes) || errno == ENOMEM);
		MUST(n < 0 || (bytes[0] == 0x55 && bytes[1] == 0xaa));
		gated_seen(g, BY_CALL, m, n > 0);
		usleep(50); /* it shuts all others out */
	}
}

/* ---- vectors ---- */

#define VECTORS 4
#define FIRE    3 /* the word of the registers */

/* Whether memory is on does not matter: the table is the host's. */
static void vectors_set(struct gated *g, const int32_t *fds)
{
	struct {
		struct vfio_irq_set h;
		int32_t fd[VECTORS];
	} a = { .h = { .argsz = sizeof(a.h), .index = VFIO_PCI_MSIX_IRQ_INDEX, .flags = VFIO_IRQ_SET_ACTION_TRIGGER } };

	if (fds) {
		a.h.argsz += sizeof(a.fd);
		a.h.flags |= VFIO_IRQ_SET_DATA_EVENTFD;
		a.h.count = VECTORS;
		memcpy((char *)&a + sizeof(a.h), fds, sizeof(a.fd));
	} else {
		a.h.flags |= VFIO_IRQ_SET_DATA_NONE;
	}
	MUST(race_ioctl(g->device, VFIO_DEVICE_SET_IRQS, &a) == 0);
}

/* The message is sent by the store itself, so it has come, or it never will. */
static void fire(struct gated *g, const int32_t *fds, unsigned vector, enum gated_way way, bool set)
{
	struct gated_moment m = gated_now(g, way);
	uint64_t v = vector;
	bool ok, came;

	ok = way == BY_CALL ? gated_call(g, true, g->regs_at + 8 * FIRE, &v) : gated_store(&g->regs[FIRE], v);
	gated_seen(g, way, m, ok);
	came = race_efd_take(fds[vector]);
	MUST(!came || (ok && set));
	if (ok && set && gated_still(g, way, m, ON) && gated_quiet(g, m)) {
		MUST(came);
		atomic_fetch_add(&g->arrived, 1);
	}
}

void gated_vectors(void *arg)
{
	struct gated *g = arg;
	unsigned seed = 9;
	int32_t fds[VECTORS];
	bool set = false;

	for (unsigned i = 0; i < VECTORS; i++)
		fds[i] = race_efd_create();
	while (!race_over()) {
		if (race_draw(&seed, 4) == 0) {
			vectors_set(g, set ? NULL : fds);
			set = !set;
		}
		fire(g, fds, race_draw(&seed, VECTORS), race_draw(&seed, WAYS), set);
	}
	if (set)
		vectors_set(g, NULL);
	for (unsigned i = 0; i < VECTORS; i++)
		close(fds[i]);
}
