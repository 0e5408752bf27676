/* SPDX-License-Identifier: MIT */
/*
 * Programs that are stopped, killed and replaced in the middle of their calls to the machine. Whoever answers
 * the calls, job control works as always, nothing hangs and everything is released. Each check prints a line.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static int failed;
static const char *self;

static void check(bool ok, const char *what)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", what);
	fflush(stdout);
	failed |= !ok;
}

/* One open, which takes a number, and one chdir, which runs calls in our context. */
static bool call_once(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), dir;

	if (fd < 0)
		return false;
	close(fd);
	if (chdir("/sys/bus/pci/devices") < 0)
		return false;
	dir = open("/sys/bus/pci/devices/0000:00:03.0", O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return false;
	close(dir);
	return true;
}

static void *call_forever(void *arg)
{
	for (;;) {
		if (!call_once())
			_exit(9);
	}
	return arg;
}

static void nap(long us)
{
	struct timespec t = { 0, us * 1000 };

	nanosleep(&t, NULL);
}

static pid_t caller(int threads)
{
	pid_t pid = fork();
	pthread_t t;

	if (pid == 0) {
		for (int i = 1; i < threads; i++)
			pthread_create(&t, NULL, call_forever, NULL);
		call_forever(NULL);
	}
	return pid;
}

static void job_control(int threads, const char *what)
{
	pid_t pid = caller(threads);
	bool ok = true;
	int status;

	for (int i = 0; i < 200 && ok; i++) {
		nap(i * 37 % 1000);
		kill(pid, SIGSTOP);
		ok = waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP;
		kill(pid, SIGCONT);
		ok &= waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	check(ok && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, what);
}

static void kills(void)
{
	bool ok = true;
	int status;

	for (int i = 0; i < 100; i++) {
		pid_t pid = caller(6);

		nap(i * 91 % 4000);
		kill(pid, SIGKILL);
		ok &= waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
	}
	check(ok && call_once(), "6 threads in the middle of calls, killed 100 times");
}

static void *exec_self(void *arg)
{
	nap((long)(size_t)arg);
	execl(self, self, "execed", NULL);
	_exit(8);
}

/* Not its first thread execs; the others, and that one, are in calls. */
static void execs(void)
{
	bool ok = true;
	int status;

	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();
		pthread_t t;

		if (pid == 0) {
			for (int k = 0; k < 4; k++)
				pthread_create(&t, NULL, call_forever, NULL);
			pthread_create(&t, NULL, exec_self, (void *)(size_t)(i * 53 % 3000));
			call_forever(NULL);
		}
		ok &= waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42;
	}
	check(ok, "a thread execs while 5 others are in calls, 60 times");
}

static void *spawns(void *arg)
{
	char *args[] = { (char *)self, "execed", NULL };
	size_t bad = 0;

	for (int i = 0; i < 25; i++) {
		pid_t pid;
		int status;

		bad += posix_spawn(&pid, self, NULL, NULL, args, environ) != 0 || waitpid(pid, &status, 0) != pid ||
		       !WIFEXITED(status) || WEXITSTATUS(status) != 42;
	}
	(void)arg;
	return (void *)bad;
}

static void spawn_storm(void)
{
	pthread_t t[4];
	size_t bad = 0;
	void *r;

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, spawns, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		bad += (size_t)r;
	}
	check(bad == 0, "4 threads spawn 25 programs each");
}

/* Told of the end of a child by its pidfd, and asking without waiting. @how: waitpid or waitid */
static bool child_told(bool how)
{
	siginfo_t si = { .si_pid = 0 };
	pid_t pid = fork();
	struct pollfd p = { .events = POLLIN };
	int status = 0;

	if (pid == 0)
		_exit(42);
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.fd < 0 || poll(&p, 1, -1) != 1)
		return false;
	close(p.fd);
	if (how)
		return waitpid(pid, &status, WNOHANG) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42;
	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG) == 0 && si.si_pid == pid && si.si_status == 42;
}

static void children_told(void)
{
	bool ok = true;

	for (int i = 0; i < 300 && ok; i++)
		ok = child_told(i & 1);
	check(ok, "a child whose pidfd is ready is there for a wait that does not wait, 300 times");
}

static volatile sig_atomic_t hits;

static void on_usr1(int sig)
{
	(void)sig;
	hits++;
}

static void signals(void)
{
	struct sigaction sa = { .sa_handler = on_usr1, .sa_flags = SA_RESTART };
	sigset_t set, old;
	int status, sent = 0;
	pid_t pid;
	bool ok = true;

	sigaction(SIGUSR1, &sa, NULL);
	pid = fork();
	if (pid == 0) {
		for (;; nap(100))
			kill(getppid(), SIGUSR1);
	}
	while (hits < 300 && ok) {
		ok = call_once();
		sent++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	check(ok, "signals interrupt no call");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	hits = 0;
	raise(SIGUSR1);
	ok = call_once() && hits == 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	check(ok && hits == 1, "a blocked signal stays blocked over calls, and comes afterwards");
}

int main(int argc, char **argv)
{
	(void)argv;
	self = "/proc/self/exe";
	if (argc > 1)
		return call_once() ? 42 : 7;
	job_control(1, "stopped and continued 200 times in the middle of calls");
	job_control(4, "the same with 4 threads");
	kills();
	execs();
	spawn_storm();
	children_told();
	signals();
	return failed;
}
