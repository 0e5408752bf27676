/* SPDX-License-Identifier: MIT */
/*
 * What pci/'s own files share.
 *
 * Locks of one function, outermost first:
 *   access  read side around every callback of the model that a CPU or a peer caused; write side around the
 *           model's reset, its end, and writes to COMMAND, PMCSR and the ROM's register, which so see no access
 *           under way.
 *   lock    config bytes, MSI-X table, pin. Never held while the model is called; the message handler is called
 *           under it.
 * What the data path asks (COMMAND, power state, being reset) is kept in atomics beside the config bytes, written
 * under lock by config_settle_locked(), so DMA and peers ask without a lock.
 */
#ifndef UVFIO_PCI_PRIV_H
#define UVFIO_PCI_PRIV_H

#include "base/gate.h"
#include "pci/pci.h"

#define PCI_BARS 6
#define PCI_PASID_BITS_MAX 20
#define PCI_MIN_BAR_ALIGN 4096u /* no two BARs share a page, so every memory BAR can be mapped by programs */

struct pci_peer;
struct pci_removed;
struct pci_sysfs_group;
struct pci_sysfs_unit;

/* Where the next BAR of a kind goes; see bar.c. */
struct pci_space {
	uint64_t base, end; /* [I] end exclusive */
	uint64_t next;      /* [topo] */
	struct pci_bus *last_bus; /* [topo] only compared */
};

#define PCI_IO_SIZE 0x10000u
#define PCI_IO_GRAIN 4u

struct pci {
	struct bus *bus;
	struct tree *tree;
	struct iommu *iommu;
	struct mem *mem;
	struct log *log;
	struct mutex hotplug;  /* RANK_PCI_HOTPLUG */
	struct mutex change;   /* RANK_PCI_CHANGE */
	struct mutex topo;     /* RANK_PCI_TOPO */
	TAILQ_HEAD(, pci_bus) buses; /* [topo] all, parents before children */
	void *bus_by_number;   /* [topo] tsearch of the same */
	struct pci_space mem32, mem64;
	uint8_t io_used[PCI_IO_SIZE / PCI_IO_GRAIN / 8]; /* [topo] */
	bool requests_acs;     /* [topo] a unit that switches ACS on has been seen */
	char *config_acs, *disable_acs_redir; /* [I] once functions come; NULL: not given */
	void *groups;          /* [change] tsearch of struct pci_sysfs_group by group */
	atomic_uint ngroups;   /* in it */
	TAILQ_HEAD(pci_sysfs_units, pci_sysfs_unit) units;   /* [change] */
	struct pci_peer *peer; /* [I] */
	struct mirror_pool *mirror_pool; /* [I] once functions come; NULL: the heap */
	TAILQ_HEAD(pci_removed_list, pci_removed) removed; /* [hotplug] what a rescan would find, in its order */
};

struct pci_bus {
	struct pci *pci;
	struct pci_bus *parent; /* [I] NULL: root */
	struct pci_dev *bridge; /* [I] NULL: root, or a bus of VFs */
	uint16_t domain;
	uint8_t number;
	bool listed;            /* [topo] can be found; no more once its bridge is unplugged */
	TAILQ_HEAD(pci_dev_list, pci_dev) devs; /* [topo] by devfn */
	TAILQ_ENTRY(pci_bus) link;
};

/* Inclusive address range that a bridge passes down; empty when first > last. */
struct pci_range {
	uint64_t first, last;
};
enum pci_win { PCI_WIN_IO, PCI_WIN_MEM, PCI_WIN_PREF, PCI_WINS };

struct pci_window {
	struct pci_dev *d;
	unsigned bar;
	struct mem_window *mem; /* memory BARs */
};

struct msix_entry {
	uint32_t word[4]; /* address, upper address, data, control (bit 0: masked) */
};

struct pci_msix {
	unsigned count;           /* [I] 0: no capability */
	unsigned bar, pba_bar;    /* [I] */
	uint64_t table, pba;      /* [I] offsets in them */
	struct msix_entry *entry; /* [lock] */
	uint64_t *pending;        /* [lock] */
};

