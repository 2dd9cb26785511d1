#!/bin/sh
# Prints how large each image is, and how much of that lies over its base: sizes.sh COMPOSE-COMMAND...
set -eu
config=$("$@" config)
megabytes() { echo $(($(docker image inspect --format '{{.Size}}' "$1") / 1000000)); }
base=$(echo "$config" | sed -n 's/^ *PYTHON_IMAGE: //p' | head -n 1)
echo "$base: $(megabytes "$base") MB"
for image in $(echo "$config" | sed -n 's/^ *image: //p' | sort -u); do
  echo "$image: $(megabytes "$image") MB, $(($(megabytes "$image") - $(megabytes "$base"))) MB over its base"
done
