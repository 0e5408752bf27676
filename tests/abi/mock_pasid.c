/* SPDX-License-Identifier: MIT */
/* PASIDs: address spaces beside the device's own, below one device. */
#include "nested.h"

#define TRAP IOMMU_TEST_PASID_RESERVED

static int fd;
static uint32_t ioas, fit, plain;
static struct mock m;

/* A device of PASIDs on @fit, which is good for PASIDs; @plain is not */
static void begin(void)
{
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	m = mock(fd, ioas, MOCK_FLAGS_DEVICE_PASID);
	fit = paging(fd, m.dev, ioas, FOR_PASID, 0);
	plain = paging(fd, m.dev, ioas, 0, 0);
	EXPECT_OK(mock_replace_id(fd, m.stdev, fit));
}

static int attach(uint32_t pasid, uint32_t pt)
{
	return pasid_attach(fd, m.stdev, pasid, pt);
}

static int replace(uint32_t pasid, uint32_t pt)
{
	return pasid_replace(fd, m.stdev, pasid, pt);
}

static int detach(uint32_t pasid)
{
	return pasid_detach(fd, m.stdev, pasid);
}

static int check(uint32_t pasid, uint32_t hwpt)
{
	return pasid_check(fd, m.stdev, pasid, hwpt);
}

TEST(moves, "31:TST-26 31:TST-27", "a PASID is attached, replaced and detached; the device's own HWPT stays")
{
	uint32_t other, pt;

	begin();
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_OK(check(5, 0));
	EXPECT_ERR(EINVAL, check(5, fit));
	pt = fit;
	EXPECT_OK(pasid_set(fd, IOMMU_TEST_OP_PASID_ATTACH, m.stdev, 5, &pt));
	EXPECT_EQ(fit, pt);
	EXPECT_OK(check(5, fit));
	EXPECT_ERR(EINVAL, check(5, 0));
	EXPECT_ERR(EINVAL, check(5, other));
	EXPECT_OK(check(6, 0));
	pt = other;
	EXPECT_OK(pasid_set(fd, IOMMU_TEST_OP_PASID_REPLACE, m.stdev, 5, &pt));
	EXPECT_EQ(other, pt);
	EXPECT_OK(check(5, other));
	EXPECT_OK(replace(5, other)); /* by itself */
	EXPECT_OK(check(5, other));
	EXPECT_OK(check(0, fit));
	EXPECT_OK(detach(5));
	EXPECT_OK(check(5, 0));
	EXPECT_OK(detach(5));
	EXPECT_OK(detach(99));
	EXPECT_OK(detach(UINT32_MAX));
	EXPECT_OK(check(0, fit));
	EXPECT_OK(destroy(fd, other));
}

TEST(ids, "31:TST-26 31:TST-27", "what is no mock device, no HWPT, or nothing")
{
	begin();
	EXPECT_ERR(ENOENT, pasid_attach(fd, 99, 5, fit));
	EXPECT_ERR(ENOENT, pasid_attach(fd, m.dev, 5, fit));
	EXPECT_ERR(ENOENT, pasid_replace(fd, m.dev, 5, fit));
	EXPECT_ERR(ENOENT, pasid_detach(fd, m.dev, 5));
	EXPECT_ERR(ENOENT, pasid_detach(fd, 99, 5));
	EXPECT_ERR(ENOENT, pasid_check(fd, 99, 5, fit));
	EXPECT_ERR(ENOENT, pasid_check(fd, m.dev, 5, fit));
	EXPECT_ERR(ENOENT, attach(5, 99));
	EXPECT_ERR(ENOENT, attach(5, 0));
	EXPECT_ERR(EINVAL, attach(5, m.dev));
	EXPECT_OK(attach(5, fit));
	EXPECT_ERR(ENOENT, replace(5, 99));
	EXPECT_ERR(EINVAL, replace(5, m.dev));
	EXPECT_ERR(ENOENT, check(5, 99));
	EXPECT_ERR(EINVAL, check(5, m.dev));
	EXPECT_ERR(EINVAL, check(5, ioas));
	EXPECT_OK(check(5, fit));
}

TEST(held, "31:TST-26 30:IFD-150", "each PASID holds its HWPT")
{
	uint32_t other;

	begin();
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_OK(attach(5, other));
	EXPECT_OK(attach(6, other));
	EXPECT_ERR(EBUSY, destroy(fd, other));
	EXPECT_OK(detach(5));
	EXPECT_ERR(EBUSY, destroy(fd, other));
	EXPECT_OK(replace(6, fit));
	EXPECT_OK(destroy(fd, other));
	EXPECT_OK(detach(6));
}

