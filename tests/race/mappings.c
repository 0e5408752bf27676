/* SPDX-License-Identifier: MIT */
/*
 * Mappings in many processes, while one of them switches the function's memory off and on, by COMMAND, D3hot and low
 * power mode: run by "uvfio run". Children of two threads each use what they have inherited, map for themselves, move
 * and unmap, fork children of their own, which touch all of it, and die; others take their place.
 *
 * Whoever switches says where he is: ON and OFF are for sure, between them anything goes. A touch that finds the same
 * step before and after it has raised SIGBUS in OFF and none in ON, in every process and of every mapping, plain
 * memory or register. What a thread has stored, in ON or between, is there later, also for its successors.
 *
 * usage: race-mappings        UVFIO_RACE_ROUNDS in percent, as of the other races
 */
#include "program.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#define BDF      "0000:01:00.0"
#define CHILDREN 3
#define THREADS  2
#define PLAIN    ((off_t)VFIO_PCI_BAR2_REGION_INDEX << 40)
#define REGS     ((off_t)VFIO_PCI_BAR1_REGION_INDEX << 40)
#define CONFIG   ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)
#define SIZE     0x8000ul /* of the plain BAR, as much as is mapped */
#define PAGE     0x1000ul

enum { ON, GOING_OFF, OFF, GOING_ON, STEPS };

/* One word of plain memory and one register that are one thread's alone, and after its death its successor's. */
struct slot {
	uint64_t plain, reg; /* last stored */
};

static struct shared {
	atomic_bool over;
	atomic_uint step;
	atomic_uint on, off, between, maps, forks, children;
	struct slot slot[CHILDREN * THREADS];
} *s;

static int device;
static volatile uint64_t *plain, *regs; /* mapped by the first process: everybody inherits them */

/* ---- touches ---- */

static _Thread_local sigjmp_buf jump;
static _Thread_local volatile sig_atomic_t armed;

