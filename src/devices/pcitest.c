/* SPDX-License-Identifier: MIT */
/*
 * A function made of a description: all that a program can see of it is said in its args (and in the "capabilities:"
 * of the machine file), so that a test can ask for any face, and see what of its accesses arrives here.
 *
 *	bar0=64K[,64][,prefetch][,io][,packed]   bytes, each access to which is carried here; up to 256 GiB
 *	bar2=1M,plain                   memory that programs share
 *	bar4=4K,log                     what has arrived (below)
 *	reg=0@0x10:counter              loads say how many there were, themselves included
 *	reg=0@0x14:clear=0x5a           a load takes the value away
 *	reg=0@0x18:w1c=0xff             stored ones clear bits
 *	reg=0@0x1c/8:ro=1               a constant; "/8": of 8 bytes instead of 4
 *	reg=0@0x20:fire                 a store sends that vector
 *	reg=0@0x24:pin                  a store of 1 asserts the pin, of 0 takes it back
 *	reg=0@0x28:error                a store reports an uncorrectable error
 *	rom=64K[,image=3K]              a valid image, as long as its BAR unless said
 *	rom=64K,bad                     an image without its signature
 *	rom=70000,firmware  rom=shadow  no BAR: as firmware brought or copied it
 *	msi=4[,mask][,32]  msix=, intx= as generic's
 *	pm[=d1,d2,pme,keeps,forgets]  af  vga  vpd=256  flr, express, pasid, pri
 *
 * A register is what an access of its very offset and width finds; any other sees the bytes of its value.
 *
 * The log: the number of accesses (4 bytes at 0; a store there forgets them), of resets (4 bytes at 4), and from 16 on
 * as many entries as there is room for, the first ones: the offset (8 bytes), the value's first 4 bytes, the BAR (6: the
 * ROM, 7: VGA), the width, whether it was a store, 0. Accesses to the log itself are not in it. A reset forgets all but the number
 * of resets.
 */
#include "base/lock.h"
#include "devices/devices.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PCITEST_REGS       64
#define PCITEST_TRAPPED    (256ull << 30)
enum { PCITEST_LOG_COUNT = 0, PCITEST_LOG_RESETS = 4, PCITEST_LOG_FIRST = 16 }; /* offsets */
#define PCITEST_LOG_MOST   (1u << 20) /* bytes of a log */
#define PCITEST_ROM_BLOCK  512u
#define PCITEST_VGA_SIZE   0xc0000u

enum pcitest_kind { PCITEST_COUNTER, PCITEST_CLEAR, PCITEST_W1C, PCITEST_RO, PCITEST_FIRE, PCITEST_PIN, PCITEST_ERROR };

struct pcitest_reg {
	unsigned bar, width;
	uint64_t offset, value; /* at power-on */
	enum pcitest_kind kind;
};

/* What one "rom=..." says. */
struct pcitest_rom {
	uint64_t size, image;
	enum pci_rom_kind kind;
	bool bad;
};

struct pcitest_entry {
	uint64_t offset;
	uint32_t value;
	uint8_t bar, width, write, zero;
};

/* A BAR that is trapped. */
struct pcitest_bar {
	uint8_t *bytes; /* [lock] NULL: absent or plain */
	uint64_t size;  /* [I] */
};

struct pcitest {
	struct pci_dev *dev;
	struct mutex lock;       /* RANK_MODEL */
	struct pcitest_bar bar[6];
	struct pcitest_reg reg[PCITEST_REGS]; /* [I] */
	unsigned nregs;
	uint8_t *vga;            /* [lock] up to 0xbffff; NULL: none */
	int log;                 /* [I] its BAR; -1: none */
	uint8_t *rom;            /* [I] NULL: none */
	uint64_t rom_size;
};

static const struct model_bar_kind pcitest_kinds[] = { { "plain", true }, { "log", false }, { NULL, false } };

/* ---- args ---- */

static int pcitest_parse_kind(const char *text, struct pcitest_reg *out, char *err, size_t err_size)
{
	static const char *const words[] = { "counter", "clear", "w1c", "ro", "fire", "pin", "error" };
	size_t n = strcspn(text, "=");

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i]) != n || strncmp(text, words[i], n) != 0)
			continue;
		out->kind = i;
		return text[n] ? model_arg_number(text + n + 1, &out->value, err, err_size) : 0;
	}
	snprintf(err, err_size, "reg: unknown kind \"%s\" (known: counter, clear, w1c, ro, fire, pin, error)", text);
	return -EINVAL;
}

