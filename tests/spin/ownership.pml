/* SPDX-License-Identifier: MIT */
/*
 * Whose DMA it is: the protocol of src/iommu/owner.c with all that moves around it, for spin (run.sh).
 *
 * One group of three functions. All have host drivers that do DMA; the last one has a driver that gives it to
 * programs too (managed, as vfio-pci). The actors, all at once, in any order:
 *
 *	Binder(m)    binds and unbinds, core/bind.c: device lock, driver, use_default, probe, remove, unuse_default
 *	Plugger(m)   unplugs a function and plugs it in again, pci/topology.c
 *	Resetter(m)  resets a function that caches translations: blocked meanwhile, and its group not claimed nor attached
 *	User(u)      opens the group, SET_CONTAINER, SET_IOMMU, GET_DEVICE_FD, MAP, UNMAP, UNSET_CONTAINER, closes the
 *	             device and the group, in any order: vfio/{group,container,device,type1_attach,type1_map}.c
 *	Dma          a hostile engine: any function, at any moment, iommu/dma.c through base/gate.h
 *
 * They go on until "stop", which may come at any moment; then all let go and end, and nothing may be left.
 *
 * Each inline is named after the C function it stands for and takes the same locks in the same order. What only a
 * lock's holder can see happens in one step with taking or giving back that lock; what others can see without it (a
 * device's domain, the gate, a translation) is a step of its own. A call that is refused changes nothing, so it is not
 * a step at all. Left out: the device set's lock (always inside the group's), vfio's references on files but the
 * group's, other types of default domain, claims of single devices, more groups than one.
 *
 * The environment chooses who takes part (ACTORS, a sum of the A_ numbers below) and breaks one rule (MUTANT, a number
 * of the list below): each such model must be found wrong, which shows that the properties can see.
 */

#define NM     3 /* functions */
#define SHARED 2 /* the one with a managed driver too */
#define NU     2 /* users, from 1 */

/* owner */
#define NOBODY 0

/* domains */
#define DEFAULT  0
#define BLOCKING 1
#define OF(u)    ((u) + 1)
#define NOWHERE  7

/* drivers */
#define NONE    0
#define HOST    1
#define MANAGED 2

#define NO_OWNER_CHECK  1  /* use_default counts a kernel driver whoever owns the group */
#define NO_CLAIM_CHECK  2  /* a claim does not look for kernel drivers */
#define USE_AFTER_PROBE 3  /* use_default comes after probe */
#define UNUSE_EARLY     4  /* unuse_default comes before remove */
#define CLAIM_STAYS     5  /* a claim leaves the functions in the kernel's domain */
#define RELEASE_FIRST   6  /* the claim is given up before the user's domain is */
#define JOIN_DEFAULT    7  /* a function that is plugged in gets the kernel's domain, not the group's */
#define NO_DMA_WAIT     8  /* nobody waits for DMA under way */
#define UNPIN_EARLY     9  /* pages are unpinned before the functions have left the domain */
#define LOCK_KEPT       10 /* unregistering a device waits for its users with the group's lock held */
#define WAIT_FOR_EMPTY  11 /* who waits for DMA waits until none is under way, not for what was when he came */
#define CLOSE_KEEPS     12 /* closing a group does not release the claim */
#define RESET_BACK      13 /* after a reset a function gets the domain back that it had before */
byte mutant;

#define A_BINDER0 1
#define A_BINDER1 2
#define A_BINDER2 4
#define A_PLUGGER 8
#define A_USER1   16
#define A_USER2   32
#define A_DMA     64
#define A_ENDLESS 128 /* DMA does not end before all others have */
#define A_FOREVER 256 /* there is no stop: for what must hold in every state, at half the price */
#define A_RESETTER 512
short actors;

/* struct iommu_group; g_lock guards all of it */
bit g_lock;
byte owner_cnt, owner, g_domain = DEFAULT;
bit member[NM] = 1;
bit resetting[NM];
/* struct iommu_dev.domain: written under g_lock, read by DMA without */
byte domain[NM] = DEFAULT;

