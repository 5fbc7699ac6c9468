#!/bin/sh
# Prints the platform, as uv names it, that an image is built for: TARGETARCH, as BuildKit, podman
# and buildah set it, or else this machine's.
set -eu
case ${TARGETARCH:-$(uname -m)} in
    amd64 | x86_64) echo x86_64-unknown-linux-gnu ;;
    arm64 | aarch64) echo aarch64-unknown-linux-gnu ;;
    *) echo "failed: images are built for amd64 and arm64, not ${TARGETARCH:-$(uname -m)}" >&2; exit 1 ;;
esac
