#!/bin/sh
# Stands in for k3s's program in an image that needs no download: it takes the flags of `k3s server` that we pass, runs an
# API server on the port they name, and writes a kubeconfig where k3s does, as k3s does. K3S_TEST makes it misbehave.
set -eu
die() { echo "level=fatal msg=\"$*\"" >&2; exit 1; }

command=${1:-agent}
[ $# -eq 0 ] || shift
[ "$command" = server ] || die "this image runs servers only, not: $command"

agent=yes
port=6443
for flag; do
    case $flag in
        --disable-agent) agent=no ;;
        --https-listen-port=*) port=${flag#*=} ;;
        --disable=traefik | --disable=servicelb | --disable=metrics-server | --disable=coredns | --disable=local-storage) ;;
        --disable-helm-controller | --disable-network-policy | --disable-cloud-controller) ;;
        --flannel-backend=none | --egress-selector-mode=disabled | --node-name=* | --tls-san=*) ;;
        *) die "flag provided but not defined: $flag" ;;
    esac
done
echo "level=info msg=\"Starting k3s, agent: $agent\"" >&2

case ${K3S_TEST:-} in
    dies) die "starting kubernetes: preparing server: no space left on device" ;;
    idles) echo "level=info msg=\"Waiting for the datastore\"" >&2; exec sleep 3600 ;;
    garbled) mkdir -p /etc/rancher/k3s; echo "certificates: pending" > /etc/rancher/k3s/k3s.yaml; exec sleep 3600 ;;
esac

# k3s evacuates its control group where it has a kubelet, and cannot do so without privileges.
nodes=
[ "$agent" = yes ] || nodes=--no-nodes

slipway serve --https "0.0.0.0:$port" --kubeconfig /tmp/kubeconfig $nodes &
serving=$!
trap 'kill "$serving"' TERM INT
until [ -s /tmp/kubeconfig ]; do
    kill -0 "$serving" || die "the API server ended"
    sleep 0.1
done
mkdir -p /etc/rancher/k3s
sed "s|https://0.0.0.0:|https://127.0.0.1:|" /tmp/kubeconfig > /etc/rancher/k3s/k3s.tmp
chmod 600 /etc/rancher/k3s/k3s.tmp
mv /etc/rancher/k3s/k3s.tmp /etc/rancher/k3s/k3s.yaml
[ "${K3S_TEST:-}" != deaf ] || kill -STOP "$serving"
wait "$serving"
