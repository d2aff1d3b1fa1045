#!/bin/sh
# Build the image without a registry and try it: read-only, without rights, its health, its end. Needs root, debootstrap,
# buildah, podman and crun of Debian; skips where they are not, as they are no small thing to install.
#   .ci/image.sh [ROOT]     ROOT: a Debian 12 made by debootstrap; by default one is made
# IMAGE_BUILD_OPTIONS: more options of `buildah build`, as --volume for the certificates of a proxy.
set -eu
cd "$(dirname "$0")/.."
for tool in buildah podman crun; do
    command -v "$tool" >/dev/null && continue
    echo "the image was not tried: no $tool (sudo apt-get install debootstrap buildah podman crun)"
    exit 0
done
[ "$(id -u)" = 0 ] || { echo "the image was not tried: only root runs debootstrap"; exit 0; }
# crun takes no cgroups of two versions side by side; the second is hidden from it here alone.
if [ -z "${IMAGE_ALONE:-}" ]; then
    IMAGE_ALONE=1 exec unshare --mount "$0" "$@"
fi
umount /sys/fs/cgroup/unified 2>/dev/null || true
work=$(mktemp -d)
name=saccade-try-$$
trap 'podman rm --force --time 0 "$name" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

root=${1:-$work/root}
[ -d "$root" ] || debootstrap --variant=minbase --include=ca-certificates bookworm "$root" >/dev/null
base=$(buildah from scratch)
buildah add --quiet "$base" "$root" / >/dev/null
buildah commit --quiet --rm "$base" localhost/debian:12 >/dev/null
# shellcheck disable=SC2086
buildah build --quiet --layers --format docker --isolation chroot --network host ${IMAGE_BUILD_OPTIONS:-} \
    --build-arg BASE=localhost/debian:12 -t localhost/saccade .

# A network of its own, as a catalogue's would have to be fetched.
mkdir -m 777 "$work/files"
cp tests/small_networks.py "$work/files"
# Nothing is asked of the machine that a container inside another may not have: cgroups, higher limits, systemd.
container() {
    podman run --network none --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 "$@"
}
container --rm --no-healthcheck --volume "$work/files:/files" --workdir /files --entrypoint python localhost/saccade \
    -c "from pathlib import Path; import small_networks; small_networks.classifier_network(Path('net.xml'))"

inside() { podman exec "$name" "$@"; }
container --detach --name "$name" --volume "$work/files:/files:ro" --read-only --read-only-tmpfs=false --cap-drop all \
    --security-opt no-new-privileges localhost/saccade \
    run classify --source http://127.0.0.1:9/away --model /files/net.xml >/dev/null
until podman healthcheck run "$name" >/dev/null 2>&1; do
    [ "$(podman inspect --format '{{.State.Running}}' "$name")" = true ] || { podman logs "$name"; exit 1; }
    sleep 1
done
[ "$(inside id -u)" = 10001 ] || { echo "the image runs as root"; exit 1; }
inside sh -c '! touch /opt/saccade/x 2>/dev/null && touch /var/lib/saccade/x /var/cache/saccade/x' ||
    { echo "what may be written is wrong"; exit 1; }
begin=$(date +%s)
podman stop --time 30 "$name" >/dev/null
took=$(($(date +%s) - begin))
status=$(podman inspect --format '{{.State.ExitCode}}' "$name")
if [ "$status" != 0 ] || [ "$took" -gt 10 ]; then
    podman logs "$name"
    echo "it ended after $took s with status $status"
    exit 1
fi

# What SageMaker does with the other image: `serve`, as root or as anybody, over a model that it has unpacked.
# shellcheck disable=SC2086
buildah build --quiet --layers --format docker --isolation chroot --network host ${IMAGE_BUILD_OPTIONS:-} \
    --build-arg BASE=localhost/debian:12 --target endpoint -t localhost/saccade-endpoint .
mkdir -m 755 "$work/model"
cp "$work"/files/net.* "$work/model"
printf 'model = "net.xml"\n' >"$work/model/saccade.toml"
chmod 644 "$work"/model/*
for user in 0 12345; do
    podman rm --force --time 0 "$name" >/dev/null 2>&1
    container --detach --name "$name" --user "$user" --volume "$work/model:/opt/ml/model:ro" --read-only \
        --read-only-tmpfs=false --tmpfs /tmp localhost/saccade-endpoint serve >/dev/null
    until inside python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/ping')" 2>/dev/null; do
        [ "$(podman inspect --format '{{.State.Running}}' "$name")" = true ] || { podman logs "$name"; exit 1; }
        sleep 1
    done
    inside grep -q '^Uid:[[:space:]]*[1-9]' /proc/1/status || { echo "the endpoint's image serves as root"; exit 1; }
    podman stop --time 30 "$name" >/dev/null
    [ "$(podman inspect --format '{{.State.ExitCode}}' "$name")" = 0 ] || { podman logs "$name"; exit 1; }
done
echo "image: built, ran read-only as a user of its own, healthy, ended after $took s; the one for SageMaker likewise"