struct pci_config {
	unsigned used;     /* [I] once built; bytes that are kept: all behind them read zero, and do not change */
	uint8_t *val;      /* [lock] */
	uint8_t *wmask;    /* [I] bits a write changes */
	uint8_t *w1c;      /* [I] bits that a written 1 clears */
	uint8_t *power_on; /* [I] after dev_create */
};

/* What save and restore carry. */
struct pci_state {
	uint8_t *val;             /* cfg.used bytes; NULL: never needed */
	struct msix_entry *entry; /* msix.count */
	bool valid;
};

enum pci_reset_method { PCI_RESET_FLR, PCI_RESET_AF, PCI_RESET_PM, PCI_RESET_BUS, PCI_RESET_METHODS };

struct pci_priv {
	struct pci_model model;  /* [I] a copy, newer fields zero */
	bool has_model;          /* [I] */
	bool created;            /* [I] model.create has succeeded */
	void *state;             /* [I] the model's */
	struct rwlock access;    /* RANK_PCI_ACCESS */
	bool in_reset;           /* [access] the model's reset runs; only asserted */
	const struct iommu_unit *unit; /* [I] */
	struct pci_dev_desc desc; /* [I] for a rescan; pasid, pri and ats as they are with the model's */

	struct pci_config cfg;
	uint16_t cap_pm, cap_msi, cap_msix, cap_exp, cap_af, cap_vpd, ext_acs; /* [I] offsets; 0: absent */
	unsigned cap_next, cap_link, ext_link; /* while caps.c builds ... */
	const char *caps_wrong;  /* ... and what is wrong with it; NULL: nothing */
	uint8_t *vpd;            /* [lock] model.vpd_size bytes, which no reset changes */
	bool acs_wide;           /* [I] ACS registers are 32 bits each (spec 10, 1.4) */
	bool acs_quirk;          /* [I] desc's override */
	uint8_t acs_quirk_set;
	bool acs_pch;            /* [lock] the PCH workaround was applied */
	uint8_t acs_firmware;    /* [I] low byte of the control word as firmware left it */
	bool mf_told;            /* [I] the description says what the multifunction bit is */
	bool slot_scan_mf;       /* [I] after boot: multifunction as grouping sees it */

	struct pci_bar bar[PCI_BARS + 1];       /* [I] and PCI_ROM: the ROM's, if it has one */
	struct pci_window window[PCI_BARS + 1]; /* [I] */
	struct pci_rom rom;                     /* [I] address: as placed */
	_Atomic(struct mirror_page *) *mirror[PCI_BARS]; /* [I] one slot a page; NULL: none */
	unsigned mirrors;                   /* [lock] pages there are in all: most have none, and a BAR may be very large */
	bool mirror_blocked;                /* [lock] what every page of them says */
	struct pci_range win[PCI_WINS];     /* [topo] bridges: what they pass down */

	struct pci_msix msix;
	const struct pci_irq_ops *irq;      /* [lock] */
	void *irq_ctx;                      /* [lock] */
	bool pin;                           /* [lock] level the model drives */
	bool pin_out;                       /* [lock] what the handler was told */
	unsigned pin_calls;                 /* [lock] ops->intx running */
	struct cond pin_idle;

	atomic_uint command;     /* COMMAND, as in cfg.val */
	atomic_uint power;       /* 0..3 */
	atomic_uint bars_here;   /* one bit a BAR: its register holds the address of the boot; PCI_ROM: and enables it */
	atomic_uint resetting;   /* resets under way: no DMA starts */
	atomic_bool gone;        /* unplugged: reads ones, does nothing */
	struct gate dma;         /* what DMA passes */

	struct pci_state saved;    /* [lock] pci_save_state */
	struct pci_state pm_saved; /* [lock] over D3hot, for a function that forgets */
	uint8_t reset_order[PCI_RESET_METHODS]; /* [lock] methods in the order tried */
	unsigned nreset;         /* [lock] */
	unsigned enables;        /* [lock] sysfs "enable" */
	bool msi_bus, broken_parity, d3cold; /* [lock] sysfs flags */