/* The gate: what DMA is inside of, and who waits for this section to end (bit 0: holder of g_lock; bit u: UNMAP) */
byte inside = NOWHERE, awaited;

/* struct dev */
bit dev_lock[NM], dead[NM];
byte driver[NM];

/* struct vfio_group: the living one of the group. A dead one answers ENODEV and nothing more: its holder is STALE */
bit v_lock, vg_lock;
bit vg_live, vg_registered;
byte vg_opener, vg_container, vg_users;
/* struct vfio_device_priv.refs */
byte refs;

/* struct vfio_container and vfio_type1, one of each a user; index 0 is not used */
bit c_lock[NU + 1], c_has_group[NU + 1], c_type1[NU + 1];
bit t_lock[NU + 1], t_attached[NU + 1];
bit mapped[NU + 1], pinned[NU + 1]; /* a page of the user: translated in his domain; there for the device */

/* A user's group file: its references are the descriptor and the open device. */
#define CLOSED 0
#define LIVE   1
#define STALE  2
byte held[NU + 1];
bit has_fd[NU + 1], has_device[NU + 1];

/* For the properties: unmanaged drivers that are bound, probe and remove included */
byte hosts;
byte running; /* actors, but for DMA */
bit stop;

/*
 * The properties, by names that run.sh finds in what spin says of a failed assertion. One that is set to 1 is not
 * looked at: PROPERTY in the environment leaves only the one it names.
 */
bit one_owner;        /* a kernel driver is bound, or a user owns the group; never both */
bit driver_alone;     /* while a kernel driver is bound all functions are in the kernel's domain */
bit blocked_or_users; /* while a user owns the group all functions are blocked or in his domain */
bit kernels_again;    /* while nobody owns the group it is in the kernel's domain */
bit claim_has_file;   /* who owns the group has it open */
bit counts;           /* owner_cnt is the number of kernel drivers or of claims; in the end, nothing is left */
bit dma_kernel;       /* no DMA uses the kernel's domain while a user owns the group */
bit dma_owner;        /* DMA reaches a user's memory only while he owns the group and no kernel driver is bound */
bit dma_pinned;       /* DMA reaches no page after UNMAP or the end of the claim have given it back */

/* An unplugged function is blocked, and one that is being reset. */
#define in_kernel(m) (domain[m] == DEFAULT || (domain[m] == BLOCKING && (dead[m] || resetting[m])))
#define in_users(m)  (domain[m] == BLOCKING || domain[m] == OF(owner))

#define lock(l)   atomic { !l -> l = 1 }
#define unlock(l) l = 0

#define recovering (resetting[0] || resetting[1] || resetting[2])

/* ---- base/gate.h ---- */

/* Return when the sections of the gate of @dom that are open now have ended; @bit_ is the waiter's bit. */
inline gate_wait(dom, bit_)
{
	if
	:: mutant == NO_DMA_WAIT
	:: mutant == WAIT_FOR_EMPTY -> inside != dom
	:: else ->
		atomic {
			if
			:: inside == dom -> awaited = awaited | (1 << (bit_))
			:: else
			fi
		}
		!(awaited & (1 << (bit_)))
	fi
}

/* ---- iommu/group.c; g_lock held; "old" is a local of the caller ---- */

/* One step for all functions, as an access sees one of them only. */
inline iommu_group_move_locked(dom)
{
	if
	:: g_domain == dom
	:: else ->
		atomic {
			old = g_domain;
			g_domain = dom;
			if :: member[0] && !resetting[0] -> domain[0] = dom :: else fi;
			if :: member[1] && !resetting[1] -> domain[1] = dom :: else fi;
			if :: member[2] && !resetting[2] -> domain[2] = dom :: else fi
		}
		gate_wait(old, 0);
		old = 0
	fi
}

