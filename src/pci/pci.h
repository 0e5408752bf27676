/* SPDX-License-Identifier: MIT */
/*
 * PCI as hardware: buses, bridges, functions, config space, BARs, interrupts, reset; and the grouping of
 * functions by ACS. The driver side (vfio/pci, host drivers) comes from above through struct pci_dev; the
 * hardware side (devices/) sees include/uvfio/model.h only.
 *
 * Config space here is the hardware's own: 256 or 4096 bytes, with a write mask per byte. Who may write
 * which bit as a user of VFIO is vfio/pci's business.
 */
#ifndef UVFIO_PCI_PCI_H
#define UVFIO_PCI_PCI_H

#include "base/defs.h"
#include "base/event.h"
#include "base/lock.h"
#include "base/mirror.h"
#include "core/core.h"
#include "iommu/iommu.h"
#include "mem/mem.h"
#include "uvfio/model.h"
#include <linux/pci_regs.h>
#include <sys/queue.h>

struct pci;       /* per machine */
struct pci_bus;

/* Type of a function in the PCIe capability; CONVENTIONAL: has none. */
enum pci_type {
	PCI_CONVENTIONAL = -1,
	PCI_ENDPOINT = 0,
	PCI_LEGACY_ENDPOINT = 1,
	PCI_ROOT_PORT = 4,
	PCI_UPSTREAM = 5,
	PCI_DOWNSTREAM = 6,
	PCI_PCIE_TO_PCI = 7,
	PCI_PCI_TO_PCIE = 8,
	PCI_RC_ENDPOINT = 9,
	PCI_RC_EVENT = 10,
};

/* What keeps neighbours apart (spec 10, 1.2); the flags are linux/pci_regs.h's. */
#define PCI_ACS_ISOLATION (PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)

struct pci_sriov_desc;

/* A capability given byte by byte: it is there, some of its bits can be written, and nothing comes of it. */
struct pci_cap_desc {
	uint16_t id;
	uint16_t at;             /* below 0x100: a standard one */
	uint8_t version;         /* extended ones */
	uint16_t length;         /* of what is behind the header, which has 2 bytes, or 4 */
	const uint8_t *bytes;    /* @length; NULL: zeros */
	const uint8_t *write;    /* bits a write changes; NULL: none */
	const uint8_t *clear;    /* bits that a written 1 clears; NULL: none */
};

/*
 * What the machine file says of one function. What it points at must live as long as the machine: a rescan comes back
 * to it.
 */
struct pci_dev_desc {
	uint16_t domain;         /* segment */
	uint8_t slot, function;
	const struct pci_model *model;  /* NULL for bridges */
	const char *const *args;        /* of the model; NULL-terminated; may be NULL */
	enum pci_type type;             /* bridges; a model's express flag decides for endpoints unless root_complex */
	bool bridge;                    /* header type 1 */
	bool host_bridge;               /* a function of class 0600 with no model */
	uint16_t vendor, device, subvendor, subdevice; /* 0: the model's or the default of the kind */
	uint32_t class_code;            /* 0: the model's */
	bool has_acs;
	uint8_t acs_cap, acs_ctrl;      /* capability word; control word as firmware left it */
	bool acs_quirk;                 /* instead of the quirk tables: isolation holds without a capability ... */
	uint8_t acs_quirk_set;          /* ... for these flags */
	int multifunction;              /* -1: set when the slot has another function; else 0 or 1 */
	bool shpc;                      /* bridges: SHPC capability (shpchp binds) */
	bool ats;                       /* caches translations: has the capability, and blocks its group over a reset */
	uint8_t pasid;                  /* bits of its PASIDs; 0: as the model has it */
	uint16_t atomics;               /* PCIe: AtomicOps, bits of DEVCAP2: completed, and by ports routed */
	bool pri;                       /* asks for pages, as if the model did; has ats then */
	bool untrusted;                 /* plugged in from outside */
	bool virtual;                   /* a virtual function, of ... */
	uint8_t physfn;                 /* ... the physical one with this devfn on the same bus, which is created before */
	const struct pci_cap_desc *caps; /* more capabilities, in the order of the chain, behind the others */
	unsigned ncaps;
	const struct pci_sriov_desc *sriov; /* virtual functions it can have when asked; NULL: none */
	const struct iommu_unit *unit;  /* NULL: no IOMMU */
	const struct iommu_resv *resv;  /* extra reserved regions */
	unsigned nresv;
	const char *bind;               /* driver to bind at boot (driver_override); NULL, "": none is named */
	bool hotplug;                   /* added after boot: spec 10, 1.2, trigger A */
};