static void on_fault(int sig)
{
	if (armed)
		siglongjmp(jump, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

static bool touch(volatile uint64_t *p, uint64_t *value, bool write)
{
	unsigned before = atomic_load(&s->step), after;
	bool ok = sigsetjmp(jump, 1) == 0;

	armed = 1;
	if (ok && write)
		*p = *value;
	else if (ok)
		*value = *p;
	armed = 0;
	after = atomic_load(&s->step);
	if (after != before || before % STEPS == GOING_OFF || before % STEPS == GOING_ON) {
		atomic_fetch_add(&s->between, 1);
		return ok;
	}
	MUST(ok == (before % STEPS == ON));
	atomic_fetch_add(ok ? &s->on : &s->off, 1);
	return ok;
}

static void store(volatile uint64_t *p, uint64_t *value)
{
	uint64_t v = *value + 1;

	if (touch(p, &v, true))
		*value = v;
}

static void check(volatile uint64_t *p, uint64_t value)
{
	uint64_t v;

	MUST(!touch(p, &v, false) || v == value);
}

/* ---- what a thread does ---- */

struct thread {
	unsigned n, seed;
	struct slot *slot;
	volatile uint64_t *plain; /* its own mapping, or the one inherited */
};

static volatile uint64_t *map(off_t at, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, device, at);

	MUST(p != MAP_FAILED);
	atomic_fetch_add(&s->maps, 1);
	return p;
}

static void unmap(struct thread *t)
{
	if (t->plain != plain)
		MUST(munmap((void *)t->plain, SIZE) == 0);
	t->plain = plain;
}

/* To an address that nobody has. */
static void move(struct thread *t)
{
	void *to;

	if (t->plain == plain)
		return;
	to = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(to != MAP_FAILED);
	MUST(mremap((void *)t->plain, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	t->plain = to;
}

static void stores(struct thread *t)
{
	store(&t->plain[64 * t->n], &t->slot->plain);
	store(&regs[64 * t->n], &t->slot->reg);
}

static void checks(struct thread *t)
{
	check(&plain[64 * t->n], t->slot->plain);
	check(&t->plain[64 * t->n], t->slot->plain);
	check(&regs[64 * t->n], t->slot->reg);
}

/* A register by a mapping that lives for this one touch. */
static void glance(struct thread *t)
{
	volatile uint64_t *p = map(REGS, PAGE);

	check(&p[64 * t->n], t->slot->reg);
	MUST(munmap((void *)p, PAGE) == 0);
}

/* The thread waits for the child, so its words are the child's meanwhile. */
static void fork_one(struct thread *t)
{
	pid_t pid = fork();
	int status;

	MUST(pid >= 0);
	if (pid == 0) {
		checks(t);
		stores(t);
		if (draw(&t->seed, 2))
			unmap(t);
		checks(t);
		_exit(0);
	}
	atomic_fetch_add(&s->forks, 1);
	MUST(waitpid(pid, &status, 0) == pid);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	for (unsigned i = 20 + draw(&t->seed, 100); i && !atomic_load(&s->over); i--) {
		stores(t);
		checks(t);
		switch (draw(&t->seed, 8)) {
		case 0:
			unmap(t);
			t->plain = map(PLAIN, SIZE);
			break;
		case 1:
			move(t);
			break;
		case 2:
			unmap(t);
			break;
		case 3:
			glance(t);
			break;
		case 4:
			fork_one(t);
			break;
		}
	}
	return NULL;
}

static void child_main(unsigned n)
{
	struct thread t[THREADS];
	pthread_t id;

	for (unsigned i = 0; i < THREADS; i++) {
		unsigned slot = n % CHILDREN * THREADS + i;

		t[i] = (struct thread){ .n = slot + 1, .seed = n * THREADS + i, .slot = &s->slot[slot], .plain = plain };
	}
	MUST(pthread_create(&id, NULL, thread_main, &t[1]) == 0);
	thread_main(&t[0]);
	MUST(pthread_join(id, NULL) == 0);
}

/* ---- the first process ---- */

static off_t pm_control; /* of the power management capability, in the device's file */

static uint8_t config_byte(unsigned at)
{
	uint8_t v;

	MUST(pread(device, &v, 1, CONFIG + at) == 1);
	return v;
}

static void pm_find(void)
{
	unsigned at = config_byte(0x34);

	while (at && config_byte(at) != 1)
		at = config_byte(at + 1);
	MUST(at);
	pm_control = CONFIG + at + 4;
}

static void config_write(off_t at, uint16_t value)
{
	MUST(pwrite(device, &value, 2, at) == 2);
}

static void low_power(bool leave)
{
	struct vfio_device_feature f = { .argsz = sizeof(f), .flags = VFIO_DEVICE_FEATURE_SET };

	f.flags |= leave ? VFIO_DEVICE_FEATURE_LOW_POWER_EXIT : VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY;
	MUST(ioctl(device, VFIO_DEVICE_FEATURE, &f) == 0);
}

static void memory_set(bool enable, unsigned how)
{
	atomic_fetch_add(&s->step, 1);
	if (how == 0)
		low_power(enable);
	else if (how == 1)
		config_write(pm_control, enable ? 0 : 3);
	else
		config_write(CONFIG + 4, enable ? 2 : 0);
	atomic_fetch_add(&s->step, 1);
}

static pid_t child[CHILDREN];
static unsigned spawned;

/* The dead have successors, in their places. */
static void replace_dead(void)
{
	int status;

	for (unsigned i = 0; i < CHILDREN; i++) {
		if (child[i]) {
			pid_t pid = waitpid(child[i], &status, WNOHANG);

			MUST(pid == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
			if (!pid)
				continue;
		}
		child[i] = spawn(child_main, CHILDREN * ++spawned + i);
		atomic_fetch_add(&s->children, 1);
	}
}

/* Somebody else has seen it, for sure. */
static void wait_for(atomic_uint *count)
{
	unsigned was = atomic_load(count);

	while (atomic_load(count) - was < 3 && !atomic_load(&s->over)) {
		replace_dead();
		usleep(200);
	}
}

static void switches(unsigned rounds)
{
	unsigned seed = 5;
	uint64_t v;

	for (unsigned i = 0; i < rounds && !atomic_load(&s->over); i++) {
		unsigned how = draw(&seed, 5);

		memory_set(false, how);
		MUST(!touch(plain, &v, false) && !touch(regs, &v, false));
		wait_for(&s->off);
		memory_set(true, how);
		MUST(touch(plain, &v, false) && touch(regs, &v, false));
		wait_for(&s->on);
	}
}

static void device_open(void)
{
	int container, group;
	char path[64];

	program_group(BDF, path);
	MUST((group = open(path, O_RDWR)) >= 0);
	MUST((container = open("/dev/vfio/vfio", O_RDWR)) >= 0);
	MUST(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	MUST(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	MUST((device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF)) >= 0);
}

int main(void)
{
	const struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	int status;

	s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_SHARED, -1, 0);
	program_over = &s->over;
	MUST(s != MAP_FAILED);
	MUST(sigaction(SIGBUS, &sa, NULL) == 0);
	device_open();
	pm_find();
	config_write(CONFIG + 4, 2);
	plain = map(PLAIN, SIZE);
	regs = map(REGS, PAGE);
	*plain = 1; /* a page's very first store may be lost: docs/DIFFERENCES.md */
	switches(program_rounds(1500));
	atomic_store(&s->over, true);
	for (unsigned i = 0; i < CHILDREN; i++) {
		MUST(waitpid(child[i], &status, 0) == child[i]);
		MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	/* All of it is still there. */
	for (unsigned i = 0; i < CHILDREN * THREADS; i++) {
		check(&plain[64 * (i + 1)], s->slot[i].plain);
		check(&regs[64 * (i + 1)], s->slot[i].reg);
	}
	printf("ok race-mappings - while one process switches memory no mapping of any other lies, and nothing is lost\n");
	printf("# %u switches; %u touches while on, %u while off, %u between; %u mappings, "
	       "%u children, %u of their own\n", s->step / STEPS, s->on, s->off, s->between, s->maps,
	       s->children, s->forks);
	return 0;
}