TEST(compatible, "30:IFD-146", "a PASID takes HWPTs that were made for PASIDs, never an IOAS")
{
	uint32_t parent, bare, made, free_id;

	begin();
	parent = paging(fd, m.dev, ioas, PARENT, 0);
	bare = nested(fd, m.dev, parent, 0, 0);
	made = nested(fd, m.dev, parent, FOR_PASID, 0);
	free_id = next_id(fd);
	EXPECT_ERR(EINVAL, attach(5, plain));
	EXPECT_ERR(EINVAL, attach(5, ioas));
	EXPECT_ERR(EINVAL, attach(5, parent));
	EXPECT_ERR(EINVAL, attach(5, bare));
	EXPECT_OK(check(5, 0));
	EXPECT_EQ(free_id, next_id(fd)); /* no automatic HWPT was left */
	EXPECT_OK(attach(5, made)); /* its parent need not be for PASIDs */
	EXPECT_ERR(EINVAL, replace(5, plain));
	EXPECT_ERR(EINVAL, replace(5, ioas));
	EXPECT_ERR(EINVAL, replace(5, bare));
	EXPECT_OK(check(5, made));
	EXPECT_OK(replace(5, fit));
	EXPECT_OK(check(5, fit));
	EXPECT_OK(destroy(fd, made));
	EXPECT_OK(detach(5));
}

TEST(compatible_device, "30:IFD-147", "beside PASIDs, the device's own HWPT is one for PASIDs")
{
	uint32_t pt, free_id, other;

	begin();
	pt = ioas;
	EXPECT_OK(mock_replace(fd, m.stdev, &pt));
	EXPECT_ERR(EINVAL, attach(5, fit));
	EXPECT_OK(mock_replace_id(fd, m.stdev, plain));
	EXPECT_ERR(EINVAL, attach(5, fit));
	EXPECT_OK(mock_replace_id(fd, m.stdev, fit));
	EXPECT_OK(attach(5, fit));
	EXPECT_OK(attach(6, fit));
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	free_id = next_id(fd);
	EXPECT_ERR(EINVAL, mock_replace_id(fd, m.stdev, plain));
	EXPECT_ERR(EINVAL, mock_replace_id(fd, m.stdev, ioas));
	EXPECT_EQ(free_id, next_id(fd));
	EXPECT_OK(check(0, fit));
	EXPECT_OK(mock_replace_id(fd, m.stdev, other));
	EXPECT_OK(detach(5));
	EXPECT_ERR(EINVAL, mock_replace_id(fd, m.stdev, plain));
	EXPECT_OK(detach(6));
	EXPECT_OK(mock_replace_id(fd, m.stdev, plain));
}

TEST(twice, "30:IFD-148", "a PASID is attached once; one that is not has nothing to replace")
{
	uint32_t other;

	begin();
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_ERR(EINVAL, replace(5, fit));
	EXPECT_OK(attach(5, fit));
	EXPECT_ERR(EBUSY, attach(5, fit));
	EXPECT_ERR(EBUSY, attach(5, other));
	EXPECT_OK(check(5, fit));
	EXPECT_OK(detach(5));
	EXPECT_ERR(EINVAL, replace(5, other));
	EXPECT_OK(attach(5, other));
	EXPECT_OK(detach(5));
}

TEST(limits, "30:IFD-148 31:TST-19", "PASIDs are of 20 bits where the device has them")
{
	begin();
	EXPECT_OK(attach((1u << 20) - 1, fit));
	EXPECT_OK(check((1u << 20) - 1, fit));
	EXPECT_ERR(EINVAL, attach(1u << 20, fit));
	EXPECT_ERR(EINVAL, attach(UINT32_MAX, fit));
	EXPECT_OK(detach((1u << 20) - 1));
	EXPECT_OK(attach(1, fit));
	EXPECT_OK(detach(1));
}

TEST(no_pasids, "30:IFD-148 31:TST-19", "a mock device without PASIDs has one, which is its own")
{
	struct mock bare;

	begin();
	bare = mock(fd, fit, 0);
	EXPECT_ERR(EINVAL, pasid_attach(fd, bare.stdev, 1, fit));
	EXPECT_ERR(EINVAL, pasid_attach(fd, bare.stdev, 5, fit));
	EXPECT_ERR(EINVAL, pasid_attach(fd, bare.stdev, 1u << 20, fit));
	EXPECT_OK(pasid_check(fd, bare.stdev, 5, 0));
	EXPECT_OK(pasid_detach(fd, bare.stdev, 5));
	EXPECT_ERR(EBUSY, pasid_attach(fd, bare.stdev, 0, fit));
}

TEST(pasid_0, "31:TST-26 30:IFD-148 30:IFD-147", "PASID 0 is the device itself")
{
	uint32_t other;

	begin();
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_ERR(EBUSY, attach(0, other));
	EXPECT_ERR(EBUSY, attach(0, fit));
	EXPECT_OK(replace(0, other));
	EXPECT_OK(check(0, other));
	EXPECT_OK(destroy(fd, fit));
	EXPECT_OK(replace(0, plain));
	EXPECT_OK(detach(0));
	EXPECT_OK(check(0, 0));
	EXPECT_OK(destroy(fd, plain));
	EXPECT_OK(attach(5, other)); /* nobody is in the way */
	EXPECT_ERR(EINVAL, replace(0, other));
	EXPECT_ERR(EINVAL, attach(0, ioas));
	EXPECT_OK(attach(0, other));
	EXPECT_OK(detach(5));
}