	struct mutex vf_lock;    /* RANK_PCI_VFS: its virtual functions come and go */
	uint16_t ext_sriov;      /* [I] offset; 0: absent */
	uint16_t num_vfs;        /* [lock] how many were asked for */
	unsigned vfs;            /* [topo] physical functions: virtual ones there are */
	unsigned vf_index;       /* [I] virtual functions: N of virtfnN */
	bool vf_counted;         /* [change] virtual functions: counted among the physical one's, and ... */
	bool vf_holds;           /* [change] ... holding a reference on it */
	bool bridge_held;        /* [change] the reference that keeps the bus it sits on, from the announcement on */
	bool vf_autoprobe;       /* [lock] sriov_drivers_autoprobe */

	bool listed;             /* [topo] on bus->devs */
	bool announced;          /* [change, written under topo too] */
	struct pci_sysfs_group *sysfs_group; /* [change] */
};

/* ---- config bytes, little-endian ---- */

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}
static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}
static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)v);
	put16(p + 2, (uint16_t)(v >> 16));
}

static inline unsigned pci_slot(const struct pci_dev *d)
{
	return d->devfn >> 3;
}
static inline bool pci_is_express(const struct pci_dev *d)
{
	return d->type != PCI_CONVENTIONAL;
}
static inline bool pci_is_port(const struct pci_dev *d)
{
	return d->type == PCI_ROOT_PORT || d->type == PCI_DOWNSTREAM || d->type == PCI_UPSTREAM;
}

/* ---- caps.c: the image of config space at power-on ---- */
int pci_caps_build(struct pci_dev *d, const struct pci_dev_desc *desc);

/* ---- capraw.c: the description's own capabilities ---- */
/** pci_raw_cap_over - one that touches [@at, +@length); NULL: none */
const struct pci_cap_desc *pci_raw_cap_over(const struct pci_dev_desc *desc, unsigned at, unsigned length);
unsigned pci_raw_cap_size(const struct pci_cap_desc *c); /* with its header */
/** pci_raw_cap_fill - the bytes behind its header */
void pci_raw_cap_fill(struct pci_dev *d, const struct pci_cap_desc *c);

/* ---- vpd.c ---- */
int pci_vpd_init(struct pci_dev *d);
void pci_vpd_fini(struct pci_dev *d);
/** pci_vpd_written_locked - config bytes [@offset, +@width) were written: a transfer may begin, and has ended then */
void pci_vpd_written_locked(struct pci_dev *d, unsigned offset, unsigned width) REQUIRES(&d->lock);

/* ---- config.c ---- */
/* What a change of config bytes asks to be done after the lock is dropped. */
struct config_actions {
	bool pin;         /* the pin may have changed as seen outside */
	bool dma_stopped; /* wait for DMA under way */
	bool flr;         /* the function resets itself */
	bool power_up;    /* D3hot to D0 of a function that loses its state */
	bool bus_reset;   /* bridges: secondary bus reset */
};
int pci_config_init(struct pci_dev *d);
/** pci_config_built - the images are complete: keep what there is of them. -ENOMEM */
int pci_config_built(struct pci_dev *d);
void pci_config_fini(struct pci_dev *d);
/** pci_config_settle_locked - derived state follows cfg.val after any change; adds to @act */
void pci_config_settle_locked(struct pci_dev *d, struct config_actions *act) REQUIRES(&d->lock);
/** pci_config_act - do what settle asked; no lock held */
void pci_config_act(struct pci_dev *d, const struct config_actions *act);
/** pci_config_firmware - the state firmware leaves: BARs, bus numbers, COMMAND, interrupt line */
void pci_config_firmware(struct pci_dev *d);
/** pci_config_span - sysfs config and the like: any offset and length; returns bytes moved */
size_t pci_config_span(struct pci_dev *d, uint64_t offset, void *buf, size_t n, bool write);

