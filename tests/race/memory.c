/* SPDX-License-Identifier: MIT */
/*
 * Access to BARs against all that takes it away: COMMAND.MEM, D3hot, resets; by pread and pwrite, and by mappings, of
 * plain memory and of registers; and mappings that come and go.
 *
 * One thread switches memory off and on and says where it is: ON and OFF are for sure, between them anything goes. An
 * access that sees the same step before and after it must have succeeded in ON and must have failed in OFF: EIO for
 * calls, SIGBUS for mappings. What was stored for sure is there later, unless a reset has emptied it. Resets alone
 * make nobody fail: accesses wait.
 */
#include "race.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define BDF "0000:01:00.0"

static struct race_device dev;
static uint64_t plain_at, counter_at, plain_size;
static volatile uint64_t *plain, *counter;

/* ---- accesses, which may fail; by instructions of ours, as devices are no business of sanitizers ---- */

static _Thread_local sigjmp_buf jump;
static _Thread_local volatile sig_atomic_t armed;

static void on_fault(int sig)
{
	if (armed)
		siglongjmp(jump, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

static bool load(volatile uint64_t *p, uint64_t *value)
{
	bool ok = sigsetjmp(jump, 1) == 0;

	armed = 1;
	if (ok)
		__asm__ volatile("mov %1, %0" : "=r"(*value) : "m"(*p) : "memory");
	armed = 0;
	return ok;
}

static bool store(volatile uint64_t *p, uint64_t value)
{
	bool ok = sigsetjmp(jump, 1) == 0;

	armed = 1;
	if (ok)
		__asm__ volatile("mov %1, %0" : "=m"(*p) : "r"(value) : "memory");
	armed = 0;
	return ok;
}

static bool call(bool write, uint64_t at, uint64_t *value)
{
	ssize_t n = write ? uvfio_pwrite(race_m, dev.device, value, 8, (off_t)at) :
			    uvfio_pread(race_m, dev.device, value, 8, (off_t)at);

	MUST(n == 8 || (n < 0 && errno == EIO));
	return n == 8;
}

static volatile uint64_t *bar_map(uint64_t at, uint64_t size)
{
	void *p = uvfio_mmap(race_m, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dev.device, (off_t)at);

	MUST(p != MAP_FAILED);
	return p;
}

/* ---- on and off ---- */

enum { ON, GOING_OFF, OFF, GOING_ON, STEPS };
static atomic_uint step;
static atomic_uint resets; /* begun */
static atomic_uint on, off, between, lost;

static void seen(bool ok, unsigned before)
{
	if (atomic_load(&step) != before || before % STEPS == GOING_OFF || before % STEPS == GOING_ON) {
		atomic_fetch_add(&between, 1);
		return;
	}
	MUST(ok == (before % STEPS == ON));
	atomic_fetch_add(ok ? &on : &off, 1);
}

static void memory_set(bool enable, unsigned pm)
{
	atomic_fetch_add(&step, 1);
	if (pm)
		MUST(race_config_write(dev.device, pm + PCI_PM_CTRL, 2, enable ? 0 : 3) == 2);
	else
		MUST(race_config_write(dev.device, PCI_COMMAND, 2, enable ? PCI_COMMAND_MEMORY : 0) == 2);
	atomic_fetch_add(&step, 1);
}

static unsigned find_cap(unsigned id)
{
	unsigned at = race_config_read(dev.device, PCI_CAPABILITY_LIST, 1);

	while (at && race_config_read(dev.device, at, 1) != id)
		at = race_config_read(dev.device, at + 1, 1);
	MUST(at);
	return at;
}

static void switches(unsigned rounds, unsigned pm)
{
	unsigned seed = 3;
	uint64_t x = 0;

	for (unsigned i = 0; i < rounds; i++) {
		unsigned how = race_draw(&seed, 4) ? 0 : pm;

		memory_set(false, how);
		MUST(!call(false, plain_at, &x) && !load(&plain[0], &x) && !load(&counter[4], &x));
		memory_set(true, how);
		MUST(call(false, plain_at, &x) && load(&plain[0], &x) && load(&counter[4], &x));
	}
}

static void switcher(void *arg)
{
	switches(race_rounds(400), find_cap(PCI_CAP_ID_PM));
}

/* A reset wakes the function up, so by COMMAND only. */
static void command_switcher(void *arg)
{
	switches(race_rounds(300), 0);
}

static void resetter(void *arg)
{
	unsigned rounds = race_rounds(600);

	for (unsigned i = 0; i < rounds; i++) {
		atomic_fetch_add(&resets, 1);
		race_may(race_ioctl(dev.device, VFIO_DEVICE_RESET, NULL), EAGAIN);
		atomic_fetch_add(&resets, 1);
	}
}

static void reset_now_and_then(void *arg)
{
	while (!race_over()) {
		atomic_fetch_add(&resets, 1);
		race_may(race_ioctl(dev.device, VFIO_DEVICE_RESET, NULL), EAGAIN);
		atomic_fetch_add(&resets, 1);
		usleep(200); /* no lock is fair to the other who writes */
	}
}

/* ---- who accesses ---- */

/* One word of plain memory that is this thread's alone. */
struct slot {
	unsigned index;
	uint64_t value; /* last stored */
	bool sure;      /* it was stored while memory was on, and no reset near */
	unsigned resets;
};

static void slot_store(struct slot *s, bool by_call)
{
	unsigned before = atomic_load(&step), r = atomic_load(&resets);
	uint64_t v = s->value + 1;
	bool ok = by_call ? call(true, plain_at + 8 * s->index, &v) : store(&plain[s->index], v);

	seen(ok, before);
	if (!ok)
		return;
	s->sure = atomic_load(&step) == before && before % STEPS == ON && r % 2 == 0 && atomic_load(&resets) == r;
	s->resets = r;
	s->value = v;
}

static void slot_check(struct slot *s, bool by_call)
{
	unsigned before = atomic_load(&step);
	uint64_t v = 0;
	bool ok = by_call ? call(false, plain_at + 8 * s->index, &v) : load(&plain[s->index], &v);

	seen(ok, before);
	if (!ok || v == s->value)
		return;
	MUST(!s->sure || atomic_load(&resets) != s->resets);
	atomic_fetch_add(&lost, 1);
}

static void accessor(void *arg)
{
	struct slot s = { .index = 8 * (1 + (unsigned)(uintptr_t)arg) };
	unsigned seed = s.index, before;
	uint64_t x = 0;

	while (!race_over()) {
		slot_store(&s, race_draw(&seed, 2));
		slot_check(&s, race_draw(&seed, 2));
		before = atomic_load(&step);
		if (race_draw(&seed, 2))
			seen(load(&counter[4], &x), before);
		else
			seen(store(&counter[4], x), before);
		before = atomic_load(&step);
		seen(call(race_draw(&seed, 2), counter_at + 8 * s.index, &x), before);
	}
}

/* What nobody changes reads the same whenever it can be read: memory is not there before its contents are. */
static volatile uint64_t *page_word(unsigned page)
{
	return &plain[(page + 1) * 512 - 1];
}

static void reader(void *arg)
{
	unsigned seed = 77, before, page;
	uint64_t v;

	while (!race_over()) {
		page = race_draw(&seed, (unsigned)(plain_size / 4096));
		before = atomic_load(&step);
		bool ok = load(page_word(page), &v);

		seen(ok, before);
		MUST(!ok || v == ~(uint64_t)page);
	}
}

/* Mappings of its own, of both kinds, used and unmapped. */
static void mapper(void *arg)
{
	unsigned before;
	uint64_t x;

	while (!race_over()) {
		volatile uint64_t *a, *b;

		a = bar_map(plain_at, plain_size);
		b = bar_map(counter_at, 4096);
		before = atomic_load(&step);
		seen(load(&a[plain_size / 8 - 1], &x), before);
		before = atomic_load(&step);
		seen(store(&b[16], 1), before);
		MUST(uvfio_munmap(race_m, (void *)a, plain_size) == 0);
		MUST(uvfio_munmap(race_m, (void *)b, 4096) == 0);
	}
}

/* ---- */

static void begin(void)
{
	race_begin();
	race_device_open(BDF, &dev);
	plain_at = race_region(dev.device, VFIO_PCI_BAR2_REGION_INDEX, &plain_size);
	counter_at = race_region(dev.device, VFIO_PCI_BAR1_REGION_INDEX, NULL);
	MUST(race_config_write(dev.device, PCI_COMMAND, 2, PCI_COMMAND_MEMORY) == 2);
	plain = bar_map(plain_at, plain_size);
	counter = bar_map(counter_at, 4096);
	for (unsigned page = 0; page < plain_size / 4096; page++)
		*page_word(page) = ~(uint64_t)page;
	atomic_store(&step, 0);
	atomic_store(&resets, 0);
	on = off = between = lost = 0;
}

static void end(void)
{
	uvfio_munmap(race_m, (void *)plain, plain_size);
	uvfio_munmap(race_m, (void *)counter, 4096);
	race_device_close(&dev);
	race_end();
	printf("# %u accesses while on, %u while off, %u between; %u stores lost in between; %u switches, %u resets\n",
	       on, off, between, lost, step / STEPS, resets / 2);
}

int main(void)
{
	const struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	const struct race_actor switched[] = {
		ACTOR(switcher, NULL), HELPER(accessor, 0), HELPER(accessor, 1), HELPER(mapper, NULL),
		HELPER(reader, NULL),
	};
	const struct race_actor reset[] = {
		ACTOR(resetter, NULL), HELPER(accessor, 0), HELPER(accessor, 1), HELPER(mapper, NULL),
	};
	const struct race_actor both[] = {
		ACTOR(command_switcher, NULL), HELPER(reset_now_and_then, NULL), HELPER(accessor, 0),
		HELPER(accessor, 1), HELPER(mapper, NULL),
	};

	/* Before the machine's, which passes on to them what a device does not answer. */
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	begin();
	race_run("memory-switched", "no access succeeds while memory is off, none fails while it is on",
		 switched);
	end();
	begin();
	race_run("memory-reset", "a reset makes accesses wait, and none fail",
		 reset);
	end();
	begin();
	race_run("memory-both", "so it is when memory is switched and the function reset at once",
		 both);
	end();
	return 0;
}
