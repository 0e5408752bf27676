/* SPDX-License-Identifier: MIT */
/* Groups and whose they are (spec 10, 1.6, 1.7, 2.1 to 2.3). */
#include "iommu_lab.h"

static int user_a, user_b;

static void assert_owner(struct iommu_group *g, unsigned count, void *owner)
{
	unsigned n;
	void *who;

	iommu_group_owner(g, &n, &who);
	assert_int_equal(n, count);
	assert_ptr_equal(who, owner);
	assert_int_equal(iommu_group_claimed(g), count != 0);
}

/* A DMA must fail, for this reason. */
static void assert_faults(struct iommu_dev *d, enum iommu_fault_reason reason)
{
	struct iommu_fault f[IOMMU_FAULTS];
	uint64_t before, after;
	unsigned n;
	char c;

	iommu_faults(lab.iommu, f, &before);
	assert_int_equal(iommu_dma_read(d, 0x1000, &c, 1), -EFAULT);
	n = iommu_faults(lab.iommu, f, &after);
	assert_int_equal(after, before + 1);
	assert_int_equal(f[n - 1].reason, reason);
}

static void ids_are_the_lowest_free_and_come_back_with_the_last_reference(void **state)
{
	struct iommu_group *a = lab_group(), *b = lab_group(), *fake, *c;
	struct iommu_dev *d = lab_dev("a", &unit_dma, a);

	assert_int_equal(iommu_group_id(a), 0);
	assert_int_equal(iommu_group_id(b), 1);
	assert_int_equal(iommu_group_create_fake(lab.iommu, "vfio-noiommu", &fake), 0);
	assert_int_equal(iommu_group_id(fake), 2);
	assert_string_equal(iommu_group_name(fake), "vfio-noiommu");
	assert_null(iommu_group_name(a));
	iommu_group_put(a); /* the member still holds it */
	iommu_group_put(b);
	c = lab_group();
	assert_int_equal(iommu_group_id(c), 1);
	iommu_dev_destroy(d);
	iommu_group_put(c);
	c = lab_group();
	assert_int_equal(iommu_group_id(c), 0);
	iommu_group_put(c);
	iommu_group_put(fake);
	iommu_group_put(NULL);
}

static void joining_and_leaving_is_logged_with_the_number(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *d = lab_dev("0000:01:00.0", &unit_dma, g);

	assert_string_equal(lab.log.line[0], "0000:01:00.0: Adding to iommu group 0");
	assert_ptr_equal(iommu_dev_group(d), g);
	assert_ptr_equal(iommu_group_first(g), d);
	assert_int_equal(iommu_dev_join(d, g), -EBUSY);
	iommu_dev_leave(d);
	assert_string_equal(lab.log.line[1], "0000:01:00.0: Removing from iommu group 0");
	assert_null(iommu_dev_group(d));
	assert_null(iommu_group_first(g));
	iommu_dev_leave(d);
	iommu_dev_destroy(d);
	iommu_dev_destroy(NULL);
	iommu_group_put(g);
}

/* SYS-06 */
static void SYS_06_type_is_the_default_domains(void **state)
{
	const struct { const struct iommu_unit *unit; const char *type; } want[] = {
		{ &unit_dma, "DMA-FQ" }, { &unit_weak, "DMA" }, { &unit_small, "identity" },
	};
	struct iommu_group *g = lab_group();

	assert_string_equal(iommu_group_type(g), "unknown");
	iommu_group_put(g);
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		struct iommu_dev *d;

		g = lab_group();
		d = lab_dev("d", want[i].unit, g);
		assert_string_equal(iommu_group_type(g), want[i].type);
		assert_int_equal(iommu_group_claim(g, &user_a), 0);
		assert_string_equal(iommu_group_type(g), want[i].type);
		iommu_group_release(g);
		iommu_dev_destroy(d);
		iommu_group_put(g);
	}
}

