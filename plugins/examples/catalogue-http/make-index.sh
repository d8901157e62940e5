#!/bin/sh
# Writes index.json for all *.raw and *.iso below a folder that an HTTP server gives.
set -eu
cd "${1:?usage: make-index.sh FOLDER}"
{
    printf '{ "images": ['
    comma=
    for file in *.raw *.iso; do
        [ -f "$file" ] || continue
        sum=$(sha256sum -- "$file")
        name=$file
        [ "${file%.raw}" = "$file" ] || name=${file%.raw}
        printf '%s\n  { "name": "%s", "file": "%s", "size": %s, "sha256": "%s" }' \
            "$comma" "$name" "$file" "$(stat -c %s -- "$file")" "${sum%% *}"
        comma=,
    done
    printf '\n] }\n'
} >.index.json.new
mv .index.json.new index.json
