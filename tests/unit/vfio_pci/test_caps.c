/* SPDX-License-Identifier: MIT */
/*
 * Capabilities that no model has: written into the hardware's config space behind what is there, before a
 * program opens the function.
 */
#include "harness.h"
#include "pci/priv.h"
#include <unistd.h>

#define A "0000:01:00.0"

static struct use u;
static struct pci_dev *d;

/* Room for more capabilities than the hardware was built with. */
static void whole_config(void)
{
	struct pci_config *c = &d->priv->cfg, old = *c;
	uint8_t *all = calloc(4, d->config_size);

	assert_non_null(all);
	*c = (struct pci_config){ .used = d->config_size, .val = all, .wmask = all + d->config_size,
				  .w1c = all + 2 * d->config_size, .power_on = all + 3 * d->config_size };
	memcpy(c->val, old.val, old.used);
	memcpy(c->wmask, old.wmask, old.used);
	memcpy(c->w1c, old.w1c, old.used);
	memcpy(c->power_on, old.power_on, old.used);
	free(old.val);
	pci_state_fini(&d->priv->saved);
	assert_int_equal(pci_state_init(d, &d->priv->saved), 0);
}

static int setup(void **state)
{
	host_start();
	d = pci_of(A);
	whole_config();
	return 0;
}

static int teardown(void **state)
{
	use_close(&u);
	host_stop();
	return 0;
}

/* What the hardware says, after a reset too, and which bits of it a write changes. */
static void poke(unsigned pos, unsigned width, uint32_t value, uint32_t wmask)
{
	for (unsigned i = 0; i < width; i++) {
		uint8_t byte = (uint8_t)(value >> 8 * i);

		d->priv->cfg.val[pos + i] = d->priv->cfg.power_on[pos + i] = byte;
		d->priv->cfg.wmask[pos + i] = (uint8_t)(wmask >> 8 * i);
	}
}

static unsigned hw(unsigned pos, unsigned width)
{
	return pci_config_read(d, pos, width);
}

static void cap(unsigned pos, uint8_t id, uint8_t next)
{
	poke(pos, 2, id | next << 8, 0);
}

/* The last capability of the hardware's chain gets a successor. */
static void chain_to(unsigned pos)
{
	unsigned at = hw(PCI_CAPABILITY_LIST, 1);

	while (hw(at + 1, 1))
		at = hw(at + 1, 1);
	assert_true(at + 0x3c <= pos || hw(at, 1) != PCI_CAP_ID_EXP);
	poke(at + 1, 1, pos, 0);
}

/* CFG-18, 19, 21, 36, 38, 39 */
static void standard(void **state)
{
	chain_to(0xb0);
	cap(0xb0, PCI_CAP_ID_SHPC, 0xb8);
	cap(0xb8, PCI_CAP_ID_VNDR, 0xc8);
	poke(0xba, 1, 16, 0);
	poke(0xbc, 4, 0x11223344, 0xffffffff);
	cap(0xc8, 0, 0xcc);
	cap(0xcc, PCI_CAP_ID_EA, 0xd0);
	cap(0xd0, PCI_CAP_ID_VPD, 0xd8);
	poke(0xd2, 2, PCI_VPD_ADDR_F, 0);
	poke(0xd4, 4, 0xcafe, 0);
	cap(0xd8, PCI_CAP_ID_AF, 0xe0);
	poke(0xdb, 1, PCI_AF_CAP_TP | PCI_AF_CAP_FLR, 0);
	cap(0xe0, 0x30, 0xe4);
	cap(0xe4, PCI_CAP_ID_SSVID, 0);
	use_open(&u, A);

	assert_int_equal(cfg_cap(&u, PCI_CAP_ID_VNDR), 0xb8);
	assert_int_equal(cfg_read(&u, 0xb9, 1), 0xd0);
	assert_int_equal(cfg_read(&u, 0xd1, 1), 0xd8);
	assert_int_equal(cfg_read(&u, 0xd8, 2), PCI_CAP_ID_AF);
	for (unsigned id = 0; id < 0x100; id++) {
		bool hidden = id == 0 || id == PCI_CAP_ID_SHPC || id == PCI_CAP_ID_EA || id == 0x30 ||
			      id == PCI_CAP_ID_SSVID;

		assert_false(hidden && cfg_cap(&u, (uint8_t)id));
	}
	/* the vendor's own: raw; the hidden one's body too */
	cfg_write(&u, 0xbd, 1, 0x77);
	assert_int_equal(hw(0xbc, 4), 0x11227744);
	/* a read of VPD: the device has its flag up, which says that the data is there */
	cfg_write(&u, 0xd2, 2, 0x0010);
	assert_int_equal(cfg_read(&u, 0xd2, 2), 0x8010);
	assert_int_equal(cfg_read(&u, 0xd4, 4), 0xcafe);
	/* a write of it: the device leaves its flag up, so nothing has happened */
	cfg_write(&u, 0xd4, 4, 0xbeef);
	cfg_write(&u, 0xd2, 2, 0x8010);
	assert_int_equal(cfg_read(&u, 0xd2, 2), 0x8010);
	assert_int_equal(cfg_read(&u, 0xd4, 4), 0xbeef);
	/* the address alone, in bytes: only its upper one starts anything */
	cfg_write(&u, 0xd2, 1, 0x20);
	assert_int_equal(cfg_read(&u, 0xd2, 2), 0x8020);
}

