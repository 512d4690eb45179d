#!/bin/sh
# Usage: purity.sh OBJECT...
#
# The objects of pure files may call each other and what pure_symbols.txt lists. Anything else -
# a clock, the heap, a socket, the log - is printed, and fails. Not for the sanitizer modes, which
# add symbols of their own.
set -eu
[ $# -gt 0 ] || exit 0
known=$(mktemp)
trap 'rm -f "$known"' EXIT
{
    nm --defined-only -gj "$@" | grep -v -e ':$' -e '^$' || true
    sed 's/#.*//; s/ //g' "$(dirname "$0")/pure_symbols.txt"
} | sort -u >"$known"
for object in "$@"; do
    nm -uj "$object" | sort -u | comm -23 - "$known" | sed "s|^|$object: not pure: |"
done | { ! grep . ; }
