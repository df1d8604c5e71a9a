#!/bin/sh
# Starts Python in the image: as root, because the sandbox program gives each attempt a user id of its own.
# What every user may write to is closed first, so that an attempt finds nothing of an earlier one even on a kernel
# without Landlock. -E and -s: no variable and no user's folder adds to what Python imports.
set -e
chmod 0711 /tmp /dev/shm
exec /opt/sandbox/bin/python3 -E -s "$@"
