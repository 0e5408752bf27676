/* SPDX-License-Identifier: MIT */
/* The stub's code, to be written to STUB_TEXT of a process (front/stub/stub.h). Its entry is its first byte. */
#ifndef UVFIO_FRONT_STUB_BLOB_H
#define UVFIO_FRONT_STUB_BLOB_H

#include <stddef.h>

extern const unsigned char stub_blob[];
extern const size_t stub_blob_size;

#endif
