/* SPDX-License-Identifier: MIT */
/* Who answers for locked pages, and how many he may have (spec 30, 8). */
#ifndef UVFIO_IOMMUFD_ACCOUNT_H
#define UVFIO_IOMMUFD_ACCOUNT_H

#include "task/task.h"

struct iommufd_account; /* the users of a machine */
struct iommufd_user;    /* one, counted */

enum iommufd_charge {
	IOMMUFD_CHARGE_NONE, /* the mapper may lock any amount */
	IOMMUFD_CHARGE_USER, /* all processes of a user together */
	IOMMUFD_CHARGE_MM,   /* the process */
};

int iommufd_account_create(struct iommufd_account **out);
void iommufd_account_destroy(struct iommufd_account *a); /* NULL is fine */

/** iommufd_user_get - the user whose process @mm was. NULL: no memory */
struct iommufd_user *iommufd_user_get(struct iommufd_account *a, struct mm *mm);
void iommufd_user_put(struct iommufd_account *a, struct iommufd_user *user); /* NULL is fine */

/** iommufd_charge - @pages more, within @mm's RLIMIT_MEMLOCK, and in its VmPin. 0; -ENOMEM nothing charged */
int iommufd_charge(enum iommufd_charge how, struct iommufd_user *user, struct mm *mm, uint64_t pages);
void iommufd_uncharge(enum iommufd_charge how, struct iommufd_user *user, struct mm *mm, uint64_t pages);

#endif
