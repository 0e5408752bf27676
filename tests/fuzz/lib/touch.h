/* SPDX-License-Identifier: MIT */
/* Loads and stores of a program, which may end in SIGBUS or SIGSEGV. */
#ifndef TOUCH_H
#define TOUCH_H

#include <stdbool.h>
#include <stdint.h>

/** touch_boot - before the machine, which passes on what is not its own */
void touch_boot(void);
/** touch - one load or store of @width bytes, 1, 2, 4 or 8. false: a signal */
bool touch(void *at, unsigned width, bool write, uint64_t *value);

#endif