inline iommu_group_attach(dom, ok)
{
	lock(g_lock);
	if
	:: (g_domain == DEFAULT || g_domain == BLOCKING) && !recovering ->
		iommu_group_move_locked(dom);
		ok = 1
	:: else
	fi;
	unlock(g_lock)
}

inline iommu_group_detach()
{
	lock(g_lock);
	if
	:: owner -> iommu_group_move_locked(BLOCKING)
	:: else -> iommu_group_move_locked(DEFAULT)
	fi;
	unlock(g_lock)
}

/* ---- iommu/owner.c ---- */

inline iommu_dev_use_default(ok)
{
	atomic {
		!g_lock ->
		if
		:: owner_cnt && (g_domain != DEFAULT || owner) && mutant != NO_OWNER_CHECK
		:: else -> owner_cnt++; ok = 1
		fi
	}
}

inline iommu_dev_unuse_default()
{
	atomic {
		!g_lock ->
		assert((owner_cnt && !owner) || counts);
		owner_cnt--
	}
}

inline iommu_group_claim(who, ok)
{
	lock(g_lock);
	if
	:: (owner_cnt && mutant != NO_CLAIM_CHECK) || g_domain != DEFAULT || recovering
	:: else ->
		if
		:: mutant != CLAIM_STAYS -> iommu_group_move_locked(BLOCKING)
		:: else
		fi;
		atomic { owner = who; owner_cnt++; ok = 1 }
	fi;
	unlock(g_lock)
}

/* @move_: back to the kernel's domain, as always but in a mutant */
inline iommu_group_release(move_)
{
	atomic {
		!g_lock -> g_lock = 1;
		assert(owner || counts);
		owner_cnt = 0;
		owner = NOBODY
	}
	if
	:: move_ -> iommu_group_move_locked(DEFAULT)
	:: else
	fi;
	unlock(g_lock)
}

/* ---- iommu/iommu.c ---- */

inline iommu_dev_leave(m)
{
	atomic { !g_lock -> g_lock = 1; domain[m] = BLOCKING }
	gate_wait(g_domain, 0);
	atomic { member[m] = 0; resetting[m] = 0; unlock(g_lock) }
}

inline iommu_dev_join(m)
{
	atomic {
		!g_lock -> g_lock = 1;
		member[m] = 1;
		domain[m] = (mutant == JOIN_DEFAULT -> DEFAULT : g_domain)
	}
	gate_wait(BLOCKING, 0);
	unlock(g_lock)
}

inline iommu_dev_reset_begin(m)
{
	atomic {
		!stop && !g_lock && member[m] -> g_lock = 1;
		old = domain[m];
		resetting[m] = 1;
		domain[m] = BLOCKING
	}
	gate_wait(g_domain, 0);
	unlock(g_lock)
}

inline iommu_dev_reset_end(m)
{
	atomic {
		!g_lock ->
		if
		:: resetting[m] -> resetting[m] = 0; domain[m] = (mutant == RESET_BACK -> old : g_domain)
		:: else
		fi;
		old = 0
	}
}

/* ---- vfio/type1_attach.c, type1_map.c ---- */

inline vfio_type1_attach(u, ok)
{
	lock(t_lock[u]);
	iommu_group_attach(OF(u), ok);
	atomic { t_attached[u] = ok; unlock(t_lock[u]) }
}

inline vfio_type1_detach(u)
{
	lock(t_lock[u]);
	if
	:: mutant == UNPIN_EARLY -> pinned[u] = 0
	:: else
	fi;
	iommu_group_detach();
	/* The domain is destroyed, then the pages are unpinned: no DMA can be there any more. */
	atomic { mapped[u] = 0; pinned[u] = 0; t_attached[u] = 0; unlock(t_lock[u]) }
}

inline type1_map_ioctl(u)
{
	atomic { !stop && !t_lock[u] && t_attached[u] && !mapped[u] -> pinned[u] = 1; mapped[u] = 1 }
}