/* 1.7, SYS-08..10: in the order of the checks */
static void SYS_08_SYS_09_SYS_10_a_type_is_changed_only_while_nobody_uses_it(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *d, *e;
	struct iommu_domain *dom;
	char c;

	assert_int_equal(iommu_group_set_type(g, "DMA"), -EINVAL); /* no default domain yet */
	d = lab_dev("d", &unit_weak, g);
	assert_int_equal(iommu_group_set_type(g, "DMA-XX"), -EINVAL);
	assert_int_equal(iommu_dev_use_default(d), 0);
	assert_int_equal(iommu_group_set_type(g, "identity"), -EPERM);
	assert_int_equal(iommu_group_set_type(g, "DMA"), -EPERM); /* though nothing would change */
	assert_int_equal(iommu_group_set_type(g, NULL), -EPERM);
	assert_int_equal(iommu_group_set_type(g, "DMA-FQ"), 0);
	assert_string_equal(iommu_group_type(g), "DMA-FQ");
	assert_int_equal(iommu_group_set_type(g, "DMA-FQ"), -EPERM); /* it is that already, and in use */
	iommu_dev_unuse_default(d);
	assert_int_equal(iommu_group_claim(g, &user_a), 0);
	assert_int_equal(iommu_group_set_type(g, "identity"), -EPERM);
	iommu_group_release(g);

	assert_int_equal(iommu_group_set_type(g, "identity"), 0);
	assert_string_equal(iommu_group_type(g), "identity");
	assert_int_equal(iommu_dev_use_default(d), 0);
	assert_int_equal(iommu_dma_read(d, lab.phys_shared, &c, 1), 0); /* nothing translates any more */
	iommu_dev_unuse_default(d);
	e = lab_dev("e", &unit_weak, g); /* who comes later gets what the group has now */
	assert_int_equal(iommu_dev_use_default(e), 0);
	assert_int_equal(iommu_dma_read(e, lab.phys_shared, &c, 1), 0);
	iommu_dev_unuse_default(e);
	assert_int_equal(iommu_group_claim(g, &user_a), 0);
	assert_faults(d, IOMMU_FAULT_BLOCKED);
	iommu_group_release(g);
	assert_int_equal(iommu_group_set_type(g, NULL), 0);
	assert_string_equal(iommu_group_type(g), "DMA");
	assert_int_equal(iommu_dev_use_default(d), 0);
	assert_faults(d, IOMMU_FAULT_NOT_MAPPED);
	iommu_dev_unuse_default(d);

	assert_int_equal(iommu_domain_create(d, &dom), 0); /* under somebody's own domain: it is found on detach */
	assert_int_equal(iommu_group_attach(g, dom), 0);
	assert_int_equal(iommu_group_set_type(g, "identity"), 0);
	assert_faults(d, IOMMU_FAULT_NOT_MAPPED);
	iommu_group_detach(g);
	assert_int_equal(iommu_dma_read(d, lab.phys_shared, &c, 1), 0);
	iommu_domain_destroy(dom);
	iommu_dev_destroy(d);
	iommu_dev_destroy(e);
	assert_int_equal(iommu_group_set_type(g, "DMA"), -EPERM); /* nobody left */
	iommu_group_put(g);
}

static void an_untrusted_device_is_always_translated(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *d;

	assert_int_equal(iommu_dev_create(lab.iommu, "d", &unit_small, &d), 0);
	iommu_dev_distrust(d);
	assert_int_equal(iommu_dev_join(d, g), 0);
	assert_string_equal(iommu_group_type(g), "DMA"); /* the unit's is identity */
	assert_int_equal(iommu_group_set_type(g, "identity"), -EINVAL);
	assert_int_equal(iommu_group_set_type(g, NULL), 0);
	assert_int_equal(iommu_group_set_type(g, "DMA"), 0);
	assert_string_equal(iommu_group_type(g), "DMA");
	iommu_dev_destroy(d);
	iommu_group_put(g);
}

static char *resv_text(struct iommu_group *g)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	iommu_group_resv_show(g, f);
	fclose(f);
	return text;
}

