/* SPDX-License-Identifier: MIT */
/*
 * What spec 20, 2, says of the registers that programs see, a dword each. What is not in the tables is not looked at:
 * the bodies of hidden capabilities, and what nobody owns.
 */
#include "config.h"
#include <assert.h>
#include <string.h>

#define ALL 0xffffffffu

struct rule {
	uint16_t id, offset;
	uint32_t may, kept, host;
};

static const struct rule header[] = {
	{ 0, 0x00, 0, 0, ALL },
	{ 0, 0x04, 0xffefffff, PCI_COMMAND_INTX_DISABLE, 0 },
	{ 0, 0x08, 0, 0, ALL },
	{ 0, 0x0c, 0xff00ffff, 0, 0xff0000 },
	/* BARs: bars_rules() */
	{ 0, 0x28, 0, 0, ALL }, { 0, 0x2c, 0, 0, ALL }, { 0, 0x34, 0, 0, ALL }, { 0, 0x38, 0, 0, ALL },
	{ 0, 0x3c, 0xff, 0xff, ALL },
};

static const struct rule standard[] = {
	{ PCI_CAP_ID_PM, 0x00, 0, 0, ALL },
	{ PCI_CAP_ID_PM, 0x04, 0xffff7eff, 0, 0x8100 }, /* no PME */
	{ PCI_CAP_ID_VPD, 0x00, 0xffff0000, 0, 0 },
	{ PCI_CAP_ID_VPD, 0x04, ALL, 0, 0 },
	{ PCI_CAP_ID_MSI, 0x00, 0x00ff0000, 0, 0 },
	{ PCI_CAP_ID_MSI, 0x04, ALL, ALL, 0 },
	{ PCI_CAP_ID_MSI, 0x08, ALL, 0xffff, 0 },
	{ PCI_CAP_ID_EXP, 0x00, 0, 0, ALL },
	{ PCI_CAP_ID_EXP, 0x04, 0, 0, ALL },
	{ PCI_CAP_ID_EXP, 0x08, 0x00207dff, 0x70e0, 0x00e0 },
	/* no FLR, no phantom functions; sizes are the program's idea */
	{ PCI_CAP_ID_EXP, 0x0c, 0, 0, ALL },
	{ PCI_CAP_ID_EXP, 0x10, 0, 0, ALL },
	{ PCI_CAP_ID_EXP, 0x24, 0, 0, ALL },
	{ PCI_CAP_ID_EXP, 0x28, 0xffdf, 0, 0x20 }, /* no ARI */
	{ PCI_CAP_ID_EXP, 0x2c, 0, 0, ALL },
	{ PCI_CAP_ID_EXP, 0x30, 0, 0, ALL },
	{ PCI_CAP_ID_MSIX, 0x00, 0x80000000, 0, 0 }, /* on and off by SET_IRQS */
	{ PCI_CAP_ID_MSIX, 0x04, 0, 0, ALL },
	{ PCI_CAP_ID_MSIX, 0x08, 0, 0, ALL },
	{ PCI_CAP_ID_AF, 0x00, 0, 0, ALL },
	{ PCI_CAP_ID_AF, 0x04, 0xffffff00, 0, 0 },
	{ PCI_CAP_ID_VNDR, 0x00, 0xff000000, 0, 0 },
	{ PCI_CAP_ID_PCIX, 0x00, 0xffff0000, 0, 0 },
	{ PCI_CAP_ID_HT, 0x00, 0, 0, ALL },
};

static const struct rule extended[] = {
	{ PCI_EXT_CAP_ID_ERR, 0x00, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_ERR, 0x04, 0x03fff031, 0, ~0x03fff031u },
	{ PCI_EXT_CAP_ID_ERR, 0x08, 0x03fff031, 0, ~0x03fff031u },
	{ PCI_EXT_CAP_ID_ERR, 0x0c, 0x03fff031, 0, ~0x03fff031u },
	{ PCI_EXT_CAP_ID_ERR, 0x10, 0xf1c1, 0, ~0xf1c1u },
	{ PCI_EXT_CAP_ID_ERR, 0x14, 0xf1c1, 0, ~0xf1c1u },
	{ PCI_EXT_CAP_ID_ERR, 0x18, 0x140, 0, ~0x140u },
	{ PCI_EXT_CAP_ID_ERR, 0x1c, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_DSN, 0x00, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_DSN, 0x04, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_DSN, 0x08, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_PWR, 0x00, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_PWR, 0x04, 0xff, 0, 0 },
	{ PCI_EXT_CAP_ID_PWR, 0x08, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_VNDR, 0x00, 0, 0, 0 },
	{ PCI_EXT_CAP_ID_DVSEC, 0x00, 0, 0, 0 },
	{ PCI_EXT_CAP_ID_REBAR, 0x00, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_REBAR, 0x04, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_REBAR, 0x08, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_DPA, 0x00, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_DPA, 0x0c, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_TPH, 0x00, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_TPH, 0x08, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_VC, 0x00, 0, 0, ALL },
	{ PCI_EXT_CAP_ID_VC, 0x0c, 0, 0, ALL },
};

