/* SPDX-License-Identifier: MIT */
/*
 * How to write a device model: the registers behind a PCI function. A model fills in struct pci_model
 * and calls the pci_* functions below; it cannot tell who drives it. src/devices/edu.c is the one to
 * copy, docs/MODELS.md the page to read.
 *
 * Context of the callbacks: several may run at once on different threads (a program may have many);
 * a model guards its state with its own lock, and may call every function below with it held, but for
 * pci_dma_*(): the target of a transfer may be a BAR, the model's own included.
 */
#ifndef UVFIO_MODEL_H
#define UVFIO_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pci_dev;

enum pci_bar_kind {
	PCI_BAR_NONE,
	PCI_BAR_MEM32,
	PCI_BAR_MEM64, /* takes two slots; the next must be PCI_BAR_NONE */
	PCI_BAR_IO,
};

struct pci_bar_desc {
	enum pci_bar_kind kind;
	bool prefetchable;
	bool plain;       /* memory without side effects: shared pages, no callbacks */
	bool packed;      /* in the page of the BAR before, as firmware with little room does: no peer reaches it */
	uint64_t size;    /* a power of two; memory >= 16, I/O >= 4 */
};

/* How an expansion ROM comes to be there. */
enum pci_rom_kind {
	PCI_ROM_BAR,      /* a BAR of its own */
	PCI_ROM_FIRMWARE, /* no BAR: an image that the platform's firmware has brought */
	PCI_ROM_SHADOW,   /* the boot display's, copied to 0xc0000: a window of 128 KiB */
};
#define PCI_ROM 6 /* the ROM, as the number of a BAR in read() */
#define PCI_VGA 7 /* a display's old addresses, as the number of a BAR in read() and write(): the offset is the address */

/* Of the PM capability. Which of keeping and forgetting is the default depends on the bus: PCIe keeps. */
#define PCI_MODEL_PM_D1      1u /* has D1 */
#define PCI_MODEL_PM_D2      2u
#define PCI_MODEL_PM_PME     4u /* can wake the system from every state */
#define PCI_MODEL_PM_KEEPS   8u /* keeps its registers over D3hot (No_Soft_Reset) */
#define PCI_MODEL_PM_FORGETS 16u

/* One message-signalled or pin interrupt face, all optional. */
struct pci_model {
	uint32_t size;            /* sizeof(struct pci_model) as compiled: newer fields read as zero */
	const char *name;         /* as machine files name it: "edu" */
	const char *what;         /* a line for people */

	/* Identity; a machine file may override ids. */
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code;      /* 24 bits */
	uint8_t revision;
	bool express;             /* PCIe endpoint with 4096 bytes of config space; else conventional */
	struct pci_bar_desc bar[6];
	uint8_t intx_pin;         /* 0: none, 1..4: INTA..INTD */
	uint8_t msi_vectors;      /* 0: no capability; a power of two up to 32 */
	bool msi_64bit, msi_maskable;
	uint16_t msix_vectors;    /* 0: no capability */
	uint8_t msix_bar;         /* where table and PBA live; */
	uint32_t msix_table, msix_pba; /* offsets, the pci layer answers there */
	bool flr;                 /* function level reset (in the PCIe or AF capability) */
	bool power_management;    /* PM capability */
	uint16_t extended_config_writable[8]; /* raw dwords of extended config space the model answers for; 0 ends */

	/* Make and free the model's state. @args: the device's "args" of the machine file, NULL-terminated "key=value" strings. */
	int (*create)(struct pci_dev *dev, const char *const *args, void **state);
	void (*destroy)(void *state);
	/* Power-on values. No access or DMA of the model may be under way when it returns. */
	void (*reset)(void *state);
	/* Access to BAR @bar (read: PCI_ROM too); @width 1, 2, 4, 8 or, for vector stores, up to 64. Little-endian image, zero-extended for reads. */
	void (*read)(void *state, unsigned bar, uint64_t offset, void *data, unsigned width);
	void (*write)(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width);
	/* extended_config_writable dwords; @offset of the dword */
	uint32_t (*config_read)(void *state, unsigned offset);
	void (*config_write)(void *state, unsigned offset, uint32_t value, uint32_t mask);

	/*
	 * One of the "args" of the machine file that changes what the function looks like, before its config
	 * space is built: called for each in turn with a copy of the model to change. 0; -EINVAL with the
	 * reason in @err (an unknown arg too). NULL: the model takes no args.
	 */
	int (*shape)(struct pci_model *copy, const char *arg, char *err, size_t err_size);

	/* PCIe only; a machine file may give them to any function. */
	uint8_t pasid_bits;       /* 0: no PASIDs; up to 20 */
	bool page_requests;       /* asks for pages that are not there (PRI), and so caches translations (ATS) */