/* The virtual functions of one, all alike, on its own bus. */
struct pci_sriov_desc {
	uint16_t total;          /* at most, > 0 */
	uint16_t offset, stride; /* of the first one's devfn from the physical one's, and between two; > 0 */
	struct pci_dev_desc function; /* each of them; its address is computed */
};

struct pci_irq_ops {
	/* A message of @vector arrived; never called while masked. Called under RANK_PCI locks: only signals. */
	void (*message)(void *ctx, unsigned vector);
	/*
	 * The pin, as COMMAND bit 10 lets it through, changed. Called with no PCI lock held, but maybe with a
	 * model's: take only locks ranked above RANK_MODEL. Calls from two threads may overtake each other: ask
	 * pci_intx_asserted() where the level matters. May call pci_intx_disable().
	 */
	void (*intx)(void *ctx, bool asserted);
	/* An uncorrectable error. Called under RANK_PCI locks: only signals. */
	void (*error)(void *ctx);
};

struct pci_cap_span {
	uint16_t offset, length;
};

/* One function. Fields below the line are pci/'s own; layers above use the functions. */
struct pci_dev {
	struct dev dev;                 /* core */
	struct iommu_dev *iommu;        /* [I] always there */
	struct pci *pci;
	struct pci_bus *bus;            /* [I] where it sits */
	struct pci_bus *secondary;      /* [I] bridges: the bus below; NULL otherwise */
	struct pci_dev *physfn;         /* [I] virtual functions: their physical one, which stays as long; NULL: none */
	uint16_t domain;
	uint8_t devfn;
	enum pci_type type;
	bool bridge;
	bool multifunction;             /* [I] bit 7 of any function of the slot's header */
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code;
	uint16_t config_size;           /* 256 or 4096 */
	TAILQ_ENTRY(pci_dev) bus_link;
	/* ---- */
	struct mutex lock;              /* RANK_PCI */
	struct pci_priv *priv;
};

static inline struct pci_dev *pci_dev_of(struct dev *dev)
{
	return container_of(dev, struct pci_dev, dev);
}

/**
 * pci_acs_params - pci=config_acs= and pci=disable_acs_redir= of the kernel's command line, before functions come
 * NULL: not given. Return: 0; -ENOMEM
 */
int pci_acs_params(struct pci *pci, const char *config_acs, const char *disable_acs_redir);
/** pci_acs_param_check - where such a text (config_acs: @flags) is wrong; NULL: nowhere */
const char *pci_acs_param_check(const char *text, bool flags);
/** pci_request_acs - an IOMMU was detected that wants ACS switched on, in functions that come from now on */
void pci_request_acs(struct pci *pci);
/** pci_vfs - virtual functions that @d, a physical one, has now */
unsigned pci_vfs(struct pci_dev *d);
/** pci_is_physfn - can it have virtual functions? */
bool pci_is_physfn(const struct pci_dev *d);
/**
 * pci_sriov_enable - make @n virtual functions, for drv_ops.split; drivers are tried when the lock is given up
 * @bind: driver_override they begin with, which stays valid; NULL: none
 * Context: the device lock. Return: 0; as pci_dev_create() and pci_dev_announce(), then there is none of them
 */