inline type1_unmap_ioctl(u)
{
	atomic { !stop && !t_lock[u] && mapped[u] -> t_lock[u] = 1; mapped[u] = 0 }
	gate_wait(OF(u), u);
	atomic { pinned[u] = 0; unlock(t_lock[u]) }
}

/* ---- vfio/container.c ---- */

/* The group's lock is held, and given back; "ok" is a local of the caller. */
inline vfio_container_attach(u)
{
	lock(c_lock[u]);
	iommu_group_claim(u, ok);
	if
	:: ok && c_type1[u] ->
		ok = 0;
		vfio_type1_attach(u, ok);
		if
		:: !ok -> iommu_group_release(true)
		:: else
		fi
	:: else
	fi;
	atomic {
		if
		:: ok -> c_has_group[u] = 1; vg_container = u; vg_users = 1; ok = 0
		:: else
		fi;
		unlock(c_lock[u])
	}
}

/* The group's lock is held; "c" is a local of the caller. */
inline vfio_container_detach()
{
	atomic { assert(vg_users == 1 || counts); c = vg_container }
	lock(c_lock[c]);
	if
	:: mutant == RELEASE_FIRST -> iommu_group_release(false)
	:: else
	fi;
	if
	:: c_type1[c] -> vfio_type1_detach(c)
	:: else
	fi;
	if
	:: mutant != RELEASE_FIRST -> iommu_group_release(true)
	:: else
	fi;
	atomic {
		c_has_group[c] = 0;
		c_type1[c] = 0;
		unlock(c_lock[c]);
		vg_container = 0;
		vg_users = 0;
		c = 0
	}
}

inline set_iommu_ioctl(u)
{
	atomic { !stop && !c_lock[u] && c_has_group[u] && !c_type1[u] -> c_lock[u] = 1 }
	vfio_type1_attach(u, ok);
	atomic { c_type1[u] = ok; ok = 0; unlock(c_lock[u]) }
}

/* ---- vfio/group.c, device.c ---- */

inline group_open(u)
{
	atomic { !stop && !vg_lock && vg_live && !vg_opener -> vg_opener = u; held[u] = LIVE; has_fd[u] = 1 }
}

inline set_container_ioctl(u)
{
	atomic { !stop && !vg_lock && held[u] == LIVE && !vg_container -> vg_lock = 1 }
	vfio_container_attach(u);
	unlock(vg_lock)
}

inline unset_container_ioctl(u)
{
	atomic { !stop && !vg_lock && held[u] == LIVE && vg_container && vg_users == 1 -> vg_lock = 1 }
	vfio_container_detach();
	unlock(vg_lock)
}

inline get_device_fd_ioctl(u)
{
	atomic {
		!stop && !vg_lock && held[u] == LIVE && !has_device[u] && vg_registered && vg_container ->
		vg_lock = 1;
		refs++
	}
	atomic {
		!c_lock[vg_container] -> /* vfio_container_ready */
		if
		:: c_type1[vg_container] -> vg_users++; has_device[u] = 1
		:: else -> refs--
		fi;
		unlock(vg_lock)
	}
}

/* The last reference on the group's file goes. */
inline group_file_release(u)
{
	atomic { !vg_lock -> vg_lock = 1 }
	if
	:: held[u] == LIVE && vg_container && mutant != CLOSE_KEEPS -> vfio_container_detach()
	:: else
	fi;
	atomic {
		if
		:: held[u] == LIVE -> vg_opener = 0
		:: else
		fi;
		held[u] = CLOSED;
		unlock(vg_lock)
	}
}

inline device_file_release(u)
{
	atomic { !vg_lock && has_device[u] -> vg_users--; has_device[u] = 0 }
	if
	:: !has_fd[u] -> group_file_release(u)
	:: else
	fi;
	refs--
}

inline close_group(u)
{
	atomic { has_fd[u] -> has_fd[u] = 0 }
	if
	:: !has_device[u] -> group_file_release(u)
	:: else
	fi
}