/* SYS-02..05 */
static void SYS_02_SYS_03_SYS_04_SYS_05_reserved_regions_are_merged_by_type_and_sorted(void **state)
{
	static const struct iommu_resv resv[] = {
		{ 0x20000, 0x2ffff, IOMMU_RESV_DIRECT },
		{ 0x10000, 0x1ffff, IOMMU_RESV_DIRECT },                 /* touches: one line */
		{ 0x18000, 0x18fff, IOMMU_RESV_RESERVED },               /* inside, other type: stays */
		{ 0x10000, 0x10fff, IOMMU_RESV_DIRECT_RELAXABLE },       /* same start: by type number */
		{ 0x40000, 0x4ffff, IOMMU_RESV_DIRECT },
		{ 0x08000000, 0x080fffff, IOMMU_RESV_SW_MSI },
		{ 0xfd00000000, 0xffffffffff, IOMMU_RESV_RESERVED },
	};
	struct iommu_group *g = lab_group(), *fake;
	struct iommu_dev *d, *e;
	char *text;

	assert_int_equal(iommu_dev_create(lab.iommu, "d", &unit_dma, &d), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(resv); i++)
		assert_int_equal(iommu_dev_add_resv(d, &resv[i]), 0);
	assert_int_equal(iommu_dev_add_resv(d, &(struct iommu_resv){ 2, 1, IOMMU_RESV_DIRECT }), -EINVAL);
	assert_int_equal(iommu_dev_join(d, g), 0);
	assert_int_equal(iommu_dev_add_resv(d, &resv[0]), -EINVAL);
	e = lab_dev("e", &unit_dma, g); /* its MSI window is the same */
	text = resv_text(g);
	assert_string_equal(text,
			    "0x0000000000010000 0x000000000002ffff direct\n"
			    "0x0000000000010000 0x0000000000010fff direct-relaxable\n"
			    "0x0000000000018000 0x0000000000018fff reserved\n"
			    "0x0000000000040000 0x000000000004ffff direct\n"
			    "0x0000000008000000 0x00000000080fffff msi\n"
			    "0x00000000fee00000 0x00000000feefffff msi\n"
			    "0x000000fd00000000 0x000000ffffffffff reserved\n");
	free(text);
	assert_int_equal(iommu_group_create_fake(lab.iommu, "fake", &fake), 0);
	text = resv_text(fake);
	assert_string_equal(text, "");
	free(text);
	iommu_dev_destroy(d);
	iommu_dev_destroy(e);
	iommu_group_put(g);
	iommu_group_put(fake);
}

/* SYS-04, SYS-05: what a platform reserves for all its devices */
static void SYS_04_SYS_05_a_units_own_regions_replace_the_x86_window(void **state)
{
	struct iommu_unit arm = unit_dma, amd = unit_dma;
	const struct { struct iommu_unit *unit; const char *text; } want[] = {
		{ &arm, "0x0000000008000000 0x00000000080fffff msi\n" },
		{ &amd, "0x00000000fee00000 0x00000000feefffff msi\n0x000000fd00000000 0x000000ffffffffff reserved\n" },
	};

	arm.resv[arm.nresv++] = (struct iommu_resv){ 0x08000000, 0x080fffff, IOMMU_RESV_SW_MSI };
	amd.resv[amd.nresv++] = (struct iommu_resv){ 0xfee00000, 0xfeefffff, IOMMU_RESV_MSI };
	amd.resv[amd.nresv++] = (struct iommu_resv){ 0xfd00000000, 0xffffffffff, IOMMU_RESV_RESERVED };
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		struct iommu_group *g = lab_group();
		struct iommu_dev *d = lab_dev("d", want[i].unit, g);
		char *text = resv_text(g);

		assert_string_equal(text, want[i].text);
		free(text);
		iommu_dev_destroy(d);
		iommu_group_put(g);
	}
}

