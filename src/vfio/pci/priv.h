/* SPDX-License-Identifier: MIT */
/*
 * What the files of vfio/pci share: one function given to programs.
 *
 * Locks, outermost first (base/lockrank.h; spec 20, 3.8):
 *	the device set's   open, close, hot reset (vfio/)
 *	vp->lock           the sets; held over a hot reset, so that no member is freed
 *	igate              interrupt setup
 *	ioeventfd_lock     the ioeventfds
 *	memory_lock        read side around each access to a BAR, write side around whatever makes BARs go away
 *	config_lock        the virtual config space
 *	trigger_lock       a leaf: which eventfd an interrupt signals. Taken by interrupts, under the model's locks
 *
 * The caller's memory is never touched with memory_lock held: it may be a mapping of this very BAR.
 */
#ifndef UVFIO_VFIO_PCI_PRIV_H
#define UVFIO_VFIO_PCI_PRIV_H

#include "abi/vfio.h"
#include "vfio/pci/vfio_pci.h"

#define VFIO_PCI_OFFSET_SHIFT 40
#define VFIO_PCI_OFFSET_MASK  (BIT64(VFIO_PCI_OFFSET_SHIFT) - 1)
#define VFIO_PCI_NBARS        6
#define VFIO_PCI_DRIVERS      2
#define VFIO_PCI_TOKEN        16 /* bytes of a UUID */
#define VFIO_PCI_NO_IRQ       VFIO_PCI_NUM_IRQS /* irq_type: none of INTx, MSI, MSI-X is active */
#define VFIO_PCI_COMMAND_BARS (PCI_COMMAND_MEMORY | PCI_COMMAND_IO)

struct vfio_pci_config;
struct vfio_pci_dmabuf;
struct vfio_pci_ioeventfd;

/* Devices that reset together: the functions of one bus, or a function alone. */
struct vfio_pci_set {
	const void *key;         /* [I] */
	TAILQ_HEAD(, vfio_pci_device) members; /* [vp->lock] */
};

/* A region that a variant adds (spec 20, 1.6). Its operations are called with no lock held. */
struct vfio_pci_region {
	uint32_t type, subtype;
	uint32_t flags;          /* VFIO_REGION_INFO_FLAG_READ, _WRITE */
	uint64_t (*size)(struct vfio_pci_device *v);
	/* [@pos, +@count) is inside, @count at most a page. 0; -errno */
	int (*rw)(struct vfio_pci_device *v, uint64_t pos, void *data, size_t count, bool write);
};

/* A driver for certain functions: vfio-pci, but for what is said here ("variant driver"). */
struct vfio_pci_variant {
	const char *name;        /* of the driver; its module has underscores for dashes */
	const char *what;        /* a few words for people */
	const struct drv_id *ids;
	/* How much of a BAR programs may reach: whole pages; at open. NULL: all */
	uint64_t (*bar_size)(struct vfio_pci_device *v, unsigned bar);
	const struct vfio_pci_region *regions; /* behind the nine that all have; may be NULL */
	unsigned nregions;
};

extern const struct vfio_pci_variant vfio_pci_pcitest;

/* One driver of the bus. */
struct vfio_pci_driver {
	struct drv drv;
	struct vfio_pci *vp;     /* [I] */
	const struct vfio_pci_variant *variant; /* [I] */
	bool registered;         /* [I] */
};

/* The drivers. [I] immutable after create   [l] lock   [a] atomic */
struct vfio_pci {
	struct vfio *vfio;       /* [I] and the next four, borrowed */
	struct pci *pci;
	struct bus *bus;
	struct log *log;
	struct event_loop *loop;
	struct vfio_pci_driver driver[VFIO_PCI_DRIVERS]; /* vfio-pci, and its variants */
	struct mutex lock;       /* RANK_VFIO_PCI */
	void *sets;              /* [l] tsearch tree of struct vfio_pci_set */
	LIST_HEAD(, vfio_pci_device) pfs; /* [l] those whose virtual functions vfio-pci has had made */
	/* module parameters; those that can be written are latched by each device at bind (spec 20, 1.1) */
	atomic_bool nointxmask, disable_idle_d3, enable_sriov; /* [a] */
	bool disable_denylist, disable_vga; /* [I] */
	bool blocked_ones;       /* [I] */
	struct mutex blocked_lock; /* RANK_VFIO_PCI_BLOCKED */
	struct vfio_pci_blocked blocked[VFIO_PCI_BLOCKED]; /* [blocked_lock] and the next three */
	unsigned nblocked, nlogged;
	uint64_t blocked_total;
};