	bool msix_pba_apart;      /* the pending bits are in another BAR than the table: */
	uint8_t msix_pba_bar;
	uint8_t pm_flags;         /* PCI_MODEL_PM_...; what power_management means in detail */
	bool vga;                 /* answers at 0xa0000 to 0xbffff and at ports 0x3b0 to 0x3df, 1 to 4 bytes at once */
	bool af;                  /* AF capability, whatever else there is */
	uint16_t vpd_size;        /* bytes of vital product data, a multiple of 4; 0: no capability */
	uint64_t rom_size;        /* 0: none; of the BAR: a power of two, 2 KiB to 16 MiB; of firmware's image: its length */
	enum pci_rom_kind rom_kind;
};

/* ---- what a model may call ---- */

/**
 * pci_dma_read, pci_dma_write - bus-master access
 * Return: 0; -EFAULT no translation, no permission, or bus mastering is off (then nothing moves). The IOMMU records the fault.
 */
int pci_dma_read(struct pci_dev *dev, uint64_t iova, void *dst, size_t n);
int pci_dma_write(struct pci_dev *dev, uint64_t iova, const void *src, size_t n);
/** pci_dma_copy - move @n bytes from @src to @dst, both IOVAs; @fault_write tells which end failed */
int pci_dma_copy(struct pci_dev *dev, uint64_t dst, uint64_t src, size_t n, bool *fault_write);
/**
 * pci_dma_read_pasid, pci_dma_write_pasid, pci_dma_copy_pasid - the same with a PASID, which a program has attached; 0: none
 * A function without PASIDs gets -EFAULT.
 */
int pci_dma_read_pasid(struct pci_dev *dev, uint32_t pasid, uint64_t iova, void *dst, size_t n);
int pci_dma_write_pasid(struct pci_dev *dev, uint32_t pasid, uint64_t iova, const void *src, size_t n);
int pci_dma_copy_pasid(struct pci_dev *dev, uint32_t pasid, uint64_t dst, uint64_t src, size_t n, bool *fault_write);
/** pci_bus_master - may the function move data now? (COMMAND, the power state) */
bool pci_bus_master(struct pci_dev *dev);
/** pci_pasids - how many there are: 1 to this - 1 can be said; 0: none */
uint32_t pci_pasids(const struct pci_dev *dev);
/**
 * pci_page_requests - does the function make page requests?
 * Then DMA on its worker may wait for a program to bring a page, as long as that takes; a reset ends it with -EFAULT. DMA
 * in a callback never waits, and fails where the page is not there: such a model does its DMA on its worker.
 */
bool pci_page_requests(const struct pci_dev *dev);
/** pci_intx_set - drive the interrupt pin (level) */
void pci_intx_set(struct pci_dev *dev, bool asserted);
/** pci_msi_fire, pci_msix_fire - send a message; masked or not enabled: pends or is lost as the capability says */
void pci_msi_fire(struct pci_dev *dev, unsigned vector);
void pci_msix_fire(struct pci_dev *dev, unsigned vector);
/** pci_irq_fire - MSI-X, else MSI, else (pulse of) nothing: whichever is enabled; returns false when the pin must be used */
bool pci_irq_fire(struct pci_dev *dev, unsigned vector);
/** pci_error_report - an uncorrectable error of the function: its driver hears of it, if it can report errors (AER) */
void pci_error_report(struct pci_dev *dev);
/** pci_dev_name - "0000:01:00.0" */
const char *pci_dev_name(const struct pci_dev *dev);
/**
 * pci_mirror_set - a register whose load has no side effect has this value now: programs may read it without calling read()
 * @width: 4: loads of 4 bytes; 8: loads of 8 bytes and of either half. Aligned. All other loads call read().
 * The model says so on each change, before the store that caused it or the interrupt that tells of it is through. Only
 * for trapped BARs.
 */
void pci_mirror_set(struct pci_dev *dev, unsigned bar, uint64_t offset, const void *data, unsigned width);
/** pci_mirror_clear - call read() again */
void pci_mirror_clear(struct pci_dev *dev, unsigned bar, uint64_t offset, unsigned width);

/** pci_bar_memory - the bytes of a plain BAR; 0; -EINVAL outside of it, or the BAR is not plain */
int pci_bar_memory(struct pci_dev *dev, unsigned bar, uint64_t offset, void *data, size_t n, bool write);

/* A worker thread of a model: runs when kicked, one at a time. */
struct pci_worker;
/**
 * pci_worker_create - @fn(@state) runs on the worker's thread after each pci_worker_kick()
 * Kicks while it runs make it run once more. Return: 0; -ENOMEM, -EAGAIN
 */
int pci_worker_create(struct pci_dev *dev, void (*fn)(void *state), void *state, struct pci_worker **out);
void pci_worker_kick(struct pci_worker *w);
/** pci_worker_drain - wait until it does not run and nothing is kicked; not from @fn, not with a lock @fn takes */
void pci_worker_drain(struct pci_worker *w);
void pci_worker_destroy(struct pci_worker *w);

#endif
