#!/usr/bin/env bash
# Make a cluster in Docker on this machine for trying crowdserve and for `make cluster-test`: Kubernetes by kind, KServe,
# a gateway, Prometheus, KEDA, metrics-server and an S3 store. Run it again to finish what was interrupted; minutes.
#
#     make images && make cluster
#
# It writes .cluster.kubeconfig and .cluster.env, which sets KUBECONFIG and what the tests read. tools/cluster/down.sh
# removes everything. Versions and ports: settings.env.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=tools/cluster/settings.env
. "$here/settings.env"
# shellcheck source=tools/cluster/tools.sh
. "$here/tools.sh"

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$root/src/crowdserve/__init__.py")
transformer=crowdserve-transformer:$version
watcher=crowdserve-watcher:$version
triton=crowdserve-triton-cpu:$version
filled=$(mktemp -d)
trap 'rm -rf "$filled"' EXIT

# Say what is missing before anything is made.
check() {
    require docker kind kubectl helm
    docker info >/dev/null 2>&1 || fail "Docker does not answer: start it, or join the group docker"
    for image in "$transformer" "$watcher" "$triton"; do
        docker image inspect "$image" >/dev/null 2>&1 || fail "the image $image is missing: run make images"
    done
}

# A file or folder beside this script with its ${NAME}s filled in.
fill() {
    local file target text name
    find "$here/$1" -type f | while read -r file; do
        target=$filled${file#"$here"}
        mkdir -p "$(dirname "$target")"
        text=$(cat "$file")
        while read -r name; do
            text=${text//"\${$name}"/"${!name}"}
        done < <(sed -n 's/^\([A-Z_]*\)=.*/\1/p' "$here/settings.env")
        printf '%s\n' "$text" >"$target"
    done
}

apply() { kubectl apply --server-side --force-conflicts "$@" >/dev/null; }

rolled_out() { # NAMESPACE OBJECT…
    local namespace=$1 object
    shift
    for object; do
        kubectl --namespace "$namespace" rollout status "$object" --timeout=10m >/dev/null
    done
}

cluster() {
    if ! kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; then
        fill kind.yaml
        kind create cluster --config "$filled/kind.yaml" --kubeconfig "$KUBECONFIG" --wait 5m
    fi
    kind export kubeconfig --quiet --name "$CLUSTER" --kubeconfig "$KUBECONFIG"
    kind load docker-image --name "$CLUSTER" "$transformer" "$watcher" "$triton"
    # For storage.uri oci+native://; the other tests do without it.
    if docker image inspect "crowdserve-models:$version" >/dev/null 2>&1; then
        kind load docker-image --name "$CLUSTER" "crowdserve-models:$version"
    fi
}

certificates() {
    apply -f "https://github.com/cert-manager/cert-manager/releases/download/$CERT_MANAGER/cert-manager.yaml"
    rolled_out cert-manager deployment/cert-manager deployment/cert-manager-cainjector deployment/cert-manager-webhook
}

gateway() {
    apply -f "https://github.com/kubernetes-sigs/gateway-api/releases/download/$GATEWAY_API/standard-install.yaml"
    fill contour
    apply -k "$filled/contour"
    rolled_out projectcontour deployment/contour daemonset/envoy
    kubectl --namespace gateways wait gateway/public --for=condition=Programmed --timeout=5m >/dev/null
}

kserve() {
    helm upgrade --install kserve-crd oci://ghcr.io/kserve/charts/kserve-crd --version "$KSERVE" \
        --namespace kserve --create-namespace --wait >/dev/null
    # Routes of an InferenceService that asks KServe for one go through the same Gateway; crowdserve's chart makes its own.
    helm upgrade --install kserve oci://ghcr.io/kserve/charts/kserve-resources --version "$KSERVE" --namespace kserve \
        --set kserve.controller.deploymentMode=Standard \
        --set kserve.controller.gateway.disableIstioVirtualHost=true \
        --set kserve.controller.gateway.ingressGateway.enableGatewayApi=true \
        --set kserve.controller.gateway.ingressGateway.kserveGateway=gateways/public \
        --wait --timeout 10m >/dev/null
}

monitoring() {
    kubectl create namespace monitoring --dry-run=client --output yaml | apply -f -
    fill monitoring
    apply -k "$filled/monitoring"
    kubectl wait crd/prometheuses.monitoring.coreos.com --for=condition=Established --timeout=1m >/dev/null
    rolled_out monitoring deployment/prometheus-operator
    apply -f "$here/prometheus.yaml"
    kubectl --namespace monitoring wait prometheus/main --for=condition=Available --timeout=5m >/dev/null
}

autoscaling() {
    fill metrics-server
    apply -k "$filled/metrics-server"
    rolled_out kube-system deployment/metrics-server
    apply -f "https://github.com/kedacore/keda/releases/download/v$KEDA/keda-$KEDA.yaml"
    rolled_out keda deployment/keda-operator deployment/keda-metrics-apiserver deployment/keda-admission
}

store() {
    fill store.yaml
    apply -f "$filled/store.yaml"
    rolled_out store deployment/s3
}

# Variables for a shell and for the tests; each value stands between single quotes and has none.
environment() {
    local part fault=$here/fault.sh
    printf "export KUBECONFIG='%s'\n" "$KUBECONFIG"
    variable TRANSFORMER_IMAGE "$transformer"
    variable WATCHER_IMAGE "$watcher"
    variable TRITON_IMAGE "$triton"
    variable S3_ENDPOINT http://s3.store.svc:9000
    variable S3_UPLOAD "http://127.0.0.1:$STORE_PORT"
    variable S3_KEY crowdserve
    variable S3_SECRET crowdserve
    variable S3_BUCKET models
    variable GATEWAY gateways/public
    variable GATEWAY_ADDRESS "localhost:$GATEWAY_PORT"
    variable PROMETHEUS "http://127.0.0.1:$PROMETHEUS_PORT"
    variable PROMETHEUS_IN_CLUSTER http://prometheus-operated.monitoring.svc:9090
    for part in API STORE CONTROLLER PROMETHEUS; do
        variable "STOP_$part" "\"$fault\" stop $part"
        variable "START_$part" "\"$fault\" start $part"
    done
    variable KILL "\"$fault\" kill {name}"
    variable KILL_CONTAINERS "\"$fault\" kill-containers"
    case $(helm version --template '{{.Version}}') in v3.*) variable HELM3 "$(command -v helm)" ;; esac
}

variable() { printf "export CROWDSERVE_CLUSTER_%s='%s'\n" "$1" "$2"; }

check
export KUBECONFIG=$root/.cluster.kubeconfig
step "Kubernetes in Docker, and the images" cluster
step "cert-manager" certificates
step "gateway (Contour)" gateway
step "KServe" kserve
step "Prometheus" monitoring
step "metrics-server and KEDA" autoscaling
step "S3 store" store
environment >"$root/.cluster.env"
cat <<TEXT
The cluster is ready. In this shell:  . .cluster.env
  gateway     http://localhost:$GATEWAY_PORT
  S3          http://127.0.0.1:$STORE_PORT, bucket models, keys crowdserve and crowdserve
  Prometheus  http://127.0.0.1:$PROMETHEUS_PORT
docs/how-to/try-on-a-cluster.md goes on from here; make cluster-down removes everything.
TEXT
