/* SPDX-License-Identifier: MIT */
/*
 * One function in a program's hands whose memory goes and comes, and threads that access it all the while.
 *
 * Whoever takes memory away, and gives it back, says where he is: ON and OFF are for sure, between them anything goes.
 * An access that finds the same step before it and after it must have succeeded in ON, and failed in OFF: EIO for
 * calls, SIGBUS for mappings. What was stored, whenever, is there later, unless a reset has emptied it: those are
 * counted when they begin and when they end. Calls and mappings have steps of their own, as low power mode concerns
 * mappings alone.
 *
 * The function is a pcitest: BAR 1 is registers, among them one at 0x18 that fires a vector, BAR 2 plain memory.
 */
#ifndef UVFIO_TESTS_RACE_GATED_H
#define UVFIO_TESTS_RACE_GATED_H

#include "race.h"

enum { ON, GOING_OFF, OFF, GOING_ON, STEPS };
enum gated_way { BY_CALL, BY_MAPPING, WAYS };

struct gated {
	int device;
	uint64_t plain_at, plain_size, regs_at; /* in the device's file */
	volatile uint64_t *plain, *regs;        /* mapped */
	atomic_uint step[WAYS];
	atomic_uint resets, resets_over; /* begun, ended */
	atomic_uint on, off, between, lost; /* accesses, and stores that a reset or a step in between has taken */
	atomic_uint arrived; /* eventfds and messages that had to arrive, and did */
};

/** gated_catch - SIGBUS ends an access, not the program; before race_begin(), whose handler passes on to this one */
void gated_catch(void);
/** gated_begin - @device is open: switch memory on, map it */
void gated_begin(struct gated *g, int device);
void gated_end(struct gated *g);
/** gated_say - what was done, for who reads the output */
void gated_say(const struct gated *g, const char *name);

/** gated_step - from now on it is @step */
void gated_step(struct gated *g, enum gated_way way, unsigned step);
/** gated_memory - COMMAND.MEM, or with @pm (offset of the capability) the power state */
void gated_memory(struct gated *g, bool enable, unsigned pm);
unsigned gated_pm(struct gated *g);
/** gated_switch - @rounds of it, now this way, now that; as long between them as @us microseconds, or less */
void gated_switch(struct gated *g, unsigned rounds, unsigned pm, unsigned us);
/** gated_resetting - one begins, which may empty memory; or has ended */
void gated_resetting(struct gated *g, bool begins);
/** gated_reset - VFIO_DEVICE_RESET; false: somebody was at the device just now */
bool gated_reset(struct gated *g);
/** gated_resets - @rounds of it, with something for sure in between */
void gated_resets(struct gated *g, unsigned rounds);

/* ---- accesses ---- */

/* By instructions of ours, as devices are no business of sanitizers. */
bool gated_load(volatile uint64_t *p, uint64_t *value);
bool gated_store(volatile uint64_t *p, uint64_t value);
/** gated_call - 8 bytes by pread or pwrite; false: EIO */
bool gated_call(struct gated *g, bool write, uint64_t at, uint64_t *value);
/** gated_map - a mapping of one's own, to be unmapped with uvfio_munmap() */
volatile uint64_t *gated_map(struct gated *g, uint64_t at, uint64_t size);

struct gated_moment {
	unsigned step, resets, resets_over;
};
struct gated_moment gated_now(struct gated *g, enum gated_way way);
/** gated_still - is @way where it was at @m, and was it @step for sure? */
bool gated_still(struct gated *g, enum gated_way way, struct gated_moment m, unsigned step);
/** gated_quiet - nor has a reset been near since */
bool gated_quiet(struct gated *g, struct gated_moment m);
/** gated_seen - an access that began at @m has succeeded or failed: may it? */
void gated_seen(struct gated *g, enum gated_way way, struct gated_moment m, bool ok);

/* A word of plain memory that is one thread's alone. */
struct gated_slot {
	unsigned index;  /* of the word */
	uint64_t value;  /* last stored */
	bool sure;       /* it got there, and no reset was near */
	unsigned resets; /* begun by then */
};
/** gated_stored - @v was stored by an access that began at @m; @sure: it has got there */
void gated_stored(struct gated *g, struct gated_slot *s, uint64_t v, struct gated_moment m, bool sure);
/** gated_loaded - it was found to be @v: may it? */
void gated_loaded(struct gated *g, const struct gated_slot *s, uint64_t v);

/* ---- threads, for race_run(); helpers ---- */

struct gated_user {
	struct gated *g;
	unsigned n; /* from 1; each has words of its own, eight of each BAR */
};
void gated_accessor(void *user);  /* loads, stores, pread, pwrite */
void gated_mapper(void *g);       /* mappings that come and go */
void gated_signaller(void *user); /* an ioeventfd */
void gated_rom(void *g);          /* the ROM */
void gated_vectors(void *g);      /* vectors are set up, fired and taken away */

#endif
