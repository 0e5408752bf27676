/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <sys/mman.h>

#define BUFFER    0x40000u
#define START     1u
#define TO_MEMORY 2u

static void reg_write(struct peer *p, unsigned at, uint64_t value)
{
	MUST(uvfio_pwrite(race_m, p->device, &value, 8, at) == 8); /* BAR 0 */
}

/* The device always ends it. */
static void transfer(struct peer *p, uint64_t src, uint64_t dst, unsigned command)
{
	uint64_t now;

	reg_write(p, 0x80, src);
	reg_write(p, 0x88, dst);
	reg_write(p, 0x90, sizeof(now));
	reg_write(p, 0x98, command | START);
	do {
		sched_yield();
		MUST(uvfio_pread(race_m, p->device, &now, 8, 0x98) == 8);
	} while (now & START);
}

void peer_store(struct peer *p, uint64_t iova, uint64_t value)
{
	*p->page = value;
	transfer(p, PEER_WORD, BUFFER, 0);
	transfer(p, BUFFER, iova, TO_MEMORY);
}

uint64_t peer_load(struct peer *p, uint64_t iova)
{
	transfer(p, iova, BUFFER, 0);
	transfer(p, BUFFER, PEER_WORD, TO_MEMORY);
	return *p->page;
}

void peer_begin(struct peer *p, int device)
{
	p->device = device;
	p->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(p->page != MAP_FAILED);
	MUST(race_config_write(device, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER) == 2);
}

void peer_end(struct peer *p)
{
	munmap((void *)p->page, 4096);
}