/* BAR@OFFSET[/WIDTH]:KIND[=VALUE] */
static int pcitest_parse_reg(const char *value, struct pcitest_reg *out, char *err, size_t err_size)
{
	int end = 0;

	*out = (struct pcitest_reg){ .width = 4 };
	if (sscanf(value, "%u@%" SCNi64 "%n", &out->bar, (int64_t *)&out->offset, &end) == 2 && value[end] == '/')
		sscanf(value + end, "/%u%n", &out->width, &(int){ 0 });
	if (end && value[end] == '/')
		end += (int)strcspn(value + end, ":");
	if (!end || value[end] != ':' || (out->width & (out->width - 1)) || out->width < 1 || out->width > 8 ||
	    out->offset % out->width || out->bar > 5) {
		snprintf(err, err_size,
			 "reg=%s: expected BAR@OFFSET[/WIDTH]:KIND[=VALUE], such as 0@0x10:counter or 0@0x18/8:w1c=0xff",
			 value);
		return -EINVAL;
	}
	return pcitest_parse_kind(value + end + 1, out, err, err_size);
}

static int pcitest_parse_rom_word(const char *word, struct pcitest_rom *out, char *err, size_t err_size)
{
	const char *image = model_arg(word, "image");

	if (image)
		return model_arg_number(image, &out->image, err, err_size);
	if (strcmp(word, "bad") == 0) {
		out->bad = true;
	} else if (strcmp(word, "firmware") == 0) {
		out->kind = PCI_ROM_FIRMWARE;
	} else {
		snprintf(err, err_size, "rom: unknown word \"%s\" (known: image=SIZE, bad, firmware)", word);
		return -EINVAL;
	}
	return 0;
}

/* SIZE or shadow, then words */
static int pcitest_parse_rom(const char *value, struct pcitest_rom *out, char *err, size_t err_size)
{
	AUTO_FREE char *text = strdup(value);
	char *rest = text, *first, *word;
	int rc = text ? 0 : -ENOMEM;

	*out = (struct pcitest_rom){ .kind = PCI_ROM_BAR };
	if (rc)
		return rc;
	first = strsep(&rest, ",");
	if (strcmp(first, "shadow") == 0)
		*out = (struct pcitest_rom){ .kind = PCI_ROM_SHADOW, .size = 0x20000 };
	else
		rc = model_arg_number(first, &out->size, err, err_size);
	while (rc == 0 && (word = strsep(&rest, ",")))
		rc = pcitest_parse_rom_word(word, out, err, err_size);
	if (rc)
		return rc;
	if (!out->image)
		out->image = out->size;
	if (out->kind == PCI_ROM_BAR &&
	    (out->size < 2048 || out->size > 16 * 1024 * 1024 || (out->size & (out->size - 1)))) {
		snprintf(err, err_size, "rom: %" PRIu64 " bytes: a power of two from 2K to 16M, or say firmware", out->size);
		return -EINVAL;
	}
	if (out->image < PCITEST_ROM_BLOCK || out->image > out->size || out->size > 16 * 1024 * 1024) {
		snprintf(err, err_size, "rom: an image has at least 512 bytes, and at most what there is room for, or 16M");
		return -EINVAL;
	}
	return 0;
}

static int pcitest_shape_msi(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	AUTO_FREE char *text = NULL;
	char *rest, *word;
	int rc;

	if (asprintf(&text, "msi=%s", value) < 0)
		return -ENOMEM;
	rest = text;
	word = strsep(&rest, ",");
	rc = model_shape_common(copy, word, "", err, err_size);
	while (rc == 0 && (word = strsep(&rest, ","))) {
		if (strcmp(word, "mask") == 0) {
			copy->msi_maskable = true;
		} else if (strcmp(word, "32") == 0) {
			copy->msi_64bit = false;
		} else {
			snprintf(err, err_size, "msi: unknown word \"%s\" (known: mask, 32)", word);
			rc = -EINVAL;
		}
	}
	return rc;
}

static int pcitest_shape_pm(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	static const char *const words[] = { "d1", "d2", "pme", "keeps", "forgets" };
	AUTO_FREE char *text = strdup(value);
	char *rest = text, *word;

	copy->power_management = true;
	while ((word = strsep(&rest, ","))) {
		unsigned i = 0;

		while (i < ARRAY_SIZE(words) && strcmp(words[i], word) != 0)
			i++;
		if (i == ARRAY_SIZE(words)) {
			snprintf(err, err_size, "pm: unknown word \"%s\" (known: d1, d2, pme, keeps, forgets)", word);
			return -EINVAL;
		}
		copy->pm_flags |= (uint8_t)BIT(i);
	}
	return 0;
}

