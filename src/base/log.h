/* SPDX-License-Identifier: MIT */
/* The machine's log: what dmesg would show. A ring of lines, and a sink that sees each line as it comes. */
#ifndef UVFIO_BASE_LOG_H
#define UVFIO_BASE_LOG_H

#include "base/defs.h"
#include "base/lock.h"
#include <stdarg.h>
#include <stdio.h>

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_LINES 256
#define LOG_WIDTH 240

struct log {
	struct mutex lock;              /* RANK_LOG */
	char line[LOG_LINES][LOG_WIDTH]; /* [lock] line n is at n % LOG_LINES */
	enum log_level level[LOG_LINES];
	uint64_t count;                 /* [lock] lines ever written */
	void (*sink)(void *ctx, enum log_level level, const char *line); /* [I] called under lock; may be NULL */
	void *ctx;
};

void log_init(struct log *log, void (*sink)(void *, enum log_level, const char *), void *ctx);
void log_fini(struct log *log);
/** log_msg - add one line (no newline at its end); longer lines are cut. Callable with any lock but the log's held. */
void log_msg(struct log *log, enum log_level level, const char *fmt, ...) PRINTF(3, 4);
/** log_dump - write the ring, oldest first, one line each */
void log_dump(struct log *log, FILE *out);

#endif
