#!/bin/sh
# Builds the services' images and prints their sizes: `sh infra/images/build.sh [REGISTRY/]`, in the
# root of the repository, with docker, podman or buildah, whichever is found first and answers.
set -eu
registry=${1:-}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml | head -n 1)

for tool in ${CONTAINERS:-docker podman buildah}; do
    if "$tool" info >/dev/null 2>&1; then
        found=$tool
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "failed: neither docker, podman nor buildah answers: start or install one of them" >&2
    exit 1
fi

for image in ugc-api:services/ugc-api ugc-etl:services/etl; do
    name=$registry${image%%:*}:$version
    "$found" build ${BUILD_OPTIONS:-} -f "${image#*:}/Dockerfile" -t "$name" .
done
"$found" images
