/* SPDX-License-Identifier: MIT */
/*
 * The supervisor against a toy machine (super_toy.c), and programs that use it (super_prog.c, dynamic and static; sh, cat,
 * ls, find). Each test is one run.
 *
 * argv: super-prog, super-prog-static
 */
#include "front/supervisor/supervisor.h"
#include "super_machine.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

static const char *prog, *prog_static;

static int run_with(unsigned without, const char *const argv[])
{
	struct super_options o = { .quiet = true, .without = without };
	int status = -1, rc = super_run_tree(toy.tree, &toy.log, &o, (char *const *)argv, &status);

	if (rc)
		return rc;
	assert_int_equal(toy.open, 0);
	return status;
}

#define RUN(...) run_with(0, (const char *const[]){ __VA_ARGS__, NULL })
#define SH(script) RUN("sh", "-c", script)

static void test_status(void **state)
{
	(void)state;
	assert_int_equal(RUN("true"), 0);
	assert_int_equal(WEXITSTATUS(SH("exit 7")), 7);
	assert_int_equal(WTERMSIG(SH("kill -TERM $$")), SIGTERM);
	assert_int_equal(RUN("/nonexistent/program"), -ENOENT);
	assert_int_equal(RUN("/etc/passwd"), -EACCES);
}

static void test_shell(void **state)
{
	(void)state;
	assert_int_equal(SH("test \"$(cat /sys/bus/toy/devices/0000:00:01.0/value)\" = hello"), 0);
	assert_int_equal(SH("ls /sys/bus/toy/devices/ | grep -q 0000:00:01.0"), 0);
	assert_int_equal(SH("ls -l /dev/toy | grep -q 'crw------- .* 511, *1 .* echo'"), 0);
	assert_int_equal(SH("test \"$(readlink -f /sys/bus/toy/devices/0000:00:01.0)\" = /sys/devices/toy0/0000:00:01.0"), 0);
	assert_int_equal(SH("test $(find /sys/devices/toy0 | wc -l) = 7"), 0);
	assert_int_equal(SH("test $(find /sys/bus/toy/ -follow -name config 2>/dev/null | wc -l) -ge 1"), 0);
	assert_int_equal(SH("read v < /sys/bus/toy/devices/0000:00:01.0/value; test $v = hello"), 0);
	assert_int_equal(SH("test ! -e /sys/bus/toy/nothing; test -d /sys/bus/toy -a -L /sys/bus/toy/devices/0000:00:01.0"), 0);
	assert_int_equal(SH("cat /sys/bus/toy/devices/0000:00:01.0/broken 2>&1 | grep -q 'Input/output error'"), 0);
	assert_int_equal(SH("test $(od -An -tu1 -j200 -N1 /sys/bus/toy/devices/0000:00:01.0/config) = 200"), 0);
	assert_int_equal(SH("mkdir /sys/bus/toy/x 2>/dev/null && exit 1; rm /dev/toy/echo 2>/dev/null && exit 1; exit 0"), 0);
}

static void test_redirect(void **state)
{
	(void)state;
	assert_int_equal(SH("echo world > /sys/bus/toy/devices/0000:00:01.0/value"), 0);
	assert_string_equal(toy.value, "world");
	assert_int_equal(SH("echo bad > /sys/bus/toy/devices/0000:00:01.0/value 2>/dev/null || exit 3"), 3 << 8);
	assert_string_equal(toy.value, "world");
	assert_int_equal(RUN("bash", "-c", "echo bad 2>&1 > /sys/bus/toy/devices/0000:00:01.0/trigger | grep -q 'resource busy'"), 0);
	assert_int_equal(SH("/bin/echo external > /sys/bus/toy/devices/0000:00:01.0/value"), 0);
	assert_string_equal(toy.value, "external");
	assert_int_equal(SH("{ echo inner; } > /sys/bus/toy/devices/0000:00:01.0/value; echo out >/dev/null"), 0);
	assert_string_equal(toy.value, "inner");
	assert_int_equal(SH("echo piped | tee /sys/bus/toy/devices/0000:00:01.0/value > /dev/null"), 0);
	assert_string_equal(toy.value, "piped");
	assert_int_equal(SH("(sleep 0.01; echo late) > /sys/bus/toy/devices/0000:00:01.0/value & wait"), 0);
	assert_string_equal(toy.value, "late");
	assert_int_equal(RUN("bash", "-c", "exec 5> /sys/bus/toy/devices/0000:00:01.0/value; echo five >&5; exec 5>&-"), 0);
	assert_string_equal(toy.value, "five");
	assert_int_equal(RUN("python3", "-c", "open('/sys/bus/toy/devices/0000:00:01.0/value', 'w').write('python')"), 0);
	assert_string_equal(toy.value, "python");
}

static void test_cwd(void **state)
{
	(void)state;
	assert_int_equal(SH("cd /sys/bus/toy/devices && test \"$(/bin/pwd)\" = /sys/bus/toy/devices"), 0);
	assert_int_equal(SH("cd /sys/bus/toy/devices && cat 0000:00:01.0/value | grep -q hello"), 0);
	assert_int_equal(SH("cd /sys/bus/toy/devices/0000:00:01.0 && test -d subsystem/devices && cat ../0000:00:01.0/value"), 0);
	assert_int_equal(SH("cd /dev/toy && ls | grep -q echo && cd /tmp && test $(/bin/pwd) = /tmp"), 0);
}

