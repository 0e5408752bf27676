/* SPDX-License-Identifier: MIT */
/*
 * Every lock of uvfio, outermost first. A thread may take a lock only when its rank is greater than
 * that of every lock it holds; debug builds abort otherwise (base/lock.c). Locks of equal rank are
 * never held together.
 */
#ifndef UVFIO_BASE_LOCKRANK_H
#define UVFIO_BASE_LOCKRANK_H

enum lock_rank {
	RANK_NONE = 0,       /* not checked: leaf locks of tests */
	RANK_SUPER_RELEASE,  /* front/supervisor: releasing what programs have closed, in order */
	RANK_SUPER_BACKING,  /* front/supervisor: mirroring a directory */
	RANK_MACHINE,        /* machine: hot-plug, list of open files */
	RANK_PCI_HOTPLUG,    /* pci: functions come and go one at a time, as Linux's rescan-remove lock */
	RANK_DEVICE,         /* core: one device's bind/unbind/reset ("device lock") */
	RANK_PCI_VFS,        /* pci: the virtual functions of one come and go */
	RANK_DEVICE_WITHIN,  /* core: the same of a device that comes and goes with another, under that one's lock */
	RANK_PCI_CHANGE,     /* pci: groups and sysfs follow a function that comes or goes */
	RANK_BUS,            /* core: lists of devices and drivers */
	RANK_VFIO,           /* vfio: the list of groups, indexes, device sets */
	RANK_VFIO_GROUP,     /* vfio: one group */
	RANK_VFIO_CONTAINER, /* vfio: one container */
	RANK_VFIO_DEVICE_SET,/* vfio: devices that reset together; open and close */
	RANK_VFIO_DEVICE,    /* vfio: references on devices, for who waits for the last */
	RANK_VFIO_PCI,       /* vfio/pci: which devices reset together; held over a hot reset */
	RANK_VFIO_PCI_TOKEN, /* vfio/pci: the token of a function with virtual ones, and who uses it */
	RANK_TYPE1_DEVICES,  /* vfio: devices of an instance that are told of unmaps; held over their callback */
	RANK_VFIO_EMULATED,  /* vfio/emulated: one device */
	RANK_TYPE1,          /* vfio: one type1 instance */
	RANK_IRQ,            /* vfio/pci: interrupt setup ("igate") */
	RANK_IOEVENTFD,      /* vfio/pci: one device's ioeventfds */
	RANK_MEMORY,         /* vfio/pci: memory enable ("memory_lock"), read side around BAR access */
	RANK_CONFIG,         /* vfio/pci: virtual config space */
	RANK_IOMMUFD_IOAS,   /* iommufd: HWPTs of an IOAS; held while one is tried for a device */
	RANK_IOMMUFD_GROUP,  /* iommufd: what a group is attached to */
	RANK_IOMMUFD_VIOMMU, /* iommufd: devices and queues of a virtual IOMMU */
	RANK_IOMMUFD_TEST,   /* iommufd: what an access of the test interface has pinned */
	RANK_IOMMUFD_ACCESS, /* iommufd: where an access is attached */
	RANK_IOMMUFD_PROCESS,/* iommufd: who pays for pins changes (CHANGE_PROCESS); address spaces of a context */
	RANK_IOMMUFD_IOPT,   /* iommufd: one address space */
	RANK_DMABUF,         /* mem: who imports a dma-buf; held over its revocation */
	RANK_IOMMUFD_PAGES,  /* iommufd: what is pinned of one pages object */
	RANK_IOMMUFD,        /* iommufd: objects by id */
	RANK_IOMMUFD_MOCK,   /* iommufd: caches of mock hardware; a leaf */
	RANK_IOMMUFD_ACCOUNT,/* iommufd: users by number */
	RANK_PCI_TOPO,       /* pci: lists of buses and functions; never held over a callback */
	RANK_IOMMU_GROUP,    /* iommu: ownership, members, attached domain */
	RANK_IOMMU_FAMILY,   /* iommu: domains nested in one; held while waiting for their DMA */
	RANK_IOMMU_DOMAIN,   /* iommu: page table of one domain */
	RANK_IOMMU,          /* iommu: group ids, spare domains, device names */
	RANK_PCI_ACCESS,     /* pci: read side around a model's callback, write side its reset */
	RANK_MODEL,          /* devices: a model's own state */
	RANK_PCI,            /* pci: config bytes, MSI-X table of one function */
	RANK_PCI_INTX,       /* pci: interrupt line */
	RANK_PCI_WORKER,     /* pci: a model's worker */
	RANK_MEM,            /* mem: region table, pins */
	RANK_MEM_RING,       /* mem: transfers from and to pages of private memory; a leaf */
	RANK_PCI_PEER,       /* pci: queue of peer-to-peer accesses; a leaf, taken inside mem's window access */
	RANK_IOMMUFD_EVENTS, /* iommufd: what waits in a queue of faults or events; inside DMA, a leaf but for who waits for it */
	RANK_IOMMU_ASKS,     /* iommu: who waits for a page of one device; a leaf but for the answers */
	RANK_FILE_READY,     /* file: what poll(2) says of one file; a leaf but for what a front end does then */
	RANK_IOMMU_REQUEST,  /* iommu: the answer to one page request; a leaf */
	RANK_IOMMU_RUNS,     /* iommu: leaves of one domain; a leaf, taken in DMA */
	RANK_IOMMU_FAULT,    /* iommu: fault ring, a domain's recently unmapped ranges */
	RANK_IRQ_TRIGGER,    /* vfio/pci: which eventfd an interrupt signals; a leaf */
	RANK_VFIO_PCI_BLOCKED, /* vfio/pci: accesses that found memory disabled; a leaf but for the log */
	RANK_TREE,           /* file: sysfs tree */
	RANK_SUPER_SEIZE,    /* front/supervisor: seizing a thread and asking it to stop */
	RANK_SUPER_INSTALL,  /* front/supervisor: choosing a descriptor number */
	RANK_SUPER_WINDOW,   /* front/supervisor: redirected attributes */
	RANK_SUPER_PROC,     /* front/supervisor: one process; taken inside task_ops and mm_ops */
	RANK_SUPER_TABLE,    /* front/supervisor: processes by number */
	RANK_SUPER_FDS,      /* front/supervisor: who has which file */
	RANK_SUPER_POOL,     /* front/supervisor: which thread takes the next call */
	RANK_EVENT,          /* base: event loop */
	RANK_LOG,            /* base: log ring */
	RANK_LAST
};

#endif
