/* SPDX-License-Identifier: MIT */
/* Tests that need another process. */
#ifndef UVFIO_TESTS_PROCESS_H
#define UVFIO_TESTS_PROCESS_H

#include "abi.h"
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

#endif