int pci_sriov_enable(struct pci_dev *d, unsigned n, const char *bind);
/** pci_sriov_disable - take all of them away, if it has any; waits for their users. Context: the device lock */
void pci_sriov_disable(struct pci_dev *d);
/** pci_vf_autoprobe - may drivers bind to @d, a virtual function, unasked? (sriov_drivers_autoprobe) */
bool pci_vf_autoprobe(struct pci_dev *d);

/**
 * pci_cap_check - what is wrong with capability @i of @desc, by itself or with those before; NULL: nothing
 * @config_size: 256 or 4096
 */
const char *pci_cap_check(const struct pci_dev_desc *desc, unsigned i, unsigned config_size);

/** pci_bus_ops - what core asks of the bus "pci": give it to bus_create() */
extern const struct bus_ops pci_bus_ops;

/** pci_create - the PCI hardware of a machine, empty; @bus was made with pci_bus_ops. Return: 0; -ENOMEM */
int pci_create(struct bus *bus, struct iommu *iommu, struct mem *mem, struct log *log, struct pci **out);
void pci_destroy(struct pci *pci); /* every function must be gone */

/* ---- topology: called by machine/ in scan order (spec 10, 1.1.4) ---- */

/** pci_root_bus - a root bus: /sys/devices/pciDDDD:BB. Machine order. */
int pci_root_bus(struct pci *pci, uint16_t domain, uint8_t number, struct pci_bus **out);
/**
 * pci_dev_create - a function on @bus: config space built, BARs placed, model made; not visible yet
 * @secondary: bridges: the number of the bus below
 * Return: 0; -EEXIST the address or bus number is taken; -EINVAL; -ENOSPC no room for a BAR; -ENAMETOOLONG nested too
 *         deep; -ENOMEM; what the model's create said. The reason is in the log.
 */
int pci_dev_create(struct pci_bus *bus, const struct pci_dev_desc *desc, uint8_t secondary, struct pci_dev **out);
/**
 * pci_dev_absent - a function that is not there yet: it is found by a rescan (with what was removed)
 * @bus: its bus in desc->domain, which may be absent too; bridges before what is below them. Return: 0; -ENOMEM
 */
int pci_dev_absent(struct pci *pci, uint8_t bus, const struct pci_dev_desc *desc, uint8_t secondary);
/**
 * pci_dev_announce - ACS set up, group joined, sysfs made; then core may bind
 * All functions of a slot are created first. desc.bind becomes driver_override; probing (dev_autoprobe) is left to the
 * caller.
 */
int pci_dev_announce(struct pci_dev *d);
/**
 * pci_dev_unplug - hot removal, for good: unbind (may block on users), leave the group, destroy; bridges with all below
 * @d: announced: the caller holds a reference. Who holds one afterwards finds a function that reads ones.
 */
void pci_dev_unplug(struct pci_dev *d);
/**
 * pci_unplug_all - every function of the machine, before pci_destroy()
 * Programs can unplug functions too (sysfs "remove"), so keep no struct pci_dev pointer without a reference.
 */
void pci_unplug_all(struct pci *pci);
/** pci_root_bus_destroy - an empty root bus; pci_destroy() does it too */
void pci_root_bus_destroy(struct pci_bus *bus);
struct pci_bus *pci_bus_parent(struct pci_bus *bus);   /* NULL: root bus */
struct pci_dev *pci_bus_bridge(struct pci_bus *bus);   /* NULL: root bus */
uint8_t pci_bus_number(const struct pci_bus *bus);
/** pci_find - by "DDDD:BB:SS.F", with a dev reference; NULL: none */
struct pci_dev *pci_find(struct pci *pci, const char *bdf);
/** pci_for_each - in scan order, until @fn returns non-zero */
int pci_for_each(struct pci *pci, int (*fn)(struct pci_dev *d, void *ctx), void *ctx);
/**
 * pci_atomics_to_root - does the function complete AtomicOps of this width, and all on the way to the root complex too?
 * @width: PCI_EXP_DEVCAP2_ATOMIC_COMP32, COMP64 or COMP128. If so the function may ask for them from now on (DEVCTL2).
 */