static int pcitest_shape_vpd(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	uint64_t n;

	if (model_arg_number(value, &n, err, err_size))
		return -EINVAL;
	copy->vpd_size = (uint16_t)n;
	if (n % 4 == 0 && n <= 32768)
		return 0;
	snprintf(err, err_size, "vpd=%s: a multiple of 4, up to 32K", value);
	return -EINVAL;
}

static int pcitest_shape_rom(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	struct pcitest_rom rom;
	int rc = pcitest_parse_rom(value, &rom, err, err_size);

	if (rc == 0) {
		copy->rom_size = rom.size;
		copy->rom_kind = rom.kind;
	}
	return rc;
}

static int pcitest_shape_reg(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	struct pcitest_reg r;
	int rc = pcitest_parse_reg(value, &r, err, err_size);
	const struct pci_bar_desc *b;

	if (rc)
		return rc;
	b = &copy->bar[r.bar];
	if (b->kind == PCI_BAR_NONE || b->plain || r.offset >= b->size || r.width > b->size - r.offset) {
		snprintf(err, err_size, "reg=%s: not inside a BAR given before, which is not plain", value);
		return -EINVAL;
	}
	return 0;
}

static int pcitest_shape_bar(struct pci_model *copy, const struct model_bar_arg *a, char *err, size_t err_size)
{
	uint64_t most = a->kind && strcmp(a->kind, "log") == 0 ? PCITEST_LOG_MOST : PCITEST_TRAPPED;

	if (!a->desc.plain && a->desc.size > most) {
		snprintf(err, err_size, "bar %u: larger than this model keeps bytes for (%s)", a->index,
			 most == PCITEST_LOG_MOST ? "a log: 1M" : "256G");
		return -EINVAL;
	}
	return model_shape_bar(copy, a, err, err_size);
}

static int pcitest_shape(struct pci_model *copy, const char *arg, char *err, size_t err_size)
{
	static const struct {
		const char *key;
		int (*fn)(struct pci_model *copy, const char *value, char *err, size_t err_size);
	} keys[] = {
		{ "msix", model_shape_msix }, { "intx", model_shape_intx }, { "msi", pcitest_shape_msi },
		{ "vpd", pcitest_shape_vpd }, { "rom", pcitest_shape_rom }, { "reg", pcitest_shape_reg },
	};
	struct model_bar_arg bar;
	const char *value;
	int rc = model_parse_bar(arg, pcitest_kinds, &bar, err, err_size);

	if (rc)
		return rc < 0 ? rc : pcitest_shape_bar(copy, &bar, err, err_size);
	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		if ((value = model_arg(arg, keys[i].key)))
			return keys[i].fn(copy, value, err, err_size);
	}
	if ((value = model_arg(arg, "pm")) && *value && strcmp(value, "no") != 0 && strcmp(value, "yes") != 0)
		return pcitest_shape_pm(copy, value, err, err_size);
	if ((value = model_arg(arg, "af")))
		return model_arg_bool(value, &copy->af, err, err_size);
	if (strcmp(arg, "vga") == 0) {
		copy->vga = true;
		return 0;
	}
	return model_shape_common(copy, arg, "bar0 to bar5, reg, rom, msix, intx, vpd, af, vga", err, err_size);
}

/* ---- registers ---- */

static uint64_t pcitest_load(const uint8_t *bytes, unsigned width)
{
	uint64_t v = 0;

	memcpy(&v, bytes, MIN(width, sizeof(v)));
	return v;
}

static const struct pcitest_reg *pcitest_find(const struct pcitest *t, unsigned bar, uint64_t offset, unsigned width)
{
	for (unsigned i = 0; i < t->nregs; i++) {
		const struct pcitest_reg *r = &t->reg[i];

		if (r->bar == bar && r->offset == offset && r->width == width)
			return r;
	}
	return NULL;
}

/* What a load of it changes, before and after the value is taken. */
static uint64_t pcitest_reg_load(const struct pcitest_reg *r, uint8_t *bytes)
{
	uint64_t v = pcitest_load(bytes, r->width), next = v;

	if (r->kind == PCITEST_COUNTER)
		next = ++v;
	else if (r->kind == PCITEST_CLEAR)
		next = 0;
	memcpy(bytes, &next, r->width);
	return v;
}

