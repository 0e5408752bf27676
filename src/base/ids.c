/* SPDX-License-Identifier: MIT */
#include "base/ids.h"
#include <assert.h>
#include <string.h>

void ids_fini(struct ids *s)
{
	free(s->words);
	memset(s, 0, sizeof(*s));
}

int ids_alloc(struct ids *s, unsigned *out)
{
	unsigned w = s->hint;

	while (w < s->nwords && s->words[w] == UINT64_MAX)
		w++;
	if (w == s->nwords) {
		unsigned n = s->nwords ? s->nwords * 2 : 1;
		uint64_t *words = realloc(s->words, n * sizeof(*words));

		if (!words)
			return -ENOMEM;
		memset(words + s->nwords, 0, (n - s->nwords) * sizeof(*words));
		s->words = words;
		s->nwords = n;
	}
	unsigned bit = (unsigned)__builtin_ctzll(~s->words[w]);

	s->words[w] |= BIT64(bit);
	s->hint = w;
	*out = w * 64 + bit;
	return 0;
}

void ids_free(struct ids *s, unsigned id)
{
	assert(id / 64 < s->nwords && (s->words[id / 64] & BIT64(id % 64)));
	s->words[id / 64] &= ~BIT64(id % 64);
	if (id / 64 < s->hint)
		s->hint = id / 64;
}