bool pci_atomics_to_root(struct pci_dev *d, uint32_t width);
/** pci_acs_enabled - are all of @flags in effect? (spec 10, 1.4) */
bool pci_acs_enabled(struct pci_dev *d, uint8_t flags);
/** pci_acs_missing - for explain: the flags of PCI_ACS_ISOLATION that @d lacks; 0: isolated */
uint8_t pci_acs_missing(struct pci_dev *d);

/* ---- config space: the hardware's view ---- */

/**
 * pci_config_read, pci_config_write - @width 1, 2 or 4, aligned
 * Side effects (BARs, COMMAND, MSI, FLR bit, model dwords) happen.
 */
uint32_t pci_config_read(struct pci_dev *d, unsigned offset, unsigned width);
void pci_config_write(struct pci_dev *d, unsigned offset, unsigned width, uint32_t value);
/** pci_find_cap, pci_find_ext_cap - offset, or 0 */
unsigned pci_find_cap(struct pci_dev *d, uint8_t id);
unsigned pci_find_ext_cap(struct pci_dev *d, uint16_t id);

/* ---- BARs ---- */

struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetchable;
	uint64_t size;      /* 0: absent, or the upper half of a 64-bit BAR */
	phys_t address;     /* bus address given at boot; the resource the host keeps (spec 20, 2.3 "rbar") */
	struct mem_shm *shm;/* plain: the memory; NULL: trapped. Blocking it is for whoever lets programs map it. */
};
const struct pci_bar *pci_bar(struct pci_dev *d, unsigned bar);
/**
 * pci_bar_access - the CPU's or a peer's load or store
 * MSI-X table and PBA are answered here, plain memory too, the rest by the model. What does not decode (COMMAND, power
 * state) reads ones and takes nothing: who has an error to tell of looks itself (vfio/pci, peers).
 * [@offset, +@width) lies inside the BAR; @width 1..64.
 */
void pci_bar_access(struct pci_dev *d, unsigned bar, uint64_t offset, void *data, unsigned width, bool write);
/** pci_memory_decodes - COMMAND.MEM and power state say that memory BARs answer */
bool pci_memory_decodes(struct pci_dev *d);
/**
 * pci_bar_mirror - the value of a mirrored register, for the front end's fast path; false: call pci_bar_access
 */
bool pci_bar_mirror(struct pci_dev *d, unsigned bar, uint64_t offset, void *data, unsigned width);
/** pci_bar_mirror_page - the mirror of the page at @offset, which lives as long as @d; NULL: nothing there is mirrored */
struct mirror_page *pci_bar_mirror_page(struct pci_dev *d, unsigned bar, uint64_t offset);
/**
 * pci_mirror_block - programs may (false) read mirrored registers by themselves; at first they may not
 * For whoever gives @d to programs, called before memory is disabled and after it is enabled.
 * Return: none; with true no load that starts afterwards is answered from a mirror
 */
void pci_mirror_block(struct pci_dev *d, bool blocked);
/** pci_mirror_from - take mirrors of functions that come from now on from @pool, which stays; once, before the first */
void pci_mirror_from(struct pci *pci, struct mirror_pool *pool);

/* ---- the expansion ROM ---- */

struct pci_rom {
	enum pci_rom_kind kind;
	uint64_t size;      /* of the BAR, of the window, of the firmware's image; 0: none */
	phys_t address;     /* of the BAR or the window; 0: the image is in the host's memory */
};
struct pci_rom pci_rom(struct pci_dev *d);
/**
 * pci_rom_read - the CPU's load. A ROM with a BAR reads ones unless COMMAND.MEM is on and its register enables it.
 * [@offset, +@width) lies inside; @width 1, 2 or 4
 */