/* CFG-27 */
static void af(void **state)
{
	unsigned resets;

	chain_to(0xb0);
	cap(0xb0, PCI_CAP_ID_AF, 0);
	poke(0xb3, 1, PCI_AF_CAP_FLR, 0);
	use_open(&u, A);
	resets = probe_of(A)->resets;
	cfg_write(&u, 0xb4, 1, PCI_AF_CTRL_FLR);
	assert_int_equal(cfg_read(&u, 0xb4, 1), 0);
	assert_int_equal(probe_of(A)->resets, resets);
	poke(0xb3, 1, PCI_AF_CAP_FLR | PCI_AF_CAP_TP, 0);
	cfg_write(&u, 0xb4, 1, PCI_AF_CTRL_FLR);
	assert_int_equal(cfg_read(&u, 0xb4, 1), 0);
	assert_int_equal(probe_of(A)->resets, resets + 1);
}

/* CFG-20 */
static void none(void **state)
{
	poke(PCI_CAPABILITY_LIST, 1, 0xf0, 0);
	cap(0xf0, PCI_CAP_ID_SSVID, 0);
	use_open(&u, A);
	assert_int_equal(cfg_read(&u, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, 0);
	assert_true(hw(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
}

/* A chain that runs in a circle, and one that points into the header and over the end. */
static void circle(void **state)
{
	chain_to(0xb0);
	cap(0xb0, PCI_CAP_ID_VNDR, 0xb8);
	poke(0xb2, 1, 8, 0);
	cap(0xb8, PCI_CAP_ID_VNDR, 0xb0);
	poke(0xba, 1, 0xff, 0);
	use_open(&u, A);
	assert_int_equal(cfg_read(&u, 0xb1, 1), 0xb8);
	assert_int_equal(cfg_read(&u, 0xfc, 4), hw(0xfc, 4));
}

static void ext(unsigned pos, unsigned id, unsigned next)
{
	poke(pos, 4, id | 1 << 16 | next << 20, 0);
}

/* CFG-41, 42, 45, 47, 48 */
static void extended(void **state)
{
	ext(0x100, PCI_EXT_CAP_ID_PASID, 0x400);
	ext(0x400, PCI_EXT_CAP_ID_DSN, 0x410);
	ext(0x410, PCI_EXT_CAP_ID_VNDR, 0x420);
	poke(0x414, 4, 0x10u << 20, 0);
	poke(0x418, 4, 0, 0xffffffff);
	ext(0x420, PCI_EXT_CAP_ID_DPC, 0x430);
	ext(0x430, PCI_EXT_CAP_ID_DVSEC, 0x440);
	poke(0x434, 4, 0x10u << 20, 0);
	poke(0x438, 4, 0, 0xffffffff);
	ext(0x440, PCI_EXT_CAP_ID_REBAR, 0x450);
	poke(0x448, 4, 1 << 5, 0xffffffff);
	ext(0x450, PCI_EXT_CAP_ID_PWR, 0x460);
	poke(0x454, 4, 0, 0xffffffff);
	ext(0x460, PCI_EXT_CAP_ID_L1SS, 0);
	use_open(&u, A);

	assert_int_equal(cfg_read(&u, 0x100, 4), 0x400u << 20);
	assert_int_equal(PCI_EXT_CAP_NEXT(cfg_read(&u, 0x410, 4)), 0x430);
	assert_int_equal(PCI_EXT_CAP_NEXT(cfg_read(&u, 0x450, 4)), 0);
	assert_int_equal(PCI_EXT_CAP_ID(cfg_read(&u, 0x450, 4)), PCI_EXT_CAP_ID_PWR);
	cfg_write(&u, 0x418, 4, 0x12345678);
	assert_int_equal(hw(0x418, 4), 0x12345678);
	cfg_write(&u, 0x438, 2, 0xabcd);
	assert_int_equal(hw(0x438, 4), 0xabcd);
	cfg_write(&u, 0x448, 4, 0xffffffff);
	assert_int_equal(hw(0x448, 4), 1 << 5);
	cfg_write(&u, 0x454, 4, 0xffffffff);
	assert_int_equal(hw(0x454, 4), 0xff);
	cfg_write(&u, 0x410, 4, 0);
	assert_int_equal(PCI_EXT_CAP_ID(cfg_read(&u, 0x410, 4)), PCI_EXT_CAP_ID_VNDR);
}

/* CFG-43 */
static void extended_none(void **state)
{
	ext(0x100, PCI_EXT_CAP_ID_PASID, 0x400);
	ext(0x400, PCI_EXT_CAP_ID_DPC, 0);
	use_open(&u, A);
	assert_int_equal(cfg_read(&u, 0x100, 4), 0);
}

/* CFG-46, CFG-44, and an access control service with an egress vector */
static void extended_more(void **state)
{
	const unsigned status = 0x100 + PCI_ERR_UNCOR_STATUS, mask = 0x100 + PCI_ERR_UNCOR_MASK;

	poke(0x100, 4, PCI_EXT_CAP_ID_ERR | 2 << 16 | 0x400u << 20, 0);
	poke(mask, 4, 0, 0xffffffff);
	ext(0x400, PCI_EXT_CAP_ID_SRIOV, 0x440);
	poke(0x400 + PCI_SRIOV_NUM_VF, 2, 0, 0xffff);
	ext(0x440, PCI_EXT_CAP_ID_ACS, 0);
	poke(0x444, 2, PCI_ACS_EC | 33 << 8, 0);
	for (unsigned at = 0x448; at <= 0x450; at += 4)
		poke(at, 4, 0, 0xffffffff);
	use_open(&u, A);
	d->priv->cfg.val[status] = 0x10;
	d->priv->cfg.w1c[status] = 0x10;
	cfg_write(&u, status, 4, 0);
	assert_int_equal(hw(status, 4), 0x10);
	cfg_write(&u, status, 4, 0xffffffff);
	assert_int_equal(hw(status, 4), 0);
	cfg_write(&u, mask, 4, 0xffffffff);
	assert_int_equal(hw(mask, 4), 0x03fff031);
	cfg_write(&u, 0x400 + PCI_SRIOV_NUM_VF, 2, 4);
	assert_int_equal(hw(0x400 + PCI_SRIOV_NUM_VF, 2), 0);
	cfg_write(&u, 0x44c, 4, 0xffffffff); /* the vector's second word is the capability's */
	assert_int_equal(hw(0x44c, 4), 0);
	cfg_write(&u, 0x450, 4, 0xffffffff); /* behind it is nobody's */
	assert_int_equal(hw(0x450, 4), 0xffffffff);
}

/* ---- giving the device up ---- */

static atomic_bool unbound;

static void unbinder(void *arg)
{
	unbind(A);
	unbound = true;
}

/* IRQ-38, and spec 20, 4.7: what still works meanwhile */
static void request(void **state)
{
	int32_t fd = efd();
	struct thread t;

	use_open(&u, A);
	assert_int_equal(irq_fds(&u, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &fd), 0);
	assert_int_equal(thread_start(&t, "unbind", unbinder, NULL), 0);
	assert_true(efd_wait(fd) >= 1);
	assert_false(unbound);
	assert_int_equal(cfg_read(&u, PCI_VENDOR_ID, 2), 0x1b36);
	assert_rc(sys_ioctl_u(u.c, u.dev, VFIO_DEVICE_RESET, 0), -EAGAIN);
	assert_rc(use_sibling(&u, A), -ENODEV);
	sys_close(u.c, u.dev);
	thread_join(&t);
	assert_true(unbound);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(standard),
		TEST(af),
		TEST(none),
		TEST(circle),
		TEST(extended),
		TEST(extended_none),
		TEST(extended_more),
		TEST(request),
	};

	return cmocka_run_group_tests_name("vfio_pci-caps", tests, NULL, NULL);
}