static void pcitest_reg_store(struct pcitest *t, const struct pcitest_reg *r, uint8_t *bytes, uint64_t v)
{
	uint64_t old = pcitest_load(bytes, r->width);

	switch (r->kind) {
	case PCITEST_W1C:
		v = old & ~v;
		break;
	case PCITEST_COUNTER:
	case PCITEST_RO:
		v = old;
		break;
	case PCITEST_FIRE:
		pci_irq_fire(t->dev, (unsigned)v);
		break;
	case PCITEST_PIN:
		pci_intx_set(t->dev, v & 1);
		break;
	case PCITEST_ERROR:
		pci_error_report(t->dev);
		break;
	case PCITEST_CLEAR:
		break;
	}
	memcpy(bytes, &v, r->width);
}

/* ---- the log ---- */

static void pcitest_note_locked(struct pcitest *t, unsigned bar, uint64_t offset, const void *data, unsigned width,
				bool write)
{
	struct pcitest_entry e = { .offset = offset, .bar = (uint8_t)bar, .width = (uint8_t)width, .write = write };
	struct pcitest_bar *log;
	uint32_t n;
	uint64_t at;

	if (t->log < 0 || (int)bar == t->log)
		return;
	log = &t->bar[t->log];
	memcpy(&e.value, data, MIN(width, sizeof(e.value)));
	memcpy(&n, log->bytes + PCITEST_LOG_COUNT, 4);
	at = PCITEST_LOG_FIRST + (uint64_t)n * sizeof(e);
	if (at + sizeof(e) <= log->size)
		memcpy(log->bytes + at, &e, sizeof(e));
	n++;
	memcpy(log->bytes + PCITEST_LOG_COUNT, &n, 4);
}

/* ---- accesses ---- */

/* Where the bytes of an access are; NULL: nowhere */
static uint8_t *pcitest_bytes(struct pcitest *t, unsigned bar, uint64_t offset)
{
	uint8_t *bytes = bar == PCI_VGA ? t->vga : t->bar[bar].bytes;

	return bytes ? bytes + offset : NULL;
}

static void pcitest_rom_read(struct pcitest *t, uint64_t offset, void *data, unsigned width)
{
	memcpy(data, t->rom + offset, width);
	SCOPED_LOCK(&t->lock);
	pcitest_note_locked(t, PCI_ROM, offset, data, width, false);
}

static void pcitest_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct pcitest *t = state;
	const struct pcitest_reg *r;
	uint8_t *bytes;
	uint64_t v;

	if (bar == PCI_ROM) {
		pcitest_rom_read(t, offset, data, width);
		return;
	}
	SCOPED_LOCK(&t->lock);
	r = pcitest_find(t, bar, offset, width);
	bytes = pcitest_bytes(t, bar, offset);
	if (r) {
		v = pcitest_reg_load(r, bytes);
		memcpy(data, &v, width);
	} else if (bytes) {
		memcpy(data, bytes, width);
	}
	pcitest_note_locked(t, bar, offset, data, width, false);
}

static void pcitest_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct pcitest *t = state;
	const struct pcitest_reg *r;
	uint8_t *bytes;

	SCOPED_LOCK(&t->lock);
	pcitest_note_locked(t, bar, offset, data, width, true);
	r = pcitest_find(t, bar, offset, width);
	bytes = pcitest_bytes(t, bar, offset);
	if ((int)bar == t->log) {
		if (offset == PCITEST_LOG_COUNT)
			memset(t->bar[bar].bytes, 0, 4);
	} else if (r) {
		pcitest_reg_store(t, r, bytes, pcitest_load(data, width));
	} else if (bytes) {
		memcpy(bytes, data, width);
	}
}

/* ---- life ---- */

static void pcitest_power_on(struct pcitest *t)
{
	for (unsigned i = 0; i < 6; i++) {
		if (t->bar[i].bytes && (int)i != t->log)
			madvise(t->bar[i].bytes, t->bar[i].size, MADV_DONTNEED); /* private: reads zeros from now on */
	}
	if (t->vga)
		memset(t->vga, 0, PCITEST_VGA_SIZE);
	for (unsigned i = 0; i < t->nregs; i++)
		memcpy(t->bar[t->reg[i].bar].bytes + t->reg[i].offset, &t->reg[i].value, t->reg[i].width);
}

static void pcitest_reset(void *state)
{
	struct pcitest *t = state;
	uint32_t resets;

	mutex_lock(&t->lock);
	pcitest_power_on(t);
	if (t->log >= 0) {
		uint8_t *log = t->bar[t->log].bytes;

		memcpy(&resets, log + PCITEST_LOG_RESETS, 4);
		resets++;
		memset(log, 0, t->bar[t->log].size);
		memcpy(log + PCITEST_LOG_RESETS, &resets, 4);
	}
	mutex_unlock(&t->lock);
}

