/* SPDX-License-Identifier: MIT */
/* Memory of the program. */
#include "fuzz.h"
#include <assert.h>
#include <sys/mman.h>

bool arena_changed;

static void arena_map(unsigned page, unsigned n, int prot, int type)
{
	void *at = ARENA + page * PAGE;

	if (type == MAP_SHARED)
		assert(mmap(at, n * PAGE, prot, type | MAP_FIXED, memfd, (off_t)(page * PAGE)) == at);
	else
		assert(mmap(at, n * PAGE, prot, type | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == at);
}

void arena_begin(void)
{
	arena_map(0, 16, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	arena_map(16, 8, PROT_READ, MAP_PRIVATE);
	arena_map(24, 16, PROT_READ | PROT_WRITE, MAP_SHARED);
	arena_map(40, 4, PROT_READ, MAP_SHARED);
	/* 44: nothing */
	arena_map(48, 4, PROT_NONE, MAP_PRIVATE);
	arena_map(52, 12, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	arena_changed = false;
}

void do_remap(void)
{
	uint8_t b = byte();
	unsigned page = byte() % PAGES, n = MIN(b >> 4, PAGES - page - 1) + 1u;
	char *at = ARENA + page * PAGE;

	arena_changed = true;
	uvfio_munmap(m, at, n * PAGE);
	switch (b % 6) {
	case 1:
		arena_map(page, n, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		break;
	case 2:
		arena_map(page, n, PROT_READ | PROT_WRITE, MAP_SHARED);
		break;
	case 3:
		arena_map(page, n, PROT_READ, MAP_SHARED);
		break;
	case 4:
		arena_map(page, n, PROT_READ, MAP_PRIVATE);
		break;
	case 5: /* a device's registers */
		uvfio_mmap(m, at, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pick(DEVICE), 0);
		break;
	}
}
