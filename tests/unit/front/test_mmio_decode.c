/* SPDX-License-Identifier: MIT */
/* The decoder and the thunk area alone: what is refused, what shares a slot, and bytes that mean nothing. */
#include "front/mmio.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static void decode_only(void **state)
{
	struct mmio_thunks *t;
	struct mmio_insn a, b;

	assert_int_equal(mmio_thunks_create(0, &t), -EINVAL);
	assert_int_equal(mmio_thunks_create(65536, &t), -EINVAL);
	assert_int_equal(mmio_thunks_create(4, &t), 0);
	assert_int_equal(mmio_decode("\x81\x08", 2, t, &a), -EINVAL); /* cut off */
	assert_int_equal(mmio_decode("\x06", 1, t, &a), -EINVAL);     /* no instruction */
	assert_int_equal(mmio_decode("\x90", 1, t, &a), -EINVAL);     /* no memory */
	assert_int_equal(mmio_decode("\x83\x08\x01", 3, t, &a), 0);
	assert_int_equal(a.kind, MMIO_THUNK);
	assert_int_equal(a.flags, MMIO_F_READ | MMIO_F_WRITE);
	assert_int_equal(mmio_decode("\x83\x08\x01\xcc\xcc", 5, t, &b), 0);
	assert_memory_equal(&a, &b, sizeof(a)); /* the same bytes share a slot */
	for (uint8_t i = 2; i < 5; i++)
		assert_int_equal(mmio_decode((uint8_t[]){ 0x83, 0x08, i }, 3, t, &a), 0);
	assert_int_equal(mmio_decode("\x83\x08\x05", 3, t, &a), -ENOSPC);
	assert_int_equal(mmio_decode("\x83\x08\x01", 3, t, &a), 0);
	assert_int_equal(mmio_decode("\x8b\x07", 2, t, &a), 0); /* needs no slot */
	assert_int_equal(a.kind, MMIO_LOAD);
	mmio_thunks_destroy(t);
	mmio_thunks_destroy(NULL);
}

/* Any bytes at all: an answer, and no access outside. */
static void decode_noise(void **state)
{
	struct mmio_thunks *t;
	struct mmio_insn insn;
	uint64_t x = 88172645463325252ull;

	assert_int_equal(mmio_thunks_create(65535, &t), 0);
	for (unsigned i = 0; i < 200000; i++) {
		uint8_t *bytes = malloc(MMIO_INSN_MAX); /* on the heap, so that ASan guards its end */
		size_t n = i % (MMIO_INSN_MAX + 1);
		int rc;

		for (size_t j = 0; j < MMIO_INSN_MAX; j++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			bytes[j] = (uint8_t)(x >> 24);
		}
		if (i & 1)
			bytes[0] = (uint8_t[]){ 0x62, 0xc5, 0xc4, 0x0f }[i / 2 % 4];
		rc = mmio_decode(bytes, n, t, &insn);
		if (!rc) {
			assert_in_range(insn.len, 1, n);
			assert_in_range(insn.kind, MMIO_LOAD, MMIO_THUNK);
			assert_true(insn.width <= MMIO_WIDTH_MAX);
		} else {
			assert_true(rc == -EINVAL || rc == -ENOSPC);
		}
		free(bytes);
	}
	mmio_thunks_destroy(t);
}

/* One process writes, others execute and cannot write. */
static void area_is_read_only(void **state)
{
	struct mmio_thunks *t;
	struct mmio_insn insn;
	uint8_t *code;
	size_t size;

	assert_int_equal(mmio_thunks_create(100, &t), 0);
	size = mmio_thunks_size(t);
	assert_true(size >= 100 * MMIO_THUNK_SIZE);
	assert_ptr_equal(mmap(NULL, size, PROT_WRITE, MAP_SHARED, mmio_thunks_fd(t), 0), MAP_FAILED);
	code = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, mmio_thunks_fd(t), 0);
	assert_ptr_not_equal(code, MAP_FAILED);
	assert_int_equal(mprotect(code, size, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(mmio_decode("\x83\x08\x01", 3, t, &insn), 0);
	assert_memory_equal(code + insn.thunk * MMIO_THUNK_SIZE, "\xf3\x0f\x1e\xfa", 4); /* endbr64: there it is */
	munmap(code, size);
	mmio_thunks_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decode_only),
		cmocka_unit_test(decode_noise),
		cmocka_unit_test(area_is_read_only),
	};

	return cmocka_run_group_tests_name("mmio_decode", tests, NULL, NULL);
}