/* OWN-15 */
static void OWN_15_nothing_is_attached_while_a_member_is_reset(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_dma, g), *b = lab_dev("b", &unit_dma, g);
	struct iommu_dev *alone = lab_dev("c", &unit_dma, NULL);
	struct iommu_domain *dom;
	char c;

	assert_int_equal(iommu_domain_create(a, &dom), 0);
	assert_int_equal(iommu_map(dom, 0, lab.phys_shared, MIB, RW), 0);
	iommu_dev_reset_begin(a);
	iommu_dev_reset_begin(a);
	assert_int_equal(iommu_group_claim(g, &user_a), -EBUSY);
	assert_int_equal(iommu_dev_claim(b, &user_a), -EBUSY);
	assert_owner(g, 0, NULL);
	iommu_dev_reset_end(a);
	assert_int_equal(iommu_group_claim(g, &user_a), -EBUSY);
	iommu_dev_reset_end(a);
	assert_int_equal(iommu_group_claim(g, &user_a), 0);
	iommu_dev_reset_begin(a);
	assert_int_equal(iommu_group_attach(g, dom), -EBUSY);
	iommu_dev_reset_end(a);
	assert_int_equal(iommu_group_attach(g, dom), 0);

	/* Only the one that is reset is cut off, and finds itself where its group has gone meanwhile. */
	assert_int_equal(iommu_dma_read(a, 0x1000, &c, 1), 0);
	iommu_dev_reset_begin(a);
	assert_faults(a, IOMMU_FAULT_BLOCKED);
	assert_int_equal(iommu_dma_read(b, 0x1000, &c, 1), 0);
	iommu_dev_reset_end(a);
	assert_int_equal(iommu_dma_read(a, 0x1000, &c, 1), 0);
	iommu_dev_reset_begin(a);
	iommu_group_release(g);
	assert_faults(a, IOMMU_FAULT_BLOCKED);
	assert_int_equal(iommu_dev_use_default(b), 0);
	assert_faults(b, IOMMU_FAULT_NOT_MAPPED);
	iommu_dev_reset_end(a);
	assert_faults(a, IOMMU_FAULT_NOT_MAPPED);
	iommu_dev_unuse_default(b);

	iommu_dev_reset_begin(b);
	iommu_dev_leave(b); /* unplugged in the middle of it */
	iommu_dev_reset_end(b);
	assert_int_equal(iommu_group_claim(g, &user_a), 0);
	iommu_group_release(g);
	iommu_dev_reset_begin(alone);
	iommu_dev_reset_end(alone);
	iommu_domain_destroy(dom);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_dev_destroy(alone);
	iommu_group_put(g);
}

/* OWN-01, 03, 05, 06, 18, 30 */
static void OWN_01_OWN_03_OWN_05_OWN_06_OWN_18_OWN_30_kernel_drivers_and_users_exclude_each_other(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_dma, g), *b = lab_dev("b", &unit_dma, g);

	assert_int_equal(iommu_dev_use_default(a), 0);
	assert_int_equal(iommu_dev_use_default(b), 0);
	assert_owner(g, 2, NULL);
	assert_int_equal(iommu_group_claim(g, NULL), -EINVAL);
	assert_int_equal(iommu_group_claim(g, &user_a), -EPERM);
	assert_int_equal(iommu_dev_claim(a, NULL), -EINVAL);
	assert_int_equal(iommu_dev_claim(a, &user_a), -EPERM);
	iommu_dev_unuse_default(a);
	assert_int_equal(iommu_group_claim(g, &user_a), -EPERM);
	iommu_dev_unuse_default(b);
	assert_owner(g, 0, NULL);

	assert_int_equal(iommu_group_claim(g, &user_a), 0);
	assert_owner(g, 1, &user_a);
	assert_int_equal(iommu_group_claim(g, &user_a), -EPERM); /* even the same */
	assert_int_equal(iommu_group_claim(g, &user_b), -EPERM);
	assert_int_equal(iommu_dev_claim(a, &user_b), -EPERM);
	assert_int_equal(iommu_dev_use_default(a), -EBUSY);
	assert_int_equal(iommu_dev_use_default(b), -EBUSY);
	assert_owner(g, 1, &user_a);
	iommu_group_release(g);
	assert_owner(g, 0, NULL);
	assert_int_equal(iommu_dev_use_default(a), 0);
	iommu_dev_unuse_default(a);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_group_put(g);
}

/* OWN-04, 05, 12 */
static void OWN_04_OWN_05_OWN_12_device_claims_of_one_user_add_up(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_dma, g), *b = lab_dev("b", &unit_dma, g);
	struct iommu_dev *alone = lab_dev("c", &unit_dma, NULL);

	assert_int_equal(iommu_dev_claim(alone, &user_a), -ENODEV);
	assert_int_equal(iommu_dev_claim(alone, NULL), -EINVAL);
	assert_int_equal(iommu_dev_claim(a, &user_a), 0);
	assert_int_equal(iommu_dev_claim(b, &user_a), 0);
	assert_owner(g, 2, &user_a);
	assert_int_equal(iommu_dev_claim(b, &user_b), -EPERM);
	iommu_dev_release(a);
	assert_owner(g, 1, &user_a);
	assert_faults(a, IOMMU_FAULT_BLOCKED);
	assert_int_equal(iommu_dev_use_default(a), -EBUSY);
	iommu_dev_release(b);
	assert_owner(g, 0, NULL);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_dev_destroy(alone);
	iommu_group_put(g);
}