TEST(devices, "31:TST-26", "each device has PASIDs of its own")
{
	struct mock second;
	uint32_t other;

	begin();
	second = mock(fd, fit, MOCK_FLAGS_DEVICE_PASID);
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_OK(attach(5, fit));
	EXPECT_OK(pasid_check(fd, second.stdev, 5, 0));
	EXPECT_OK(pasid_attach(fd, second.stdev, 5, other));
	EXPECT_OK(detach(5));
	EXPECT_OK(pasid_check(fd, second.stdev, 5, other));
	EXPECT_OK(mock_replace_id(fd, m.stdev, plain)); /* the other's PASID does not count */
	EXPECT_OK(pasid_detach(fd, second.stdev, 5));
}

TEST(refused_replace, "30:IFD-149 31:TST-42", "a replacement the hardware refuses leaves what was there, and works the next time")
{
	uint32_t other, pt;

	begin();
	other = pt = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_OK(attach(TRAP, fit));
	EXPECT_ERR(ENOMEM, pasid_set(fd, IOMMU_TEST_OP_PASID_REPLACE, m.stdev, TRAP, &pt));
	EXPECT_EQ(other, pt);
	EXPECT_OK(check(TRAP, fit));
	EXPECT_OK(destroy(fd, other)); /* not held by the failure */
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_OK(replace(TRAP, other));
	EXPECT_OK(check(TRAP, other));
	EXPECT_OK(replace(TRAP, other)); /* by itself: the hardware does not hear of it */
	EXPECT_ERR(ENOMEM, replace(TRAP, fit));
	EXPECT_OK(check(TRAP, other));
	EXPECT_ERR(EBUSY, destroy(fd, other));
	EXPECT_OK(replace(TRAP, fit));
	EXPECT_OK(destroy(fd, other));
	EXPECT_OK(detach(TRAP));
}

TEST(trap, "31:TST-42", "the trap is set by what succeeds, of one device and PASID 1024 alone, and unset by detaching")
{
	struct mock second;
	uint32_t other;

	begin();
	second = mock(fd, fit, MOCK_FLAGS_DEVICE_PASID);
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_OK(attach(TRAP, fit));
	EXPECT_OK(attach(TRAP + 1, fit));
	EXPECT_OK(replace(TRAP + 1, other));
	EXPECT_OK(pasid_attach(fd, second.stdev, TRAP, other));
	EXPECT_ERR(EBUSY, attach(TRAP, other)); /* does not reach the hardware, */
	EXPECT_ERR(EINVAL, replace(TRAP, plain));
	EXPECT_ERR(ENOMEM, replace(TRAP, other)); /* which refuses the next that does */
	EXPECT_OK(replace(TRAP, other));
	EXPECT_OK(detach(TRAP));
	EXPECT_OK(attach(TRAP, fit));
	EXPECT_OK(detach(TRAP));
	EXPECT_OK(attach(TRAP, other));
	EXPECT_OK(detach(TRAP));
	EXPECT_OK(detach(TRAP + 1));
	EXPECT_ERR(ENOMEM, pasid_replace(fd, second.stdev, TRAP, fit));
	EXPECT_OK(pasid_check(fd, second.stdev, TRAP, other));
	EXPECT_OK(pasid_detach(fd, second.stdev, TRAP));
}

TEST(left, "30:IFD-150", "a mock device that goes leaves its PASIDs, whose HWPTs and id stay in use until all closes")
{
	uint32_t other;

	begin();
	other = paging(fd, m.dev, ioas, FOR_PASID, 0);
	EXPECT_OK(attach(5, other));
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_ERR(EBUSY, destroy(fd, other));
	EXPECT_ERR(EBUSY, destroy(fd, m.dev));
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
	EXPECT_ERR(ENOENT, detach(5));
	EXPECT_OK(destroy(fd, fit));
	EXPECT_OK(x_close(fd));
}

TEST(through_viommu, "31:TST-26 31:TST-39", "a PASID goes to an HWPT of a VIOMMU that does not know its device")
{
	uint32_t parent, v, id;

	begin();
	parent = paging(fd, m.dev, ioas, PARENT, 0);
	v = viommu(fd, m.dev, parent);
	id = nested(fd, m.dev, v, FOR_PASID, 0);
	EXPECT_ERR(ENOENT, mock_replace_id(fd, m.stdev, id));
	EXPECT_OK(attach(5, id));
	EXPECT_OK(check(5, id));
	EXPECT_ERR(EBUSY, destroy(fd, id));
	EXPECT_OK(detach(5));
	EXPECT_OK(destroy(fd, id));
}