inline vfio_register()
{
	lock(v_lock);
	atomic {
		!vg_lock ->
		if
		:: !vg_live -> vg_live = 1; vg_opener = 0; vg_container = 0; vg_users = 0
		:: else
		fi;
		vg_registered = 1;
		refs = 1;
		unlock(v_lock)
	}
}

/* v_lock held */
inline vfio_group_leave()
{
	lock(vg_lock);
	if
	:: vg_container -> vfio_container_detach()
	:: else
	fi;
	atomic {
		vg_live = 0;
		if
		:: vg_opener -> held[vg_opener] = STALE; vg_opener = 0
		:: else
		fi;
		unlock(vg_lock)
	}
}

inline vfio_unregister()
{
	atomic {
		!vg_lock ->
		vg_registered = 0;
		vg_lock = (mutant == LOCK_KEPT);
		refs--
	}
	refs == 0;
	if
	:: mutant == LOCK_KEPT -> unlock(vg_lock)
	:: else
	fi;
	lock(v_lock);
	vfio_group_leave();
	unlock(v_lock)
}

/* ---- core/bind.c; each gives the device's lock back ---- */

/* After dma_configure; a probe may refuse. */
inline host_probe(m)
{
	if
	:: unlock(dev_lock[m])
	:: true ->
		atomic { iommu_dev_unuse_default(); hosts--; driver[m] = NONE; unlock(dev_lock[m]) }
	fi
}

inline bind_host(m)
{
	atomic { !stop && !dev_lock[m] && !dead[m] && !driver[m] -> dev_lock[m] = 1; driver[m] = HOST }
	if
	:: mutant == USE_AFTER_PROBE -> hosts++
	:: else
	fi;
	atomic {
		iommu_dev_use_default(ok);
		if
		:: ok && mutant != USE_AFTER_PROBE -> hosts++
		:: !ok && mutant == USE_AFTER_PROBE -> hosts--
		:: else
		fi
	}
	if
	:: ok -> ok = 0; host_probe(m)
	:: else -> atomic { driver[m] = NONE; unlock(dev_lock[m]) }
	fi
}

inline bind_managed(m)
{
	atomic { !stop && m == SHARED && !dev_lock[m] && !dead[m] && !driver[m] -> dev_lock[m] = 1; driver[m] = MANAGED }
	vfio_register();
	unlock(dev_lock[m])
}

/* The device's lock is held. */
inline bind_release(m)
{
	if
	:: driver[m] == HOST && mutant != UNUSE_EARLY -> atomic { iommu_dev_unuse_default(); hosts-- }
	:: driver[m] == HOST && mutant == UNUSE_EARLY -> iommu_dev_unuse_default(); hosts--
	:: driver[m] == MANAGED -> vfio_unregister()
	:: driver[m] == NONE
	fi;
	atomic { driver[m] = NONE; unlock(dev_lock[m]) }
}

inline drv_unbind(m)
{
	atomic { !stop && !dev_lock[m] && driver[m] -> dev_lock[m] = 1 }
	bind_release(m)
}

/* ---- pci/topology.c ---- */

inline pci_dev_unplug(m)
{
	atomic { !stop && !dev_lock[m] -> dev_lock[m] = 1; dead[m] = 1 }
	bind_release(m);
	iommu_dev_leave(m)
}

inline pci_dev_announce(m)
{
	iommu_dev_join(m);
	dead[m] = 0
}

/* ---- the actors ---- */

proctype Binder(byte m)
{
	byte old, c;
	bit ok;

	do
	:: bind_host(m)
	:: bind_managed(m)
	:: drv_unbind(m)
	:: stop -> break
	od;
	lock(dev_lock[m]);
	bind_release(m);
	running--
}

proctype Plugger(byte m)
{
	byte old, c;

	do
	:: pci_dev_unplug(m); pci_dev_announce(m)
	:: stop -> break
	od;
	running--
}

proctype Resetter(byte m)
{
	byte old;

	do
	:: iommu_dev_reset_begin(m); iommu_dev_reset_end(m)
	:: stop -> break
	od;
	running--
}

