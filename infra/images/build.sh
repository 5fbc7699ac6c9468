#!/bin/sh
# Builds the services' images and prints their sizes: `sh infra/images/build.sh [REGISTRY/]`, in the
# root of the repository, with docker, podman or buildah. PLATFORMS=linux/amd64,linux/arm64 makes
# images of several: a manifest with podman and buildah; with docker they are pushed to REGISTRY.
# Nothing is emulated: what an image is made of is put together on this machine's own platform.
set -eu
. infra/images/tool.sh
registry=${1:-}
case $(uname -m) in
    x86_64 | amd64) own=linux/amd64 ;;
    *) own=linux/arm64 ;;
esac

names "$registry" | while read -r name folder; do
    set -- ${BUILD_OPTIONS:-} -f "$folder/Dockerfile"
    if [ -z "${PLATFORMS:-}" ]; then
        "$tool" build "$@" -t "$name" .
    elif [ "$tool" = docker ]; then
        if [ -z "$registry" ]; then
            echo "failed: docker keeps images of several platforms in a registry only: set REGISTRY" >&2
            exit 1
        fi
        docker buildx build "$@" --platform "$PLATFORMS" --push -t "$name" .
        continue
    else
        "$tool" manifest rm "$name" >/dev/null 2>&1 || true
        mkdir -p build/images
        for platform in $(echo "$PLATFORMS" | tr , ' '); do
            # Docker knows BUILDPLATFORM by itself, as newer versions of these do.
            "$tool" build "$@" --build-arg "BUILDPLATFORM=$own" --platform "$platform" \
                --iidfile build/images/id --manifest "$name" .
            "$tool" images --no-trunc --format '{{.ID}} {{.Size}}' \
                | awk -v id="$(cat build/images/id)" -v name="$name $platform" \
                    'index(id, $1) || index($1, id) { sub(/^[^ ]* /, ""); print name, $0; exit }'
        done
        continue
    fi
    "$tool" images "$name"
done
