/* SPDX-License-Identifier: MIT */
/* The toy machine's interface, shared by the machine (super_toy.c) and the programs under it (super_prog.c). */
#ifndef UVFIO_TESTS_SUPER_TOY_H
#define UVFIO_TESTS_SUPER_TOY_H

#include <stdint.h>

struct toy_add {
	uint32_t argsz;
	uint32_t a, b, sum;
};

#define TOY_ADD    0x3b01u /* struct toy_add *: sum = a + b */
#define TOY_COUNT  0x3b02u /* returns how many TOY_COUNT there have been */
#define TOY_BLOCK  0x3b03u /* sleeps until TOY_UNBLOCK */
#define TOY_UNBLOCK 0x3b04u
#define TOY_CHILD  0x3b05u /* returns a new descriptor on a device */
#define TOY_SIGNAL 0x3b06u /* arg: an eventfd, which is signalled */
#define TOY_MEMORY 0x3b07u /* arg 0: block access to the mapped memory; 1: allow */
#define TOY_OPEN   0x3b08u /* returns how many files of the machine are open */
#define TOY_SAME   0x3b09u /* arg: a descriptor; 0 if it is one of the machine's */
#define TOY_PEEK   0x3b0au /* arg: an address; returns the byte there, by mm_ops */
#define TOY_SLOW   0x3b0bu /* arg: milliseconds to sleep */
#define TOY_REQUESTS 0x3b0cu /* returns how many programs wait in TOY_BLOCK */
#define TOY_QUEUE  0x3b0du /* arg 1: may be written; returns a descriptor that reads "q" while it is ready */
#define TOY_TURN   0x3b0eu /* arg: are queues ready from now on? */
#define TOY_REGION 0x3b0fu /* returns a descriptor of plain pages alone, from TOY_PLAIN on, TOY_PAGES of them */
#define TOY_MAPPED 0x3b10u /* on such: arg: an offset; has anybody mapped the page there? */
#define TOY_RENEW  0x3b11u /* regions are of other memory from now on */

/* The device file: region 0 is a trapped page at 0, then one plain page; region 7 at 7 << 40 is not mappable. */
#define TOY_TRAP   0x0000
#define TOY_PLAIN  0x1000
#define TOY_SIZE   0x2000
#define TOY_PAGES  3
#define TOY_CONFIG (7ull << 40)

/* Registers of the trapped page */
#define TOY_ID      0x00 /* reads 0x70757866 */
#define TOY_NEXT    0x04 /* reads count up from 1; a write sets the count */
#define TOY_SCRATCH 0x40 /* to 0x7f: memory */
#define TOY_ID_VALUE 0x70757866u

#endif
