#!/bin/sh
# Gives the images to a cluster on this machine: `sh infra/images/load.sh kind|minikube`, in the root
# of the repository. KIND_CLUSTER and MINIKUBE_PROFILE name another than the default one.
set -eu
. infra/images/tool.sh
mkdir -p build/images

names "" | while read -r name folder; do
    archive=build/images/$(basename "$folder").tar
    rm -f "$archive"
    if [ "$tool" = buildah ]; then
        buildah push "$name" "docker-archive:$archive:$name"
    else
        "$tool" save -o "$archive" "$name"
    fi
    case $1 in
        kind) kind load image-archive "$archive" --name "${KIND_CLUSTER:-kind}" ;;
        minikube) minikube image load "$archive" -p "${MINIKUBE_PROFILE:-minikube}" ;;
        *) echo "failed: kind or minikube, not $1" >&2; exit 1 ;;
    esac
    rm -f "$archive"
done
