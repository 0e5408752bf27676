#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turn the blob into a C array. usage: embed.py OBJCOPY BLOB.elf OUT.c"""
import os
import subprocess
import sys
import tempfile

objcopy, elf, out = sys.argv[1:]
with tempfile.TemporaryDirectory() as d:
    flat = os.path.join(d, 'blob')
    subprocess.run([objcopy, '-O', 'binary', '-j', '.blob', elf, flat], check=True)
    data = open(flat, 'rb').read()
with open(out, 'w', encoding='ascii') as f:
    f.write('#include "front/stub/blob.h"\n')
    f.write(f'const size_t stub_blob_size = {len(data)};\nconst unsigned char stub_blob[] = {{')
    for i, b in enumerate(data):
        f.write(('\n\t' if i % 16 == 0 else ' ') + f'0x{b:02x},')
    f.write('\n};\n')