void pci_rom_read(struct pci_dev *d, uint64_t offset, void *data, unsigned width);

/**
 * pci_vga_access - a load or store at one of a display's old addresses, with @d chosen to answer it
 * @address: 0xa0000 to 0xbffff, or a port 0x3b0 to 0x3df; @width 1, 2 or 4. Who has nothing there reads ones.
 */
void pci_vga_access(struct pci_dev *d, unsigned address, void *data, unsigned width, bool write);

/* ---- interrupts: one handler a function, set by the bound driver ---- */

/**
 * pci_irq_handler - who hears of interrupts; NULL ops: nobody
 * No call of the old handler runs or starts after this returns, so hold no lock that ops->intx takes. A pin that is
 * asserted now is reported to the new one at once.
 */
void pci_irq_handler(struct pci_dev *d, const struct pci_irq_ops *ops, void *ctx);
unsigned pci_msi_count(struct pci_dev *d);  /* 1 << MMC, 0: no capability */
/** pci_msi_available - MSI vectors that the platform can give it at once: several need interrupt remapping */
unsigned pci_msi_available(struct pci_dev *d);
unsigned pci_msix_count(struct pci_dev *d); /* table size, 0: no capability */
/** pci_msi_enable - switch the hardware capability on with @nvec vectors (a power of two), or off with 0 */
void pci_msi_enable(struct pci_dev *d, unsigned nvec);
/** pci_msi_mask - mask or unmask one of a function that can; a pending message is delivered on unmask */
void pci_msi_mask(struct pci_dev *d, unsigned vector, bool masked);
/** pci_msix_enable - switch on (all vectors masked) or off */
void pci_msix_enable(struct pci_dev *d, bool on);
/** pci_msix_mask - mask or unmask one vector; a pending message is delivered on unmask */
void pci_msix_mask(struct pci_dev *d, unsigned vector, bool masked);
void pci_msix_where(struct pci_dev *d, unsigned *bar, uint64_t *table_offset);
/** pci_intx_asserted - the pin itself, whatever COMMAND bit 10 says (STATUS bit 3) */
bool pci_intx_asserted(struct pci_dev *d);
/** pci_intx_disable - COMMAND bit 10 in hardware; the handler is called again when it is cleared while asserted */
void pci_intx_disable(struct pci_dev *d, bool disabled);

/* ---- reset and power ---- */

bool pci_can_reset(struct pci_dev *d); /* a function-level method exists: FLR, AF, PM, or alone on its bus */
/**
 * pci_reset_function - as Linux's: state saved, reset, restored (spec 20, 2.10)
 * The caller blocks access meanwhile. Return: 0; -ENOTTY no method
 */
int pci_reset_function(struct pci_dev *d);
void pci_save_state(struct pci_dev *d);    /* config registers the kernel saves */
void pci_restore_state(struct pci_dev *d);
/**
 * pci_set_power - 0..3, by PMCSR; nothing happens without the capability or for a state the function does not have
 * A function without No_Soft_Reset forgets its config in D3hot: it is saved before and restored on the way back.
 */
void pci_set_power(struct pci_dev *d, unsigned state);
unsigned pci_power(struct pci_dev *d);
/** pci_hot_reset_scope - @fn for each function reset together with @d by a slot or bus reset. -ENODEV: not possible */
int pci_hot_reset_scope(struct pci_dev *d, int (*fn)(struct pci_dev *d, void *ctx), void *ctx);
/**
 * pci_reset_bus - secondary bus reset of @d's bus, config of all in scope saved before and restored after
 * The caller blocks access to all of them meanwhile. Return: 0; -ENODEV as pci_hot_reset_scope()
 */
int pci_reset_bus(struct pci_dev *d);

#endif
