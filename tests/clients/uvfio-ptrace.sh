#!/bin/sh
# SPDX-License-Identifier: MIT
# uvfio as it is where the host allows no notification: $UVFIO is the real one.
if [ "$1" = run ]; then
	shift
	exec "$UVFIO" run --without notify "$@"
fi
exec "$UVFIO" "$@"