/* OWN-08, 17 */
static void OWN_08_OWN_17_a_driver_may_have_to_wait_or_need_not_ask(void **state)
{
	struct iommu_dev *d = lab_dev("d", NULL, NULL);
	struct iommu_group *fake;

	assert_int_equal(iommu_dev_use_default(d), 0);
	iommu_dev_unuse_default(d);
	assert_int_equal(iommu_group_create_fake(lab.iommu, "vfio-noiommu", &fake), 0);
	assert_int_equal(iommu_dev_join(d, fake), 0);
	assert_string_equal(iommu_group_type(fake), "unknown");
	assert_int_equal(iommu_dev_use_default(d), -UVFIO_EPROBE_DEFER);
	assert_int_equal(iommu_group_claim(fake, &user_a), -EINVAL);
	assert_int_equal(iommu_dev_claim(d, &user_a), -EINVAL);
	iommu_dev_destroy(d);
	iommu_group_put(fake);
}

static void who_may_join_what(void **state)
{
	struct iommu_group *g = lab_group(), *fake;
	struct iommu_dev *bare = lab_dev("bare", NULL, NULL), *behind = lab_dev("behind", &unit_dma, NULL);

	assert_int_equal(iommu_group_create_fake(lab.iommu, "fake", &fake), 0);
	assert_int_equal(iommu_dev_join(bare, g), -EINVAL);
	assert_int_equal(iommu_dev_join(behind, fake), -EINVAL);
	iommu_dev_destroy(bare);
	iommu_dev_destroy(behind);
	iommu_group_put(g);
	iommu_group_put(fake);
}

/* OWN-09, 11, 13 */
static void OWN_09_OWN_11_OWN_13_owned_means_blocked_until_attached(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_dma, g), *b = lab_dev("b", &unit_dma, g);
	struct iommu_domain *dom;
	char c;

	assert_faults(a, IOMMU_FAULT_BLOCKED); /* nobody's */
	assert_int_equal(iommu_dev_use_default(b), 0);
	assert_faults(a, IOMMU_FAULT_NOT_MAPPED); /* the kernel's, whose drivers map nothing */
	iommu_dev_unuse_default(b);
	assert_int_equal(iommu_group_claim(g, &user_a), 0);
	assert_faults(a, IOMMU_FAULT_BLOCKED);
	assert_faults(b, IOMMU_FAULT_BLOCKED);
	assert_int_equal(iommu_domain_create(iommu_group_first(g), &dom), 0);
	assert_int_equal(iommu_map(dom, 0, lab.phys_shared, MIB, RW), 0);
	assert_int_equal(iommu_group_attach(g, dom), 0);
	assert_int_equal(iommu_dma_read(a, 0x1000, &c, 1), 0);
	assert_int_equal(iommu_dma_read(b, 0x1000, &c, 1), 0);
	assert_int_equal(iommu_group_attach(g, dom), -EBUSY);
	iommu_group_detach(g);
	assert_faults(a, IOMMU_FAULT_BLOCKED);
	iommu_group_detach(g);
	assert_int_equal(iommu_group_attach(g, dom), 0);
	iommu_group_release(g); /* straight from the user's domain */
	assert_faults(a, IOMMU_FAULT_BLOCKED);
	assert_int_equal(iommu_dev_use_default(a), 0);
	iommu_dev_unuse_default(a);
	iommu_domain_destroy(dom);
	iommu_domain_destroy(NULL);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_group_put(g);
}

