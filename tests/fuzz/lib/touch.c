/* SPDX-License-Identifier: MIT */
#include "touch.h"
#include <setjmp.h>
#include <signal.h>

static sigjmp_buf jump;
static char *volatile touched; /* NULL: none just now */
static struct sigaction before[2]; /* libFuzzer's */

static void handler(int sig, siginfo_t *info, void *uc)
{
	const struct sigaction *old = &before[sig == SIGSEGV];

	if (touched && (char *)info->si_addr >= touched && (char *)info->si_addr < touched + 8)
		siglongjmp(jump, 1);
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, info, uc);
	} else {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

void touch_boot(void)
{
	struct sigaction a = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGBUS, &a, &before[0]);
	sigaction(SIGSEGV, &a, &before[1]);
}

#define MOVE(suffix, type)                                                                                             \
	do {                                                                                                           \
		type v = (type)*value;                                                                                 \
                                                                                                                       \
		if (write)                                                                                             \
			__asm__ volatile("mov" suffix " %1, %0" : "=m"(*(type *)at) : "r"(v));                         \
		else                                                                                                   \
			__asm__ volatile("mov" suffix " %1, %0" : "=r"(v) : "m"(*(type *)at));                         \
		*value = v;                                                                                            \
	} while (0)

__attribute__((no_sanitize("address", "undefined"))) bool touch(void *at, unsigned width, bool write, uint64_t *value)
{
	if (sigsetjmp(jump, 1)) {
		touched = NULL;
		return false;
	}
	touched = at;
	switch (width) {
	case 1:
		MOVE("b", uint8_t);
		break;
	case 2:
		MOVE("w", uint16_t);
		break;
	case 4:
		MOVE("l", uint32_t);
		break;
	default:
		MOVE("q", uint64_t);
		break;
	}
	touched = NULL;
	return true;
}
