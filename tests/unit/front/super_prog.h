/* SPDX-License-Identifier: MIT */
/* What the files of super-prog share. */
#ifndef UVFIO_TESTS_SUPER_PROG_H
#define UVFIO_TESTS_SUPER_PROG_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(what)                                                                                     \
	do {                                                                                            \
		if (!(what)) {                                                                          \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE_NAME__, __LINE__, #what, errno); \
			exit(1);                                                                        \
		}                                                                                       \
	} while (0)
#define FAILS(what, error) CHECK((what) == -1 && errno == (error))

#define DEV "/sys/bus/toy/devices/0000:00:01.0"

/** open_echo - the device that any number may open */
int open_echo(void);

/* super_files.c */
void case_files(void);
void case_rw(void);

/* super_fds.c */
void case_events(void);
void case_release(void);
void case_dup(void);
void case_lowfd(void);
void case_poll(void);
void case_manyevents(void);
void case_stuckopen(void);
/** supervisor_fds - descriptors of the process that runs us, of which some may be there for a moment only */
unsigned supervisor_fds(void);

/* super_mmio.c */
void case_mmio(void);
void case_nommio(void);
void case_blocked(void);
void case_handlers(void);
void case_masked(void);
void case_firstmap(void);
/** map_all - the pages of the device that can be mapped, TOY_SIZE */
volatile uint8_t *map_all(int fd);

/* super_calls.c */
void case_ioctl(void);
void case_threads(void);
void case_fork(void);
void case_storm(void);
void case_stall(void);
void case_kill(void);

/* super_memory.c */
void case_memory(void);
void case_fuse(void);

/* super_fuzz.c */
void case_fuzz(void);

/* super_region.c */
void case_region(void);
void case_mapped(void);
/** case_sit - until nobody has the other end of pipe @life */
void case_sit(int life);

#endif