static void pcitest_destroy(void *state)
{
	struct pcitest *t = state;

	for (unsigned i = 0; i < 6; i++) {
		if (t->bar[i].bytes)
			munmap(t->bar[i].bytes, t->bar[i].size);
	}
	free(t->rom);
	free(t->vga);
	mutex_fini(&t->lock);
	free(t);
}

/* An image as PCI wants it: signature, data structure, length in blocks, last of its kind; then a pattern. */
static int pcitest_make_rom(struct pcitest *t, const struct pcitest_rom *rom)
{
	static const uint8_t head[] = { 0x55, 0xaa }, pointer[] = { 0x1c, 0 };
	static const uint8_t structure[] = { 'P', 'C', 'I', 'R', 0x34, 0x12, 0x02, 0, 0, 0, 24, 0, 0, 0, 0, 0xff };
	uint64_t blocks = (rom->image + PCITEST_ROM_BLOCK - 1) / PCITEST_ROM_BLOCK;

	t->rom_size = MAX(rom->size, blocks * PCITEST_ROM_BLOCK);
	t->rom = malloc(t->rom_size);
	if (!t->rom)
		return -ENOMEM;
	for (uint64_t i = 0; i < t->rom_size; i++)
		t->rom[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(t->rom, head, sizeof(head));
	t->rom[2] = (uint8_t)blocks;
	memcpy(t->rom + 0x18, pointer, sizeof(pointer));
	memset(t->rom + 0x1c, 0, 24);
	memcpy(t->rom + 0x1c, structure, sizeof(structure));
	t->rom[0x1c + 16] = (uint8_t)blocks;
	t->rom[0x1c + 17] = (uint8_t)(blocks >> 8);
	t->rom[0x1c + 21] = 0x80;
	if (rom->bad)
		t->rom[1] = 0;
	return 0;
}

static int pcitest_make_bar(struct pcitest *t, const struct model_bar_arg *a)
{
	void *bytes;

	if (a->desc.plain)
		return 0;
	bytes = mmap(NULL, a->desc.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bytes == MAP_FAILED)
		return -ENOMEM;
	t->bar[a->index] = (struct pcitest_bar){ .bytes = bytes, .size = a->desc.size };
	if (a->kind)
		t->log = (int)a->index;
	return 0;
}

static int pcitest_take_arg(struct pcitest *t, const char *arg)
{
	struct model_bar_arg bar;
	struct pcitest_rom rom;
	const char *value;
	char err[200];

	if (model_parse_bar(arg, pcitest_kinds, &bar, err, sizeof(err)) == 1)
		return pcitest_make_bar(t, &bar);
	if ((value = model_arg(arg, "rom")) && pcitest_parse_rom(value, &rom, err, sizeof(err)) == 0)
		return pcitest_make_rom(t, &rom);
	if (model_arg(arg, "vga")) {
		t->vga = calloc(1, PCITEST_VGA_SIZE);
		return t->vga ? 0 : -ENOMEM;
	}
	if (!(value = model_arg(arg, "reg")))
		return 0;
	if (t->nregs == PCITEST_REGS)
		return -ENOSPC;
	return pcitest_parse_reg(value, &t->reg[t->nregs++], err, sizeof(err));
}

static int pcitest_create(struct pci_dev *dev, const char *const *args, void **state)
{
	struct pcitest *t = calloc(1, sizeof(*t));
	int rc = 0;

	if (!t)
		return -ENOMEM;
	t->dev = dev;
	t->log = -1;
	mutex_init(&t->lock, RANK_MODEL);
	for (; rc == 0 && args && *args; args++)
		rc = pcitest_take_arg(t, *args);
	if (rc) {
		pcitest_destroy(t);
		return rc;
	}
	pcitest_power_on(t);
	*state = t;
	return 0;
}

const struct pci_model pcitest_model = {
	.size = sizeof(struct pci_model),
	.name = "pcitest",
	.what = "made of its description: any BARs, registers, capabilities; logs the accesses it sees",
	.vendor = 0x1234,
	.device = 0x0002,
	.class_code = 0xff0000,
	.create = pcitest_create,
	.destroy = pcitest_destroy,
	.reset = pcitest_reset,
	.read = pcitest_read,
	.write = pcitest_write,
	.shape = pcitest_shape,
};
