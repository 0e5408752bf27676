/* SPDX-License-Identifier: MIT */
/*
 * Which path does a call mean, and is it the machine's? Relative paths start from where the kernel says the
 * caller's directory or descriptor is; a directory of the backing tree stands for the tree's. The machine's links are
 * followed by the tree; links of the host that lead into it are not seen (they are the kernel's to follow).
 */
#include "front/supervisor/priv.h"
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DELETED " (deleted)"

/* Copy a string in, piece by piece: it may end just before an unmapped page. Its length; -EFAULT, -ENAMETOOLONG */
static ssize_t copy_string(struct super_call *c, char *dst, uva_t src, size_t size)
{
	size_t n = 0;

	while (n < size) {
		size_t chunk = UVFIO_PAGE_SIZE - ((src + n) & (UVFIO_PAGE_SIZE - 1));
		char *nul;

		chunk = MIN(chunk, size - n);
		chunk = MIN(chunk, n ? 1024 : 256);
		if (super_copy_in(c, dst + n, src + n, chunk))
			return -EFAULT;
		nul = memchr(dst + n, 0, chunk);
		if (nul)
			return nul - dst;
		n += chunk;
	}
	return -ENAMETOOLONG;
}

/* What a link of /proc/PID points to, as the program should see it. Length; -errno */
ssize_t super_proc_link(struct super_call *c, const char *link, char *out, size_t size)
{
	static const char memfd[] = "/memfd:";
	char text[PATH_MAX];
	const char *real, *tail;
	ssize_t n = readlink(link, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	real = super_backing_strip(c->s, text);
	if (!real && strncmp(text, memfd, strlen(memfd)) == 0) {
		tail = strstr(text, DELETED);
		real = text + strlen(memfd) - 1;
		if (tail && real[1] == '/')
			real++;
		if (!tail || !tree_covers(c->s->tree, real))
			real = NULL;
		else
			text[tail - text] = '\0';
	}
	return snprintf(out, size, "%s", real ? real : text);
}

/*
 * "/proc/self/cwd/x", "/proc/42/fd/7": the length of the link in front of the rest, 0 if it is none. Writes the
 * link as we must ask for it.
 */
static size_t magic_prefix(struct super_call *c, const char *path, char *link, size_t size)
{
	const char *p = path + strlen("/proc/"), *end;
	char who[16];

	if (strncmp(path, "/proc/", strlen("/proc/")) != 0)
		return 0;
	end = strchr(p, '/');
	if (!end || (size_t)(end - p) >= sizeof(who))
		return 0;
	memcpy(who, p, (size_t)(end - p));
	who[end - p] = '\0';
	if (strcmp(who, "self") == 0 || strcmp(who, "thread-self") == 0)
		snprintf(who, sizeof(who), "%u", c->n->pid);
	else if (!isdigit((unsigned char)who[0]))
		return 0;
	p = end + 1;
	if (strncmp(p, "root", 4) == 0 || strncmp(p, "cwd", 3) == 0) {
		end = p + (p[0] == 'r' ? 4 : 3);
	} else if (strncmp(p, "fd/", 3) == 0 && isdigit((unsigned char)p[3])) {
		for (end = p + 3; isdigit((unsigned char)*end); end++)
			;
	} else {
		return 0;
	}
	if (*end && *end != '/')
		return 0;
	snprintf(link, size, "/proc/%s/%.*s", who, (int)(end - p), p);
	return (size_t)(end - path);
}

/* Where a relative path starts. */
static ssize_t base_of(struct super_call *c, int dirfd, char *out, size_t size)
{
	char link[64];
	ssize_t n;

	if (dirfd == AT_FDCWD)
		snprintf(link, sizeof(link), "/proc/%u/cwd", c->n->pid);
	else
		snprintf(link, sizeof(link), "/proc/%u/fd/%d", c->n->pid, dirfd);
	n = super_proc_link(c, link, out, size);
	return n;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

static int append(char *out, size_t *len, const char *name, size_t n)
{
	if (*len + n + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	out[(*len)++] = '/';
	memcpy(out + *len, name, n);
	*len += n;
	out[*len] = '\0';
	return 0;
}

/* ".." is the parent of where the path has led so far, links followed. */
static int go_up(struct super_call *c, char *out, size_t *len)
{
	struct node_stat st;
	char real[PATH_MAX];
	char *slash;
	int rc;

	if (*len && tree_covers(c->s->tree, out)) {
		rc = tree_stat(c->s->tree, out, true, &st, real);
		if (rc)
			return rc;
		if (st.type != NODE_DIR)
			return -ENOTDIR;
		memcpy(out, real, strlen(real) + 1);
	}
	slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
	*len = strlen(out);
	return 0;
}

/* Make the canonical form of base + "/" + path. */
static int canonical(struct super_call *c, const char *base, const char *path, struct super_path *out)
{
	const char *parts[] = { base, path };
	size_t len = 0;

	out->text[0] = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		for (const char *p = parts[i]; *p;) {
			size_t n = strcspn(p, "/");
			int rc = 0;

			out->dir = p[n] == '/' || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.');
			if (n == 2 && p[0] == '.' && p[1] == '.')
				rc = go_up(c, out->text, &len);
			else if (n > 0 && !(n == 1 && p[0] == '.'))
				rc = append(out->text, &len, p, n);
			if (rc)
				return rc;
			p += n + (p[n] == '/');
		}
	}
	if (len == 0)
		memcpy(out->text, "/", 2);
	return 0;
}

/* A directory of /sys that leads to the machine's and has more than the host shows: /sys/module, /sys/bus ... */
static bool leads_to_ours(struct super *s, const char *text)
{
	struct node_stat st;

	return strncmp(text, "/sys", 4) == 0 && tree_stat(s->tree, text, false, &st, NULL) == 0 && st.type == NODE_DIR;
}

int super_path_get(struct super_call *c, int dirfd, uva_t path, struct super_path *out)
{
	char raw[PATH_MAX], base[PATH_MAX] = "";
	const char *rest = raw;
	size_t magic;
	int rc;

	out->empty = out->dir = out->magic = false;
	out->text[0] = '\0';
	/* The kernel says EFAULT and ENAMETOOLONG as well as we. */
	if (copy_string(c, raw, path, sizeof(raw)) < 0)
		return 0;
	if (raw[0] == '\0') {
		out->empty = true;
		return 0;
	}
	magic = magic_prefix(c, raw, out->link, sizeof(out->link));
	if (magic && super_proc_link(c, out->link, base, sizeof(base)) > 0) {
		rest = raw + magic;
		out->magic = *rest == '\0';
	} else if (raw[0] != '/' && base_of(c, dirfd, base, sizeof(base)) < 0) {
		return 0;
	}
	if (base[0] && base[0] != '/')
		return 0;
	rc = canonical(c, base, rest, out);
	if (rc)
		return rc;
	if (!tree_covers(c->s->tree, out->text) && !leads_to_ours(c->s, out->text))
		return 0;
	return base[0] && ends_with(base, DELETED) ? -ENOENT : 1;
}