proctype User(byte u)
{
	byte old, c;
	bit ok;

	do
	:: group_open(u)
	:: set_container_ioctl(u)
	:: set_iommu_ioctl(u)
	:: get_device_fd_ioctl(u)
	:: unset_container_ioctl(u)
	:: type1_map_ioctl(u)
	:: type1_unmap_ioctl(u)
	:: device_file_release(u)
	:: close_group(u)
	:: stop && !has_device[u] && !has_fd[u] -> break
	od;
	running--
}

/* dma_begin, a walk, bytes move, dma_end. */
proctype Dma()
{
	byte m, d, again;

	do
	:: running ->
		if
		:: d = domain[0]; m = 0
		:: d = domain[1]; m = 1
		:: d = domain[2]; m = 2
		fi;
		do
		:: inside = d;
			atomic {
				again = domain[m];
				if
				:: d == again -> again = 0; m = 0; break
				:: else
				fi
			}
			atomic { inside = NOWHERE; awaited = 0; d = again; again = 0 }
		od;
		if
		:: d == DEFAULT -> assert(!owner || dma_kernel)
		:: d == BLOCKING
		:: d > BLOCKING && !mapped[d - 1]
		:: d > BLOCKING && mapped[d - 1] ->
			atomic {
				assert(pinned[d - 1] || dma_pinned);
				assert((owner == d - 1 && !hosts) || dma_owner)
			}
		fi;
		atomic { inside = NOWHERE; awaited = 0; d = 0 }
	:: !running -> break
	:: stop && !(actors & A_ENDLESS) -> break
	od
}

/* Looks at every state. */
active proctype Watch()
{
end:	do
	:: atomic { owner && hosts -> assert(one_owner) }
	:: atomic { hosts && !(in_kernel(0) && in_kernel(1) && in_kernel(2)) -> assert(driver_alone) }
	:: atomic { owner && !(in_users(0) && in_users(1) && in_users(2)) -> assert(blocked_or_users) }
	:: atomic { owner && held[owner] != LIVE -> assert(claim_has_file) }
	:: atomic { !owner && !g_lock && g_domain != DEFAULT -> assert(kernels_again) }
	:: atomic { !g_lock && owner_cnt != (owner -> 1 : hosts) -> assert(counts) }
	od
}

init
{
	atomic {
		c_code {
			const char *m = getenv("MUTANT"), *a = getenv("ACTORS"), *p = getenv("PROPERTY");

			now.mutant = m ? atoi(m) : 0;
			now.actors = a ? atoi(a) : 0;
#define LOOK(name) now.name = p && strcmp(p, #name) != 0
			LOOK(one_owner);
			LOOK(driver_alone);
			LOOK(blocked_or_users);
			LOOK(kernels_again);
			LOOK(claim_has_file);
			LOOK(counts);
			LOOK(dma_kernel);
			LOOK(dma_owner);
			LOOK(dma_pinned);
		};
		if :: actors & A_DMA -> run Dma() :: else fi;
		if :: actors & A_USER1 -> running++; run User(1) :: else fi;
		if :: actors & A_USER2 -> running++; run User(2) :: else fi;
		if :: actors & A_BINDER0 -> running++; run Binder(0) :: else fi;
		if :: actors & A_BINDER1 -> running++; run Binder(1) :: else fi;
		if :: actors & A_BINDER2 -> running++; run Binder(2) :: else fi;
		if :: actors & A_PLUGGER -> running++; run Plugger(0) :: else fi;
		if :: actors & A_RESETTER -> running++; run Resetter(0) :: else fi
	}
	if
	:: !(actors & A_FOREVER) -> stop = 1
	fi;
	!running;
	assert((!owner_cnt && !owner && !hosts && !refs && !vg_live) || counts)
}

/* Whatever is going on, when all let go: with weak fairness, and DMA without end. */
ltl claims_end { [] (stop && owner -> <> !owner) }
ltl calls_end { [] (stop -> <> !running) }