/* A case of super_prog.c, dynamic and static. */
static void prog_case(const char *name)
{
	const char *const variants[] = { prog, prog_static };

	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		int status;

		toy.unblock = false;
		status = RUN(variants[i], name);
		if (status)
			print_message("%s %s: status %x\n", variants[i], name, status);
		assert_int_equal(status, 0);
	}
}

#define PROG(name)                                 \
	static void test_##name(void **state)      \
	{                                          \
		(void)state;                       \
		prog_case(#name);                  \
	}
PROG(files)
PROG(ioctl)
PROG(events)
PROG(release)
PROG(dup)
PROG(lowfd)
PROG(poll)
PROG(rw)
PROG(mmio)
PROG(blocked)
PROG(handlers)
PROG(masked)
PROG(threads)
PROG(fork)
PROG(storm)
PROG(stall)
PROG(memory)
PROG(fuse)
PROG(firstmap)
PROG(exec)
PROG(region)
PROG(mapped)
PROG(fuzz)

static void test_kill(void **state)
{
	(void)state;
	prog_case("kill");
	assert_int_equal(toy.blocked, 0);
}

/* Each fallback alone must do the same. */
static void test_without(void **state)
{
	static const struct {
		unsigned without;
		const char *name;
	} cases[] = {
		{ SUPER_WITHOUT_GETFD, "events" }, { SUPER_WITHOUT_GETFD, "ioctl" },
		{ SUPER_WITHOUT_GETFD, "manyevents" }, { SUPER_WITHOUT_NOTIFY, "stuckopen" },
		{ SUPER_WITHOUT_NOTIFY, "firstmap" }, { SUPER_WITHOUT_PROCMAP, "mmio" },
		{ SUPER_WITHOUT_PROCMAP, "memory" }, { SUPER_WITHOUT_MEM, "ioctl" }, { SUPER_WITHOUT_MEM, "memory" },
		{ SUPER_WITHOUT_INJECT, "ioctl" }, { SUPER_WITHOUT_INJECT, "nommio" },
		{ SUPER_WITHOUT_GETFD, "poll" }, { SUPER_WITHOUT_NOTIFY, "poll" },
		{ SUPER_WITHOUT_PROCMAP, "mapped" }, { SUPER_WITHOUT_NOTIFY, "mapped" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = run_with(cases[i].without, (const char *const[]){ prog, cases[i].name, NULL });

		if (status)
			print_message("without %x, %s: status %x\n", cases[i].without, cases[i].name, status);
		assert_int_equal(status, 0);
	}
}

/* All of the tree counts, not only the first program. */
static void test_descendants(void **state)
{
	(void)state;
	assert_int_equal(SH("(sleep 0.2; echo last > /sys/bus/toy/devices/0000:00:01.0/value) & exit 5"), 5 << 8);
	assert_string_equal(toy.value, "last");
	assert_int_equal(SH("setsid sh -c 'sleep 0.2; echo later > /sys/bus/toy/devices/0000:00:01.0/value' & exit 0"), 0);
	assert_string_equal(toy.value, "later");
}

/* A supervisor that dies takes all programs along. */
static void test_death(void **state)
{
	int p[2], status;
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(p), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(p[0]);
		SH("setsid sh -c 'sleep 100' & echo -n x >&0; sleep 100");
		_exit(0);
	}
	close(p[1]);
	usleep(300000);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* Every program holds the write end. */
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
}

/* The first program's parent is the guard. Whoever kills it kills all. */
static void test_guard(void **state)
{
	(void)state;
	assert_int_equal(WTERMSIG(SH("setsid sleep 100 & kill -9 $PPID; sleep 100")), SIGKILL);
	assert_non_null(strstr(toy.text, "guard"));
}

/* Limits, signals to ignore and the like are as they were. */
static void test_inherited(void **state)
{
	char script[128];
	struct rlimit rl;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
	snprintf(script, sizeof(script), "test $(ulimit -Hn) = %llu -a $(ulimit -n) -le 8256", (unsigned long long)rl.rlim_max);
	rl.rlim_cur = 1024;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
	assert_int_equal(SH(script), 0);
	assert_int_equal(SH("kill -USR1 $$"), SIGUSR1);
	assert_int_equal(SH("test $(sed -n 's/^SigBlk:.//p' /proc/self/status) = 0000000000000000"), 0);
}

int main(int argc, char **argv)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(test_##fn, toy_setup, toy_teardown)
	const struct CMUnitTest tests[] = {
		TEST(status), TEST(shell), TEST(files), TEST(ioctl), TEST(events), TEST(release), TEST(dup), TEST(lowfd), TEST(poll),
		TEST(rw), TEST(cwd), TEST(exec), TEST(mmio), TEST(blocked), TEST(handlers), TEST(masked), TEST(threads),
		TEST(fork), TEST(storm), TEST(stall), TEST(memory), TEST(fuse), TEST(firstmap), TEST(region), TEST(mapped),
		TEST(kill), TEST(redirect), TEST(without),
		TEST(descendants), TEST(death), TEST(guard), TEST(inherited), TEST(fuzz),
	};

	if (argc < 3) {
		fprintf(stderr, "usage: unit-super super-prog super-prog-static [filter]\n");
		return 2;
	}
	prog = argv[1];
	prog_static = argv[2];
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