/* ---- bar.c ---- */
void pci_spaces_init(struct pci *pci);
/** pci_bars_place - addresses, windows, plain memory. -ENOSPC, -ENOMEM; pci_bars_fini() undoes what was done */
int pci_bars_place(struct pci_dev *d);
/** pci_bars_withdraw - peers reach nothing any more, and none is at it when this returns */
void pci_bars_withdraw(struct pci_dev *d);
void pci_bars_fini(struct pci_dev *d);
/** pci_bar_decodes - @bar answers at its boot address: decode on here and in every bridge above */
bool pci_bar_decodes(struct pci_dev *d, unsigned bar);
/** pci_decodes - does BAR @bar, or PCI_ROM, PCI_VGA, answer now? (COMMAND, the power state, the ROM's register) */
bool pci_decodes(struct pci_dev *d, unsigned bar);
/** pci_model_access - one load or store of BAR @bar, or PCI_ROM, PCI_VGA, which answers; [access] read side */
void pci_model_access(struct pci_dev *d, unsigned bar, uint64_t offset, uint8_t *data, unsigned width, bool write);

/* ---- rom.c ---- */
/** pci_rom_take - what the model says of it. -EINVAL with the reason in @why */
int pci_rom_take(struct pci_dev *d, const char **why);
/** pci_rom_bar_read - a load of the ROM's BAR by anybody; the function answers: [access] read side */
void pci_rom_bar_read(struct pci_dev *d, uint64_t offset, void *data, unsigned width);

/* ---- mirror.c ---- */
int pci_mirror_init(struct pci_dev *d);
void pci_mirror_fini(struct pci_dev *d);

/* ---- peer.c ---- */
int pci_peer_create(struct pci_peer **out);
void pci_peer_destroy(struct pci_peer *peer);
/** pci_peer_forget - drop what is queued for @d and wait for what runs */
void pci_peer_forget(struct pci_peer *peer, struct pci_dev *d);
extern const struct mem_window_ops pci_peer_window_ops; /* ctx: struct pci_window */

/* ---- irq.c ---- */
int pci_irq_init(struct pci_dev *d);
void pci_irq_fini(struct pci_dev *d);
/** pci_irq_flush_locked - deliver pending messages that are no longer masked */
void pci_irq_flush_locked(struct pci_dev *d) REQUIRES(&d->lock);
/** pci_irq_reset_locked - power-on: table masked, nothing pending, pin low */
void pci_irq_reset_locked(struct pci_dev *d) REQUIRES(&d->lock);
/** pci_intx_notify - tell the handler if the pin as seen outside has changed */
void pci_intx_notify(struct pci_dev *d);
/** pci_msix_bar_access - the MSI-X table and PBA: false when [@offset, +@width) touches neither */
bool pci_msix_bar_hit(const struct pci_dev *d, unsigned bar, uint64_t offset, unsigned width);
void pci_msix_bar_access(struct pci_dev *d, unsigned bar, uint64_t offset, uint8_t *data, unsigned width, bool write);

/* ---- dma.c ---- */
void pci_dma_init(struct pci_dev *d);
void pci_dma_fini(struct pci_dev *d);
/** pci_dma_quiesce - wait for DMA that has begun, but not for pages; the caller has made sure that none begins */
void pci_dma_quiesce(struct pci_dev *d);

/* ---- reset.c ---- */
/** pci_function_reset - power-on state of this function: model, config, interrupts */
void pci_function_reset(struct pci_dev *d);
/** pci_reset_methods - the methods the hardware has, in Linux's order; returns how many */
unsigned pci_reset_methods(struct pci_dev *d, uint8_t out[PCI_RESET_METHODS]);
const char *pci_reset_method_name(unsigned method);
/** pci_bus_reset_below - reset every function behind bridge @d, nothing saved */
void pci_bus_reset_below(struct pci_dev *d);
int pci_state_init(struct pci_dev *d, struct pci_state *s);
/** pci_forgets_in_d3 - what it has in config space is lost in D3hot */
bool pci_forgets_in_d3(const struct pci_dev *d);
void pci_state_fini(struct pci_state *s);

/* ---- acs.c ---- */
/** pci_acs_setup - what the kernel writes into the control word when ACS is asked for (spec 10, 1.4) */
void pci_acs_setup(struct pci_dev *d);
/**
 * pci_acs_param - what @text says of @d: @value for the bits of @mask; false: nothing
 * @flags: config_acs, with flags for each; else disable_acs_redir
 */
bool pci_acs_param(const struct pci_dev *d, const char *text, bool flags, uint8_t *mask, uint8_t *value);
/** pci_acs_is_wide - its ACS registers are 32 bits each: capability at +4, control at +8 */
bool pci_acs_is_wide(const struct pci_dev *d);

