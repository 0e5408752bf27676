/* SPDX-License-Identifier: MIT */
/*
 * Everything of spec 10, sections 1 and 2, at once: functions removed and found again, drivers bound and unbound,
 * groups claimed, types changed, and somebody who asks why. Nothing is asserted but that each call ends and says something a
 * kernel would say, that no memory is misused (run under the sanitizers), and that the machine is whole afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>

#include "program.h"

#define ROUNDS 2000

static const char text[] =
	"machine: t\n"
	"drivers:\n- {name: store, match: [\"1000:0002\"]}\n- {name: waits, match: [\"1000:0003\"], needs: store}\n"
	"devices:\n- kind: host-bridge\n  below:\n"
	"  - at: 01.0\n    kind: root-port\n    acs: none\n    below:\n"
	"    - at: 00.0\n      kind: pcie-to-pci\n      shpc: yes\n      below:\n"
	"      - {at: 01.0, model: edu, bind: vfio-pci}\n"
	"      - {at: 02.0, model: generic, class: 020000}\n"
	"  - at: 02.0\n    kind: root-port\n    below:\n"
	"    - {at: 00.0, model: generic, args: [express], class: 020000}\n"
	"    - {at: 10.0, model: generic, args: [express], class: 020000, physfn: 00.0}\n"
	"  - {at: 03.0, model: edu, multifunction: yes, bind: vfio-pci}\n"
	"  - {at: 03.1, model: generic, class: 010802, multifunction: yes}\n"
	"  - {at: 04.0, model: generic, ids: \"1000:0002\"}\n"
	"  - {at: 05.0, model: generic, ids: \"1000:0003\", present: no}\n";

struct actor {
	struct program program; /* first */
	struct machine *m;
	unsigned seed, done;
	void (*act)(struct actor *p);
};

static int echo(struct actor *p, const char *word, const char *path)
{
	return program_echo(&p->program, p->m, word, path);
}

static unsigned one_of(struct actor *p, unsigned n)
{
	return (unsigned)rand_r(&p->seed) % n;
}

static const char *function(struct actor *p)
{
	static const char *const all[] = {
		"0000:00:01.0", "0000:01:00.0", "0000:02:01.0", "0000:02:02.0", "0000:00:02.0", "0000:03:00.0",
		"0000:03:10.0", "0000:00:03.0", "0000:00:03.1", "0000:00:04.0", "0000:00:05.0",
	};

	return all[one_of(p, ARRAY_SIZE(all))];
}

static void remove_and_find(struct actor *p)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", function(p), one_of(p, 3) ? "remove" : "rescan");
	echo(p, "1", path);
	snprintf(path, sizeof(path), "/sys/class/pci_bus/0000:0%u/rescan", one_of(p, 4));
	echo(p, "1", one_of(p, 2) ? path : "/sys/bus/pci/rescan");
}

static void bind_and_unbind(struct actor *p)
{
	static const char *const drivers[] = {
		"nic", "nvme", "shpchp", "pcieport", "pci-stub", "vfio-pci", "store", "waits",
	};
	const char *driver = drivers[one_of(p, ARRAY_SIZE(drivers))], *bdf = function(p);
	char path[96];

	if (one_of(p, 4) == 0) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
		echo(p, one_of(p, 2) ? driver : "\n", path);
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s", driver, one_of(p, 2) ? "bind" : "unbind");
	echo(p, bdf, path);
	if (one_of(p, 3) == 0)
		echo(p, bdf, "/sys/bus/pci/drivers_probe");
}

static void claim_and_release(struct actor *p)
{
	static const char *const types[] = { "identity", "DMA", "DMA-FQ", "auto" };
	unsigned id = one_of(p, 10);
	struct file *group = NULL;
	int32_t fd = 7;
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/type", id);
	if (one_of(p, 2))
		echo(p, types[one_of(p, 4)], path);
	snprintf(path, sizeof(path), "/dev/vfio/%u", id);
	if (tree_open(p->m->tree, &p->program.task, path, 2, &group))
		return;
	if (tree_open(p->m->tree, &p->program.task, "/dev/vfio/vfio", 2, &p->program.container) == 0) {
		if (file_ioctl(group, &p->program.task, 0x3b68, (uva_t)&fd) == 0 && one_of(p, 2))
			file_ioctl(p->program.container, &p->program.task, 0x3b66, 3);
		file_put(p->program.container);
		p->program.container = NULL;
	}
	file_put(group);
}

static void ask(struct actor *p)
{
	char *said = NULL, id[4];
	size_t size;
	FILE *out = open_memstream(&said, &size);

	snprintf(id, sizeof(id), "%u", one_of(p, 10));
	machine_explain(p->m, one_of(p, 2) ? id : function(p), out);
	if (one_of(p, 4) == 0)
		machine_list(p->m, one_of(p, 2), out);
	fclose(out);
	free(said);
}

static void *run(void *arg)
{
	struct actor *p = arg;

	for (; p->done < ROUNDS; p->done++)
		p->act(p);
	return NULL;
}

static void all_at_once(void **state)
{
	static void (*const acts[])(struct actor *p) = {
		remove_and_find,   remove_and_find,   bind_and_unbind, bind_and_unbind,
		claim_and_release, claim_and_release, ask,
	};
	static struct actor programs[ARRAY_SIZE(acts)];
	pthread_t threads[ARRAY_SIZE(acts)];
	struct machine_desc *d = NULL;
	struct machine *m = NULL;
	struct pci_dev *edu;

	assert_int_equal(machine_desc_parse("test", text, strlen(text), stderr, &d), 0);
	assert_int_equal(machine_create(d, NULL, &m), 0);
	machine_desc_free(d);
	for (unsigned i = 0; i < ARRAY_SIZE(acts); i++) {
		programs[i] = (struct actor){ .program.task = { .ops = &program_ops, .comm = "prog", .tgid = (pid_t)i + 1 },
						.m = m, .seed = i, .act = acts[i] };
		assert_int_equal(pthread_create(&threads[i], NULL, run, &programs[i]), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(acts); i++)
		pthread_join(threads[i], NULL);

	/* All of it can be found and be given away. */
	assert_int_equal(echo(&programs[0], "1", "/sys/bus/pci/rescan"), 0);
	edu = pci_find(m->pci, "0000:02:01.0");
	assert_non_null(edu);
	assert_non_null(iommu_dev_group(edu->iommu));
	dev_put(&edu->dev);
	for (unsigned i = 0; i < m->ndrivers; i++)
		assert_true(atomic_load(&m->drivers[i].bound) < 100);
	machine_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_at_once) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