/* OWN-07, 14; 2.3 last but one */
static void OWN_07_OWN_14_a_private_domain_is_in_everybodys_way(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *d = lab_dev("d", &unit_dma, g);
	struct iommu_domain *dom, *other;

	assert_int_equal(iommu_domain_create(d, &dom), 0);
	assert_int_equal(iommu_domain_create(d, &other), 0);
	assert_int_equal(iommu_dev_use_default(d), 0);
	assert_int_equal(iommu_group_attach(g, dom), 0); /* by a kernel driver, without a claim */
	assert_int_equal(iommu_dev_use_default(d), -EBUSY);
	assert_int_equal(iommu_group_attach(g, other), -EBUSY);
	iommu_dev_unuse_default(d);
	assert_int_equal(iommu_group_claim(g, &user_a), -EBUSY);
	assert_int_equal(iommu_dev_claim(d, &user_a), -EBUSY);
	assert_owner(g, 0, NULL);
	iommu_group_detach(g); /* to the default domain: nobody owns it */
	assert_int_equal(iommu_dev_use_default(d), 0);
	assert_faults(d, IOMMU_FAULT_NOT_MAPPED);
	iommu_dev_unuse_default(d);
	iommu_domain_destroy(dom);
	iommu_domain_destroy(other);
	iommu_dev_destroy(d);
	iommu_group_put(g);
}

/* OWN-10 */
static void OWN_10_a_direct_region_refuses_every_claim(void **state)
{
	static const struct iommu_resv direct = { 0x1000, 0x1fff, IOMMU_RESV_DIRECT };
	static const struct iommu_resv relaxed = { 0x1000, 0x1fff, IOMMU_RESV_DIRECT_RELAXABLE };
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_dma, g), *b, *c;

	assert_int_equal(iommu_dev_create(lab.iommu, "b", &unit_dma, &b), 0);
	assert_int_equal(iommu_dev_add_resv(b, &direct), 0);
	assert_int_equal(iommu_dev_create(lab.iommu, "c", &unit_dma, &c), 0);
	assert_int_equal(iommu_dev_add_resv(c, &relaxed), 0);
	assert_int_equal(iommu_dev_join(b, g), 0);
	assert_int_equal(iommu_group_claim(g, &user_a), -EINVAL);
	assert_int_equal(iommu_dev_claim(a, &user_a), -EINVAL);
	assert_owner(g, 0, NULL);
	assert_int_equal(iommu_dev_use_default(a), 0); /* still in the default domain */
	iommu_dev_unuse_default(a);
	iommu_dev_leave(b);
	assert_int_equal(iommu_dev_join(c, g), 0);
	assert_int_equal(iommu_group_claim(g, &user_a), 0);
	assert_int_equal(iommu_dev_join(b, g), -EINVAL); /* and it cannot come later */
	iommu_group_release(g);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_dev_destroy(c);
	iommu_group_put(g);
}

/* OWN-16 */
static void OWN_16_an_attach_that_one_member_refuses_changes_nothing(void **state)
{
	struct iommu_group *strong = lab_group(), *mixed = lab_group(), *small = lab_group(), *empty = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_dma, strong), *b = lab_dev("b", &unit_dma, mixed);
	struct iommu_dev *c = lab_dev("c", &unit_weak, mixed), *d = lab_dev("d", &unit_small, small);
	struct iommu_domain *dom;

	assert_int_equal(iommu_domain_create(a, &dom), 0);
	assert_int_equal(iommu_group_attach(strong, dom), 0);
	assert_true(iommu_domain_enforce_coherency(dom));
	assert_int_equal(iommu_map(dom, 0, lab.phys_shared, MIB, RW), 0);
	assert_int_equal(iommu_group_claim(mixed, &user_a), 0);
	assert_int_equal(iommu_group_attach(mixed, dom), -EINVAL);
	assert_faults(b, IOMMU_FAULT_BLOCKED);
	assert_faults(c, IOMMU_FAULT_BLOCKED);
	assert_owner(mixed, 1, &user_a);
	assert_int_equal(iommu_group_attach(small, dom), -EINVAL); /* another kind of IOMMU */
	assert_int_equal(iommu_group_attach(empty, dom), -EINVAL);
	iommu_dev_leave(c);
	assert_int_equal(iommu_group_attach(mixed, dom), 0);
	iommu_group_detach(strong);
	iommu_group_release(mixed);
	iommu_domain_destroy(dom);

	/* The other way round: enforcing is refused while one is attached that cannot. */
	assert_int_equal(iommu_dev_join(c, mixed), 0);
	assert_int_equal(iommu_domain_create(a, &dom), 0);
	assert_int_equal(iommu_group_attach(mixed, dom), 0);
	assert_false(iommu_domain_enforce_coherency(dom));
	iommu_group_detach(mixed);
	assert_true(iommu_domain_enforce_coherency(dom));
	iommu_domain_destroy(dom);
	assert_int_equal(iommu_domain_create(c, &dom), 0);
	assert_false(iommu_domain_enforce_coherency(dom));
	iommu_domain_destroy(dom);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_dev_destroy(c);
	iommu_dev_destroy(d);
	iommu_group_put(strong);
	iommu_group_put(mixed);
	iommu_group_put(small);
	iommu_group_put(empty);
}

