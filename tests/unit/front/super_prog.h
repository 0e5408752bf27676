/* SPDX-License-Identifier: MIT */
/* What the files of super-prog share. */
#ifndef UVFIO_TESTS_SUPER_PROG_H
#define UVFIO_TESTS_SUPER_PROG_H

#include <errno.h>
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

int open_echo(void);
/** supervisor_fds - descriptors of the process that runs us, of which some may be there for a moment only */
unsigned supervisor_fds(void);

/* super_region.c */
void case_region(void);
void case_mapped(void);
/** case_sit - until nobody has the other end of pipe @life */
void case_sit(int life);

#endif
