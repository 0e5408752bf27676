#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""uvfio-machine(5) from examples/machines/reference.yaml, so that there is one truth. usage: machine.py REFERENCE"""
import sys

print(r'''.TH UVFIO-MACHINE 5 "" "uvfio" "File Formats"
.SH NAME
uvfio-machine \- machine files of uvfio
.SH DESCRIPTION
A machine file is YAML. It names the IOMMUs, the host's drivers and the PCI functions of a machine for
.BR "uvfio run" ,
.B uvfio list
and libuvfio.
.B uvfio check
says what is wrong with one;
.B uvfio machine
prints the built-in one, to start from. This is everything a file can say:
.SH REFERENCE
.nf''')
for line in open(sys.argv[1], encoding='utf-8'):
    text = line.rstrip('\n').replace('\\', '\\e').replace('-', '\\-')
    print(('\\&' if text[:1] in ('.', "'") else '') + text)
print(r'''.fi
.SH SEE ALSO
.BR uvfio (1)''')