/* INTx. [t] trigger_lock */
struct vfio_pci_intx {
	bool active;             /* [t] the active index is INTX */
	bool masked;             /* [t] nothing is signalled until it is unmasked */
	bool virq_disabled;      /* [t] the user's COMMAND bit 10 */
	unsigned generation;     /* [t] counts changes of the above, see intx_sync() */
	struct event *trigger;   /* [t] */
	struct event_watch *unmask; /* [igate] */
};

/*
 * One function, from probe to remove.
 * [I] immutable after probe   [O] set by open   [s] set lock   [g] igate   [i] ioeventfd_lock
 * [m] memory_lock   [c] config_lock   [t] trigger_lock
 */
struct vfio_pci_device {
	struct vfio_device vdev;
	struct vfio_pci *vp;     /* [I] */
	const struct vfio_pci_variant *variant; /* [I] */
	struct pci_dev *pdev;    /* [I] */
	struct vfio_pci_set *set; /* [I] */
	TAILQ_ENTRY(vfio_pci_device) link; /* [vp->lock] in set->members */
	LIST_ENTRY(vfio_pci_device) pf_link; /* [vp->lock] in vp->pfs */
	atomic_bool split;       /* written [device lock]: in vp->pfs, and stays in D0 */
	struct vfio_pci_device *pf; /* [I] of a virtual function: the physical one, if in vp->pfs; it stays as long */
	struct mutex token_lock; /* RANK_VFIO_PCI_TOKEN, of a physical function: */
	uint8_t token[VFIO_PCI_TOKEN]; /* [token_lock] shared by the programs that have it and its virtual functions */
	unsigned token_users;    /* [token_lock] virtual functions that are open */
	bool nointxmask;         /* [I] latched */
	bool disable_idle_d3;    /* [I] latched */
	bool nointx;             /* [O] INTx is known broken: hidden, and off in hardware */
	bool pci_2_3;            /* [O] INTx is masked by COMMAND bit 10 */
	bool reset_works;        /* [O] */
	bool open;               /* [s] */
	bool needs_reset;        /* [s] */
	unsigned msix_bar;       /* [O] 0xff: no MSI-X */
	uint64_t msix_start, msix_end; /* [O] the table in its BAR */
	unsigned pba_bar;        /* [O] 0xff: no MSI-X */
	uint64_t pba_start, pba_end; /* [O] the pending bits */
	uint64_t bar_size[VFIO_PCI_NBARS]; /* [O] what programs may reach: all of the BAR, unless a variant says less */
	bool bar_mmap[VFIO_PCI_NBARS]; /* [O] */

	struct rwlock memory_lock; /* RANK_MEMORY */
	bool mem_bit;            /* [m] the user's COMMAND.MEM */
	unsigned power;          /* [m] D-state */
	struct vfio_pci_deed disabled_by[VFIO_PCI_WHYS]; /* [m] while it is so: who cleared mem_bit and so on */
	atomic_bool low_power;   /* written [m]: the user asked for low power, mappings are blocked */
	LIST_HEAD(, vfio_pci_dmabuf) dmabufs; /* [m] exported, while they are in use */
	struct event *wakeup;    /* [m] signalled when low power ends by itself */
	atomic_uint calls;       /* [a] calls that keep the function awake */
	atomic_bool suspended;   /* written [m]: low power, and every call has ended */

	struct mutex config_lock; /* RANK_CONFIG */
	struct vfio_pci_config *config; /* [O] its bytes [c] */

