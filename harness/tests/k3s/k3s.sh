#!/bin/sh
# Stands in for k3s's program in an image that needs no download: it takes the flags of `k3s server` that we pass, runs an
# API server on the port they name, and writes a kubeconfig where k3s does, as k3s does. As `k3s agent` it registers the
# node that its flags describe, with the token that it is given, and says what its own /etc/os-release says. K3S_TEST makes
# it misbehave.
set -eu
die() { echo "level=fatal msg=\"$*\"" >&2; exit 1; }

# Where the server is without TLS, which busybox has too little of.
PLAIN=6080

# Becomes a node of the server.
join() {
    server= name= taints=
    for flag; do
        case $flag in
            --server=https://*:6443) server=${flag#*://} server=${server%:*} ;;
            --node-name=*) name=${flag#*=} ;;
            --node-taint=*) taints="$taints${taints:+,}$(taint "${flag#*=}")" ;;
            *) die "flag provided but not defined: $flag" ;;
        esac
    done
    echo "level=info msg=\"Starting k3s agent $name of $server\"" >&2
    [ "${K3S_TEST:-}" != agent-dies ] || die "failed to start containerd: no space left on device"
    [ "$(cat /etc/rancher/node/password)" = "$K3S_TOKEN" ] || die "Node password rejected, duplicate hostname"
    ready=True message=
    [ "${K3S_TEST:-}" != agent-idles ] || ready=False message="container runtime network not ready"
    . /etc/os-release
    node="{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"$name\"},\"spec\":{\"taints\":[$taints]},\"status\":{
        \"conditions\":[{\"type\":\"Ready\",\"status\":\"$ready\",\"message\":\"$message\"}],
        \"nodeInfo\":{\"osImage\":\"$PRETTY_NAME\",\"architecture\":\"amd64\",\"bootID\":\"\",\"containerRuntimeVersion\":\"\",
            \"kernelVersion\":\"\",\"kubeProxyVersion\":\"\",\"kubeletVersion\":\"\",\"machineID\":\"\",\"operatingSystem\":\"linux\",\"systemUUID\":\"\"}}}"
    until wget -q -O /dev/null --header "Authorization: Bearer $K3S_TOKEN" --header "Content-Type: application/json" \
        --post-data "$node" "http://$server:$PLAIN/api/v1/nodes"; do
        sleep 0.2
    done
    echo "level=info msg=\"Registered node $name\"" >&2
    exec sleep 3600
}

# KEY=VALUE:EFFECT or KEY:EFFECT, as JSON.
taint() {
    effect=${1##*:} rest=${1%:*}
    case $rest in
        *=*) echo "{\"key\":\"${rest%%=*}\",\"value\":\"${rest#*=}\",\"effect\":\"$effect\"}" ;;
        *) echo "{\"key\":\"$rest\",\"effect\":\"$effect\"}" ;;
    esac
}

command=${1:-agent}
[ $# -eq 0 ] || shift
case $command in
    server) ;;
    agent) join "$@" ;;
    # The images that it is given are listed where scenarios can see them.
    ctr)
        [ "$1 $2" = "images import" ] || die "no such command: ctr $*"
        exec tar -x -O -f "$3" manifest.json >> /imported
        ;;
    *) die "no such command: $command" ;;
esac

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

SLIPWAY_ADMIN_TOKEN=$K3S_TOKEN slipway serve --https "0.0.0.0:$port" --http "0.0.0.0:$PLAIN" --kubeconfig /tmp/kubeconfig $nodes &
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
