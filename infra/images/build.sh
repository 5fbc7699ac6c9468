#!/bin/sh
# Builds the services' images and prints their sizes: `sh infra/images/build.sh [REGISTRY/]`, in the
# root of the repository, with docker, podman or buildah. PLATFORMS=linux/amd64,linux/arm64 makes
# images of several: a manifest with podman and buildah; with docker they are pushed to REGISTRY.
set -eu
. infra/images/tool.sh
registry=${1:-}

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
        "$tool" build "$@" --platform "$PLATFORMS" --manifest "$name" .
    fi
    "$tool" images "$name"
done