/* 1.6: a newcomer goes where the group is */
static void a_hot_added_member_lands_in_the_users_domain(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_dma, g), *b;
	struct iommu_domain *dom;
	char c;

	assert_int_equal(iommu_group_claim(g, &user_a), 0);
	b = lab_dev("b", &unit_dma, g);
	assert_faults(b, IOMMU_FAULT_BLOCKED);
	assert_int_equal(iommu_dev_use_default(b), -EBUSY);
	iommu_dev_destroy(b);
	assert_int_equal(iommu_domain_create(a, &dom), 0);
	assert_int_equal(iommu_map(dom, 0, lab.phys_shared, MIB, RW), 0);
	assert_int_equal(iommu_group_attach(g, dom), 0);
	b = lab_dev("b", &unit_dma, g);
	assert_int_equal(iommu_dma_read(b, 0x1000, &c, 1), 0);
	iommu_dev_leave(b);
	assert_faults(b, IOMMU_FAULT_BLOCKED);
	iommu_dev_destroy(b);
	iommu_group_release(g);
	iommu_domain_destroy(dom);
	iommu_dev_destroy(a);
	iommu_group_put(g);
}

static void units_that_make_no_sense_are_refused(void **state)
{
	struct iommu_unit u = unit_dma;
	struct iommu_domain *dom = (void *)1;
	struct iommu_dev *d = (void *)1;

	u.width = 65;
	assert_int_equal(iommu_dev_create(lab.iommu, "d", &u, &d), -EINVAL);
	u.width = 12;
	assert_int_equal(iommu_dev_create(lab.iommu, "d", &u, &d), -EINVAL);
	u = unit_dma;
	u.pgsizes = 0x200000;
	assert_int_equal(iommu_dev_create(lab.iommu, "d", &u, &d), -EINVAL);
	assert_ptr_equal(d, (void *)1);
	d = lab_dev("d", NULL, NULL);
	assert_int_equal(iommu_domain_create(d, &dom), -ENODEV);
	assert_ptr_equal(dom, (void *)1);
	assert_null(iommu_dev_unit(d));
	iommu_dev_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ids_are_the_lowest_free_and_come_back_with_the_last_reference),
		T(joining_and_leaving_is_logged_with_the_number),
		T(SYS_06_type_is_the_default_domains),
		T(SYS_08_SYS_09_SYS_10_a_type_is_changed_only_while_nobody_uses_it),
		T(an_untrusted_device_is_always_translated),
		T(SYS_02_SYS_03_SYS_04_SYS_05_reserved_regions_are_merged_by_type_and_sorted),
		T(SYS_04_SYS_05_a_units_own_regions_replace_the_x86_window),
		T(OWN_15_nothing_is_attached_while_a_member_is_reset),
		T(OWN_01_OWN_03_OWN_05_OWN_06_OWN_18_OWN_30_kernel_drivers_and_users_exclude_each_other),
		T(OWN_04_OWN_05_OWN_12_device_claims_of_one_user_add_up),
		T(OWN_08_OWN_17_a_driver_may_have_to_wait_or_need_not_ask),
		T(who_may_join_what),
		T(OWN_09_OWN_11_OWN_13_owned_means_blocked_until_attached),
		T(OWN_07_OWN_14_a_private_domain_is_in_everybodys_way),
		T(OWN_10_a_direct_region_refuses_every_claim),
		T(OWN_16_an_attach_that_one_member_refuses_changes_nothing),
		T(a_hot_added_member_lands_in_the_users_domain),
		T(units_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