/* ---- group.c ---- */
/** pci_group_join - find or make the group of @d and join it; 0 also when @d has no IOMMU */
int pci_group_join(struct pci_dev *d);

/* ---- function.c ---- */
/** pci_dev_create_locked - hotplug is held; for a virtual function the device lock of its physical one is enough */
int pci_dev_create_locked(struct pci_bus *bus, const struct pci_dev_desc *desc, uint8_t secondary, struct pci_dev **out);
void pci_dev_unlist(struct pci_dev *d);
void pci_dev_leave_group(struct pci_dev *d);
/** pci_dev_set_gone - it answers nobody any more; no access to its model is under way when this returns */
void pci_dev_set_gone(struct pci_dev *d);
/** pci_dev_free - in any state of completeness; nobody else may have it */
void pci_dev_free(struct pci_dev *d);

/* ---- topology.c ---- */
/** pci_bus_create_in - @parent and @bridge NULL: a root bus. 0; -EEXIST the number is taken; -ENOMEM */
int pci_bus_create_in(struct pci *pci, struct pci_bus *parent, struct pci_dev *bridge, uint16_t domain, uint8_t number,
		      struct pci_bus **out);
/** pci_bus_unlist - nobody finds it any more, and its number is free; who has it keeps it */
void pci_bus_unlist(struct pci_bus *bus);
void pci_bus_free(struct pci_bus *bus);
int pci_dev_announce_locked(struct pci_dev *d); /* as pci_dev_create_locked() */
void pci_dev_unplug_locked(struct pci_dev *d) REQUIRES(&d->pci->hotplug);
/** pci_dev_unplug_one - with nothing below it; hotplug or, for a virtual function, its physical one's vf_lock is held */
void pci_dev_unplug_one(struct pci_dev *d);
struct pci_bus *pci_bus_find_locked(struct pci *pci, uint16_t domain, uint8_t number) REQUIRES(&pci->topo);
/** pci_collect - functions on @bus and below, depth first, with references; *@out is malloc'ed. How many, or -ENOMEM */
int pci_collect(struct pci_bus *bus, struct pci_dev ***out);
void pci_collect_put(struct pci_dev **list, int n);

/* ---- rescan.c ---- */
/** pci_remove - unplug at a program's wish: a rescan will find @d and what is below it. 0; -ENOMEM */
int pci_remove(struct pci_dev *d);
/** pci_rescan - find what is in its slot but was removed: on @top and below, or (NULL) everywhere */
int pci_rescan(struct pci *pci, const struct pci_bus *top);
void pci_rescan_fini(struct pci *pci);

/* ---- sriov.c ---- */
/** pci_sriov_find - the physical function of @d, a virtual one that is being created. 0; -EINVAL there is none */
int pci_sriov_find(struct pci_dev *d);
/** pci_sriov_add - sysfs: physfn, virtfnN, and a physical function's counts */
int pci_sriov_add(struct pci_dev *d);
void pci_sriov_remove(struct pci_dev *d);
/** pci_sriov_settle_locked - the capability's registers as they are over any reset */
void pci_sriov_settle_locked(struct pci_dev *d) REQUIRES(&d->lock);
/** pci_sriov_unplug - a physical function goes: its virtual ones first */
void pci_sriov_unplug(struct pci_dev *d);
/** pci_vf_unplug - one of them; the caller holds a reference */
void pci_vf_unplug(struct pci_dev *d);

/* ---- sysfs*.c ---- */
int pci_sysfs_add(struct pci_dev *d);
void pci_sysfs_remove(struct pci_dev *d);
int pci_sysfs_bus_add(struct pci_bus *bus);
void pci_sysfs_bus_remove(struct pci_bus *bus);
int pci_sysfs_group_add(struct pci_dev *d);
void pci_sysfs_group_remove(struct pci_dev *d);
/** pci_sysfs_unit_add - the unit's directory (Intel's only) and the links between it and @d */
int pci_sysfs_unit_add(struct pci_dev *d);
void pci_sysfs_unit_remove(struct pci_dev *d);
void pci_sysfs_fini(struct pci *pci);

#endif
