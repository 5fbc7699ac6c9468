# Sourced: $tool is docker, podman or buildah, whichever is found first and answers (or CONTAINERS
# says), $version is the workspace's, and `names REGISTRY` prints "name folder" of each image.
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml | head -n 1)
for candidate in ${CONTAINERS:-docker podman buildah}; do
    if "$candidate" info >/dev/null 2>&1; then
        tool=$candidate
        break
    fi
done
if [ -z "${tool:-}" ]; then
    echo "failed: neither docker, podman nor buildah answers: start or install one of them" >&2
    exit 1
fi

# Without a registry the name is what a pod means by "ugc-api": podman and buildah would say
# "localhost/ugc-api".
names() {
    for image in ugc-api:services/ugc-api ugc-etl:services/etl; do
        echo "${1:-docker.io/library/}${image%%:*}:$version ${image#*:}"
    done
}
