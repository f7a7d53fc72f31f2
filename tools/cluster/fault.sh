#!/usr/bin/env bash
# Take a part of the cluster of up.sh away, and give it back. `make cluster-test` uses it; the tests wait until the part
# is back.
#
#     tools/cluster/fault.sh stop|start API|STORE|CONTROLLER|PROMETHEUS
#     tools/cluster/fault.sh kill tritonserver       SIGKILL for the newest process of that name on the node
#     tools/cluster/fault.sh kill-containers         SIGKILL for every container outside kube-system
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/cluster/settings.env
. "$here/settings.env"
# shellcheck source=tools/cluster/tools.sh
. "$here/tools.sh"
KUBECONFIG=$(cd "$here/../.." && pwd)/.cluster.kubeconfig # never another cluster
export KUBECONFIG

node() { docker exec "$CLUSTER-control-plane" "$@"; }

scale() { # NAMESPACE DEPLOYMENT REPLICAS
    kubectl --namespace "$1" scale "deployment/$2" --replicas="$3"
    kubectl --namespace "$1" rollout status "deployment/$2" --timeout=100s
}

# The kubelet runs the API server from a file: without the file it stops, and stays away.
api() {
    local file=kube-apiserver.yaml
    case $1 in
        0) node sh -ec "cd /etc/kubernetes; [ ! -e manifests/$file ] || mv manifests/$file .; while pgrep -x kube-apiserver; do sleep 1; done" ;;
        1) node sh -ec "cd /etc/kubernetes; [ ! -e $file ] || mv $file manifests/; until pgrep -x kube-apiserver; do sleep 1; done" && until kubectl get --raw /readyz 2>/dev/null; do sleep 1; done ;;
    esac >/dev/null
}

# The operator would undo a change of the StatefulSet.
prometheus() {
    kubectl --namespace monitoring patch prometheus/main --type=merge --patch "{\"spec\": {\"replicas\": $1}}"
    case $1 in
        0) kubectl --namespace monitoring wait pod/prometheus-main-0 --for=delete --timeout=100s ;;
    esac
}

set_part() { # PART REPLICAS
    case $1 in
        API) api "$2" ;;
        STORE) scale store s3 "$2" ;;
        CONTROLLER) scale kserve kserve-controller-manager "$2" ;;
        PROMETHEUS) prometheus "$2" ;;
        *) fail "unknown part $1: API, STORE, CONTROLLER or PROMETHEUS" ;;
    esac
}

# The control plane stays: without it nothing would start again in the time that a test waits.
kill_containers() {
    # shellcheck disable=SC2016 # the node's shell reads it
    node sh -ec 'crictl ps --output json | jq -r "$0" | xargs -r crictl stop --timeout 0' \
        '.containers[] | select(.labels["io.kubernetes.pod.namespace"] != "kube-system") | .id'
}

kill_processes() {
    node pkill -9 --newest -x "${1:0:15}" # Linux keeps 15 characters of a process's name
}

case ${1:-} in
    stop) set_part "${2:-}" 0 ;;
    start) set_part "${2:-}" 1 ;;
    kill) kill_processes "${2:?NAME}" ;;
    kill-containers) kill_containers ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