static uint32_t get(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static void put(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static void add(struct rules *r, unsigned at, const struct rule *rule)
{
	assert(at + 4 <= LOOKED);
	put(r->may + at, rule->may);
	put(r->kept + at, rule->kept);
	put(r->host + at, rule->host);
}

static void cap_add(struct rules *r, unsigned at, unsigned id, const struct rule *table, size_t n)
{
	r->cap[r->ncaps++] = at;
	assert(r->ncaps < ARRAY_SIZE(r->cap));
	for (size_t i = 0; i < n; i++) {
		if (table[i].id == id)
			add(r, at + table[i].offset, &table[i]);
	}
	if (table == standard && id == PCI_CAP_ID_MSI && r->first[at + PCI_MSI_FLAGS] & PCI_MSI_FLAGS_64BIT) {
		put(r->kept + at + PCI_MSI_ADDRESS_HI, ALL);
		put(r->kept + at + PCI_MSI_DATA_64, 0xffff);
	}
}

/* A program sees BARs of the sizes that the regions have; where they really are is the host's. */
static void bars_rules(struct rules *r, int fd)
{
	for (unsigned i = 0; i <= VFIO_PCI_ROM_REGION_INDEX; i++) {
		struct vfio_region_info a = { .argsz = sizeof(a), .index = i };
		unsigned at = i == VFIO_PCI_ROM_REGION_INDEX ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * i;
		bool wide = i < 5 && (r->first[at] & (PCI_BASE_ADDRESS_SPACE | PCI_BASE_ADDRESS_MEM_TYPE_MASK)) ==
					     PCI_BASE_ADDRESS_MEM_TYPE_64;
		uint64_t mask;

		assert(uvfio_ioctl(m, fd, VFIO_DEVICE_GET_REGION_INFO, &a) == 0);
		mask = a.size ? ~(a.size - 1) : 0;
		if (mask && i == VFIO_PCI_ROM_REGION_INDEX)
			mask |= PCI_ROM_ADDRESS_ENABLE;
		add(r, at, &(struct rule){ 0, 0, (uint32_t)mask, (uint32_t)mask, ALL });
		if (!wide)
			continue;
		i++;
		add(r, at + 4, &(struct rule){ 0, 0, (uint32_t)(mask >> 32), (uint32_t)(mask >> 32), ALL });
	}
}

void rules_make(struct rules *r, int fd, struct pci_dev *dev)
{
	unsigned n = MIN(dev->config_size, (unsigned)LOOKED), at;

	memset(r, 0, sizeof(*r));
	memset(r->may, 0xff, sizeof(r->may));
	assert(uvfio_pread(m, fd, r->first, n, CONFIG) == (ssize_t)n);
	memcpy(r->written, r->first, n);
	r->ncaps = 1;
	for (unsigned i = 0; i < ARRAY_SIZE(header); i++)
		add(r, header[i].offset, &header[i]);
	bars_rules(r, fd);
	at = r->first[PCI_STATUS] & PCI_STATUS_CAP_LIST ? r->first[PCI_CAPABILITY_LIST] : 0;
	for (; at; at = r->first[at + PCI_CAP_LIST_NEXT])
		cap_add(r, at, r->first[at], standard, ARRAY_SIZE(standard));
	if (n <= 256)
		return;
	for (at = 256; at && get(r->first + at); at = PCI_EXT_CAP_NEXT(get(r->first + at)))
		cap_add(r, at, PCI_EXT_CAP_ID(get(r->first + at)), extended, ARRAY_SIZE(extended));
}

unsigned rules_find(const struct rules *r, uint8_t id)
{
	for (unsigned i = 1; i < r->ncaps; i++) {
		if (r->cap[i] < 256 && r->first[r->cap[i]] == id)
			return r->cap[i];
	}
	return 0;
}
