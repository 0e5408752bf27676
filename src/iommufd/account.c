/* SPDX-License-Identifier: MIT */
/*
 * Locked pages are counted by user, over all processes and contexts, or in the process (OPTION RLIMIT_MODE), or not at
 * all for who may lock any amount. What is pinned for a process is counted in any case, for all to see (VmPin). A user
 * is known for as long as something is pinned for him.
 */
#include "iommufd/account.h"
#include "base/lock.h"
#include <assert.h>
#include <sys/queue.h>

struct iommufd_user {
	uid_t uid;                     /* [I] */
	unsigned refs;                 /* [account lock] */
	atomic_ullong locked;          /* pages */
	LIST_ENTRY(iommufd_user) link; /* [account lock] */
};

struct iommufd_account {
	struct mutex lock; /* RANK_IOMMUFD_ACCOUNT */
	LIST_HEAD(, iommufd_user) users; /* a machine has few */
};

int iommufd_account_create(struct iommufd_account **out)
{
	struct iommufd_account *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	mutex_init(&a->lock, RANK_IOMMUFD_ACCOUNT);
	LIST_INIT(&a->users);
	*out = a;
	return 0;
}

void iommufd_account_destroy(struct iommufd_account *a)
{
	if (!a)
		return;
	assert(LIST_EMPTY(&a->users));
	mutex_fini(&a->lock);
	free(a);
}

struct iommufd_user *iommufd_user_get(struct iommufd_account *a, struct mm *mm)
{
	struct iommufd_user *u;

	SCOPED_LOCK(&a->lock);
	LIST_FOREACH(u, &a->users, link) {
		if (u->uid == mm->uid)
			break;
	}
	if (!u) {
		u = calloc(1, sizeof(*u));
		if (!u)
			return NULL;
		u->uid = mm->uid;
		LIST_INSERT_HEAD(&a->users, u, link);
	}
	u->refs++;
	return u;
}

void iommufd_user_put(struct iommufd_account *a, struct iommufd_user *u)
{
	if (!u)
		return;
	SCOPED_LOCK(&a->lock);
	if (--u->refs)
		return;
	assert(atomic_load(&u->locked) == 0);
	LIST_REMOVE(u, link);
	free(u);
}

static int charge_user(struct iommufd_user *u, struct mm *mm, uint64_t pages)
{
	uint64_t limit = mm->ops->memlock_limit(mm) >> UVFIO_PAGE_SHIFT;
	unsigned long long now = atomic_load(&u->locked);

	do {
		if (now + pages < now || now + pages > limit)
			return -ENOMEM;
	} while (!atomic_compare_exchange_weak(&u->locked, &now, now + pages));
	return 0;
}

static int charge(enum iommufd_charge how, struct iommufd_user *user, struct mm *mm, uint64_t pages)
{
	switch (how) {
	case IOMMUFD_CHARGE_USER:
		return charge_user(user, mm, pages);
	case IOMMUFD_CHARGE_MM:
		return mm_charge(mm, pages, false);
	case IOMMUFD_CHARGE_NONE:
		break;
	}
	return 0;
}

int iommufd_charge(enum iommufd_charge how, struct iommufd_user *user, struct mm *mm, uint64_t pages)
{
	int rc = charge(how, user, mm, pages);

	if (rc == 0)
		atomic_fetch_add(&mm->pinned_pages, (long long)pages);
	return rc;
}

void iommufd_uncharge(enum iommufd_charge how, struct iommufd_user *user, struct mm *mm, uint64_t pages)
{
	if (how == IOMMUFD_CHARGE_USER)
		atomic_fetch_sub(&user->locked, pages);
	else if (how == IOMMUFD_CHARGE_MM)
		mm_uncharge(mm, pages);
	atomic_fetch_sub(&mm->pinned_pages, (long long)pages);
}
