/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include <string.h>

void log_init(struct log *log, void (*sink)(void *, enum log_level, const char *), void *ctx)
{
	memset(log, 0, sizeof(*log));
	mutex_init(&log->lock, RANK_LOG);
	log->sink = sink;
	log->ctx = ctx;
}

void log_fini(struct log *log)
{
	mutex_fini(&log->lock);
}

void log_msg(struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	SCOPED_LOCK(&log->lock);
	unsigned slot = log->count++ % LOG_LINES;

	va_start(ap, fmt);
	vsnprintf(log->line[slot], LOG_WIDTH, fmt, ap);
	va_end(ap);
	log->level[slot] = level;
	if (log->sink)
		log->sink(log->ctx, level, log->line[slot]);
}

void log_dump(struct log *log, FILE *out)
{
	SCOPED_LOCK(&log->lock);
	for (uint64_t n = log->count > LOG_LINES ? log->count - LOG_LINES : 0; n < log->count; n++)
		fprintf(out, "%s\n", log->line[n % LOG_LINES]);
}
