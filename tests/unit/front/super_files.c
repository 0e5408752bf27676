/* SPDX-License-Identifier: MIT */
/*
 * Programs on the toy's files: what stat, open, readlink, directories and the descriptors they get say of them, and
 * what is read from attributes and devices and written to them.
 */
#include "super_prog.h"
#include "super_toy.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

void case_files(void)
{
	char buf[4096], real[4096];
	struct stat st, fst;
	struct statx x;
	struct statfs fs;
	struct dirent *e;
	int fd, n = 0;
	DIR *d;

	CHECK(stat("/dev/toy/echo", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(511, 1));
	CHECK(lstat(DEV, &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(stat(DEV, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat(DEV "/value", &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 4096);
	CHECK(statx(AT_FDCWD, DEV "/config", 0, STATX_ALL, &x) == 0 && x.stx_size == 256);
	CHECK(statfs(DEV, &fs) == 0 && fs.f_type == 0x62656572);
	FAILS(stat("/sys/bus/toy/none", &st), ENOENT);
	FAILS(stat(DEV "/value/none", &st), ENOTDIR);
	FAILS(stat(DEV "/value/", &st), ENOTDIR);
	CHECK(realpath(DEV "/../0000:00:01.0/./subsystem", real) && strcmp(real, "/sys/bus/toy") == 0);
	CHECK(realpath("/sys//bus/../bus/toy/devices/", real) && strcmp(real, "/sys/bus/toy/devices") == 0);
	CHECK(stat("/proc/self/root" DEV "/value", &st) == 0 && st.st_size == 4096);
	CHECK(access(DEV "/value", W_OK) == 0);
	FAILS(access(DEV "/value", X_OK), EACCES);
	FAILS(access(DEV "/nothing", F_OK), ENOENT);

	d = opendir("/sys/devices/toy0/0000:00:01.0");
	CHECK(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	CHECK(n == 5);
	CHECK(fstat(dirfd(d), &fst) == 0 && stat("/sys/devices/toy0/0000:00:01.0", &st) == 0);
	CHECK(fst.st_ino == st.st_ino && fst.st_dev == st.st_dev);
	fd = openat(dirfd(d), "value", O_RDONLY);
	CHECK(fd >= 0 && read(fd, buf, sizeof(buf)) == 6 && memcmp(buf, "hello\n", 6) == 0 && read(fd, buf, 1) == 0);
	close(fd);
	CHECK(fstatat(dirfd(d), "subsystem/devices", &st, 0) == 0 && S_ISDIR(st.st_mode));
	CHECK(readlinkat(dirfd(d), "subsystem", buf, sizeof(buf)) > 0);
	closedir(d);

	FAILS(open("/sys/bus/toy/devices", O_RDWR), EISDIR);
	FAILS(open(DEV "/value", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(open(DEV "/fresh", O_WRONLY | O_CREAT, 0600), EACCES);
	FAILS(open(DEV "/value", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
	FAILS(open(DEV, O_RDONLY | O_NOFOLLOW), ELOOP);
	FAILS(open(DEV "/trigger", O_RDONLY), EACCES);
	FAILS(open((char *)8, O_RDONLY), EFAULT);
	fd = open(DEV "/broken", O_RDONLY);
	CHECK(fd >= 0);
	FAILS(read(fd, buf, 1), EIO);
	close(fd);
	fd = open_echo();
	CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(511, 1));
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISCHR(st.st_mode));
	snprintf(buf, sizeof(buf), "/proc/self/fd/%d", fd);
	n = (int)readlink(buf, real, sizeof(real));
	CHECK(n == (int)strlen("/dev/toy/echo") && memcmp(real, "/dev/toy/echo", (size_t)n) == 0);
	close(fd);
	/* The host's are the host's. */
	CHECK(open("/etc/passwd", O_RDONLY) >= 0 && stat("/", &st) == 0 && getcwd(buf, sizeof(buf)));
}

void case_rw(void)
{
	int fd = open_echo(), attr;
	uint8_t b[256];
	struct iovec v[3] = { { b, 10 }, { NULL, 0 }, { b + 10, 20 } };

	CHECK(pread(fd, b, 4, (off_t)(TOY_CONFIG + 8)) == 4 && b[0] == 8 && b[3] == 11);
	CHECK(pread(fd, b, 16, (off_t)(TOY_CONFIG + 250)) == 6);
	FAILS(pread(fd, b, 4, 0), EINVAL);
	FAILS(syscall(SYS_pread64, fd, 8, 4, (off_t)TOY_CONFIG), EFAULT);
	FAILS(pread(fd, b, 4, -1), EINVAL);
	CHECK(preadv(fd, v, 3, (off_t)TOY_CONFIG) == 30 && b[29] == 29);
	FAILS(syscall(SYS_preadv, fd, v, -1, (off_t)TOY_CONFIG), EINVAL);
	CHECK(pwrite(fd, b, 4, (off_t)TOY_CONFIG) == 4);
	FAILS(lseek(fd, 0, SEEK_CUR), ESPIPE);
	FAILS(ftruncate(fd, 0), EINVAL);
	FAILS(fallocate(fd, 0, 0, 1), EINVAL);
	attr = open(DEV "/value", O_RDWR);
	CHECK(attr >= 0 && read(attr, b, 3) == 3 && read(attr, b + 3, 10) == 3 && memcmp(b, "hello\n", 6) == 0);
	CHECK(lseek(attr, 0, SEEK_SET) == 0 && write(attr, "again", 5) == 5);
	CHECK(lseek(attr, 0, SEEK_SET) == 0 && read(attr, b, 100) == 6 && memcmp(b, "again\n", 6) == 0);
	FAILS(write(attr, "bad", 3), EBUSY);
	v[0] = (struct iovec){ "hel", 3 };
	CHECK(lseek(attr, 0, SEEK_SET) == 0 && writev(attr, v, 1) == 3);
	CHECK(lseek(attr, 0, SEEK_SET) == 0 && write(attr, "hello", 5) == 5);
	close(attr);
	attr = open(DEV "/config", O_RDONLY);
	CHECK(attr >= 0 && lseek(attr, 100, SEEK_SET) == 100 && read(attr, b, 2) == 2 && b[0] == 100);
	FAILS(write(attr, b, 1), EBADF);
	FILE *f = fopen(DEV "/value", "r");
	CHECK(f && fgets((char *)b, sizeof(b), f) && strcmp((char *)b, "hello\n") == 0);
	fclose(f);
}