	struct mutex igate;      /* RANK_IRQ */
	unsigned irq_type;       /* [g] and [c]: written under both */
	unsigned nvectors;       /* [g] vectors allocated for MSI or MSI-X */
	unsigned msi_qmax;       /* [g] and [c], as irq_type */
	struct mutex trigger_lock; /* RANK_IRQ_TRIGGER */
	struct event **vector;   /* [t] of MSI or MSI-X while active, nslots; NULL entries signal nobody */
	unsigned nslots;         /* [t] */
	struct event *err, *req; /* [t] */
	struct vfio_pci_intx intx;

	struct mutex ioeventfd_lock; /* RANK_IOEVENTFD */
	unsigned nioeventfds;    /* [i] */
	LIST_HEAD(, vfio_pci_ioeventfd) ioeventfds; /* [i] */
};

static inline struct vfio_pci_device *vfio_pci_device_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct vfio_pci_device, vdev);
}

static inline bool vfio_pci_bar_is_memory(const struct pci_bar *bar)
{
	return bar->size != 0 && bar->kind != PCI_BAR_IO;
}

/* ---- core.c ---- */

int vfio_pci_device_open(struct vfio_device *vdev);
void vfio_pci_device_close(struct vfio_device *vdev);
/** vfio_pci_asleep_locked - is it in D3hot, and did the user put it there? memory_lock held, either side */
bool vfio_pci_asleep_locked(const struct vfio_pci_device *v);
/** vfio_pci_memory_enabled_locked - do memory BARs answer? (spec 20, 3.2) memory_lock held, either side */
bool vfio_pci_memory_enabled_locked(const struct vfio_pci_device *v);
/** vfio_pci_memory_block_locked - make every mapping of a BAR fault, revoke dma-bufs; memory_lock held for write */
void vfio_pci_memory_block_locked(struct vfio_pci_device *v);
/** vfio_pci_memory_update_locked - let mappings through if memory is enabled, block them if not; held for write */
void vfio_pci_memory_update_locked(struct vfio_pci_device *v);

/* ---- info.c ---- */

long vfio_pci_get_info(struct vfio_pci_device *v, struct task *t, uva_t arg);
long vfio_pci_get_region_info(struct vfio_pci_device *v, struct task *t, uva_t arg);
long vfio_pci_get_irq_info(struct vfio_pci_device *v, struct task *t, uva_t arg);

/* ---- perm.c, config.c ---- */

/**
 * vfio_pci_config_create - the virtual config space of a function as it is now (spec 20, 2)
 * Return: 0; -ENOMEM
 */
int vfio_pci_config_create(struct vfio_pci_device *v, struct vfio_pci_config **out);
void vfio_pci_config_destroy(struct vfio_pci_config *c);
/** vfio_pci_config_rw - pread and pwrite of the config region. @pos: in the region. -EFAULT out of range */
ssize_t vfio_pci_config_rw(struct vfio_pci_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos,
			   bool write);
/** vfio_pci_intx_pin - the interrupt pin as the user sees it; 0: no INTx */
unsigned vfio_pci_intx_pin(struct vfio_pci_device *v);
/**
 * vfio_pci_set_power_locked - move to a D-state; pci/ keeps config over D3hot. memory_lock held for write
 * A physical function with virtual ones stays in D0, without a word.
 */
void vfio_pci_set_power_locked(struct vfio_pci_device *v, unsigned state);

/* ---- rdwr.c ---- */

ssize_t vfio_pci_device_read(struct vfio_device *vdev, struct task *t, uva_t buf, size_t count, uint64_t pos);
ssize_t vfio_pci_device_write(struct vfio_device *vdev, struct task *t, uva_t buf, size_t count, uint64_t pos);

/** vfio_pci_bar_bytes - part of a BAR, as pread and pwrite move it. @count: at most a page. 0; -EIO memory is disabled */
int vfio_pci_bar_bytes(struct vfio_pci_device *v, unsigned bar, uint64_t pos, void *data, size_t count, bool write);
/** vfio_pci_own_region - the variant's region with this index; NULL: there is none */
const struct vfio_pci_region *vfio_pci_own_region(const struct vfio_pci_device *v, unsigned index);

