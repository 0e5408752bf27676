/* SPDX-License-Identifier: MIT */
/* The calls that the fuzzer of devices alone makes. */
#ifndef CALLS_H
#define CALLS_H

#include "fuzz.h"

#define EVENTS     4
#define EVENT      1010 /* eventfds of the host: EVENT to EVENT + EVENTS - 1 */
#define WINDOW     ((char *)0x300000000000)
#define WINDOW_MAX 16ul /* pages */

void events_boot(void);
void events_end(void);
int event_pick(void); /* one of them, none, or no eventfd at all */
void window_end(void);
uint64_t offset_in(unsigned region);
extern bool token_changed; /* perhaps */

/* info.c */
void do_device_info(void);
void do_feature(void);
void do_hot_reset(void);
void do_hot_reset_info(void);
void do_irq_info(void);
void do_region_info(void);
/* irqs.c */
void do_fire(void);
void do_ioeventfd(void);
void do_set_irqs(void);
void do_signal(void);
/* regions.c */
void do_command(void);
void do_config(void);
void do_mmap(void);
void do_munmap(void);
void do_power(void);
void do_region(void);
void do_touch(void);

#endif
