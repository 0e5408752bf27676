/* SPDX-License-Identifier: MIT */
/* Tests that need another process, or ask what is known of this one. */
#ifndef UVFIO_TESTS_PROCESS_H
#define UVFIO_TESTS_PROCESS_H

#include "abi.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static inline void need_processes(void)
{
	if (test_door() == DOOR_CAPI)
		test_skip("an embedded machine has one process");
}

/* What @fn returns in a child of this process that does it, and only that; 0 to 255 */
static inline int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = EXPECT_OK(fork());

	if (pid == 0)
		_exit(fn());
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static inline void need_status(void)
{
	if (test_door() == DOOR_CAPI)
		test_skip("the status of a process with an embedded machine is the host's");
}

/* What /proc/PID/status says in kB, in pages; -1: it is not there */
static inline long status_pages(pid_t pid, const char *name)
{
	char path[64], line[256];
	long kb = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			kb = atol(line + strlen(name) + 1);
	}
	if (f)
		fclose(f);
	return kb < 0 ? -1 : kb / 4;
}

#endif
