/* SPDX-License-Identifier: MIT */
/* Inside the fuzzer of config space: config.c */
#ifndef CONFIG_H
#define CONFIG_H

#include "fuzz.h"

#define LOOKED 0x400 /* all capabilities of the machine are below */

/* What holds for the bytes of one function's config space, bit by bit. */
struct rules {
	uint8_t first[LOOKED];   /* as the program found it */
	uint8_t may[LOOKED];     /* may change */
	uint8_t kept[LOOKED];    /* reads as written */
	uint8_t written[LOOKED]; /* last */
	uint8_t host[LOOKED];    /* of the hardware: the host's alone */
	unsigned cap[32], ncaps; /* 0 (the header) and where capabilities are that programs see */
};

/** rules_make - of a function just opened, by what spec 20, 2, says of the registers it shows */
void rules_make(struct rules *r, int fd, struct pci_dev *dev);
/** rules_find - where a capability is; 0: nowhere that a program sees */
unsigned rules_find(const struct rules *r, uint8_t id);

#endif