#define VFIO_PCI_VGA_SIZE 0xc0000u
/** vfio_pci_has_vga - a display, whose old addresses programs may use: there is a region for them */
bool vfio_pci_has_vga(const struct vfio_pci_device *v);

/* ---- rom.c ---- */

/** vfio_pci_rom_region - size of the region; 0: there is no ROM, or no image in it */
uint64_t vfio_pci_rom_region(struct vfio_pci_device *v);
/** vfio_pci_rom_read - pread of it. -EINVAL outside; -ENOMEM no image is found (memory may be disabled); -EIO; -EFAULT */
ssize_t vfio_pci_rom_read(struct vfio_pci_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos);

/* ---- mmap.c ---- */

/** vfio_pci_bar_mappable - may programs map it? (spec 20, 1.6) */
bool vfio_pci_bar_mappable(struct vfio_pci_device *v, unsigned bar);
int vfio_pci_device_mmap(struct vfio_device *vdev, struct task *t, const struct file_mmap *m);
void vfio_pci_device_page(struct vfio_device *vdev, uint64_t offset, struct file_page *out);
int vfio_pci_device_mmio(struct vfio_device *vdev, struct task *t, uint64_t offset, void *data, unsigned width,
			 bool write);
struct mirror_page *vfio_pci_device_mirror(struct vfio_device *vdev, uint64_t offset);
int vfio_pci_device_dma_target(struct vfio_device *vdev, uint64_t offset, phys_t *phys, uint64_t *length);

/* ---- blocked.c ---- */

/** vfio_pci_disabled_by_locked - @t has just made memory not answer; memory_lock held for write */
void vfio_pci_disabled_by_locked(struct vfio_pci_device *v, enum vfio_pci_why why, struct vfio_pci_deed deed,
				 const struct task *t);
/**
 * vfio_pci_blocked_access_locked - a load or store of @t's finds memory disabled; memory_lock held, either side
 * @b: bar, offset, width and write
 * Return: 0: @data is what a load gets; -EFAULT
 */
int vfio_pci_blocked_access_locked(struct vfio_pci_device *v, const struct task *t, struct vfio_pci_blocked b,
				   void *data);

/* ---- dmabuf.c ---- */

/** vfio_pci_dmabuf_feature - DEVICE_FEATURE_DMA_BUF: a descriptor; errnos of spec 20, 6 */
long vfio_pci_dmabuf_feature(struct vfio_pci_device *v, struct task *t, uint32_t flags, uva_t data, size_t size);
/** vfio_pci_dmabufs_block_locked - no DMA reaches what was exported, until it is let through; held for write */
void vfio_pci_dmabufs_block_locked(struct vfio_pci_device *v, bool blocked);
/** vfio_pci_dmabufs_destroy - it never will again (last close) */
void vfio_pci_dmabufs_destroy(struct vfio_pci_device *v);

/* ---- intr.c, msi.c, intx.c ---- */

extern const struct pci_irq_ops vfio_pci_irq_ops;
unsigned vfio_pci_irq_count(struct vfio_pci_device *v, unsigned index);
long vfio_pci_set_irqs(struct vfio_pci_device *v, struct task *t, uva_t arg);
/** vfio_pci_irqs_disable - tear down the active index (last close) */
void vfio_pci_irqs_disable(struct vfio_pci_device *v);
/** vfio_pci_irqs_drop - forget ERR and REQ too */
void vfio_pci_irqs_drop(struct vfio_pci_device *v);
void vfio_pci_device_request(struct vfio_device *vdev, unsigned count);

/* One SET_IRQS, checked and copied in. */
struct vfio_pci_irq_set {
	unsigned index, start, count;
	uint32_t data, action;   /* one DATA bit; ACTION bits */
	const uint8_t *bools;    /* DATA_BOOL */
	const struct vfio_pci_irq_fd *fds; /* DATA_EVENTFD */
};
/* An eventfd of the caller, looked up before any lock is taken. */
struct vfio_pci_irq_fd {
	int32_t fd;
	int rc;                  /* of the lookup */
	struct event *event;     /* NULL: negative fd, or rc */
};
/** vfio_pci_irq_type_set_locked - change the active index; igate held */
void vfio_pci_irq_type_set_locked(struct vfio_pci_device *v, unsigned type, unsigned msi_qmax);

/** vfio_pci_msix_dynamic - are vectors allocated as they are hooked? Else all together, as those of MSI (spec 20, 4.6) */
bool vfio_pci_msix_dynamic(const struct vfio_pci_device *v);
int vfio_pci_msi_set_locked(struct vfio_pci_device *v, const struct vfio_pci_irq_set *s);
void vfio_pci_msi_disable_locked(struct vfio_pci_device *v);
/** vfio_pci_msi_message - a message arrived; called under PCI's locks */
void vfio_pci_msi_message(struct vfio_pci_device *v, unsigned vector);

int vfio_pci_intx_set_locked(struct vfio_pci_device *v, const struct vfio_pci_irq_set *s);
void vfio_pci_intx_disable_locked(struct vfio_pci_device *v);
/** vfio_pci_intx_raise - the pin is asserted: signal the user unless masked */
void vfio_pci_intx_raise(struct vfio_pci_device *v);
/** vfio_pci_intx_virq - the user changed COMMAND bit 10, or wrote COMMAND and left it (spec 20, 2.4 step 7) */
void vfio_pci_intx_virq(struct vfio_pci_device *v, bool disabled);
/** vfio_pci_intx_sync - make the hardware's COMMAND bit 10 what the state says, after somebody else wrote COMMAND */
void vfio_pci_intx_sync(struct vfio_pci_device *v);

/* ---- sriov.c ---- */

void vfio_pci_sriov_init(struct vfio_pci_device *v);
void vfio_pci_sriov_fini(struct vfio_pci_device *v);
/** vfio_pci_split - the driver's drv_ops.split. -ENOENT enable_sriov is off; -EINVAL it has some already */
int vfio_pci_split(struct vfio_pci_device *v, unsigned n);
/**
 * vfio_pci_token_check - may this device be opened? @token: VFIO_PCI_TOKEN bytes; NULL: none was given
 * A token given for a physical function none of whose virtual ones is open becomes its token.
 * Return: 0; -EACCES; -EINVAL it has nothing to do with tokens. Spec: 10, 3.10
 */
int vfio_pci_token_check(struct vfio_pci_device *v, const uint8_t *token);
/** vfio_pci_token_use - a virtual function was opened (@by 1) or closed (-1) */
void vfio_pci_token_use(struct vfio_pci_device *v, int by);
long vfio_pci_token_feature(struct vfio_pci_device *v, struct task *t, uint32_t flags, uva_t data, size_t size);

/* ---- reset.c ---- */

/** vfio_pci_function_reset - RESET, FLR and AF bits. -EINVAL no method; -EAGAIN the device lock is taken; -ENOTTY */
int vfio_pci_function_reset(struct vfio_pci_device *v);
long vfio_pci_hot_reset_info(struct vfio_pci_device *v, struct task *t, uva_t arg);
long vfio_pci_hot_reset(struct vfio_pci_device *v, struct task *t, uva_t arg);
/** vfio_pci_set_try_reset - at last close, set lock held: reset the set if nobody uses it and a member needs it */
void vfio_pci_set_try_reset(struct vfio_pci_device *v);

/* ---- ioeventfd.c ---- */

long vfio_pci_ioeventfd_ioctl(struct vfio_pci_device *v, struct task *t, uva_t arg);
void vfio_pci_ioeventfds_destroy(struct vfio_pci_device *v);

/* ---- feature.c ---- */

/** vfio_pci_call_begin - a call that uses the function: wakes it (spec 20, 5.5) */
void vfio_pci_call_begin(struct vfio_pci_device *v);
void vfio_pci_call_end(struct vfio_pci_device *v);

long vfio_pci_device_feature(struct vfio_device *vdev, struct task *t, uint32_t flags, uva_t data, size_t size);
/** vfio_pci_low_power_end - leave low power mode, if in it (last close) */
void vfio_pci_low_power_end(struct vfio_pci_device *v);

#endif
