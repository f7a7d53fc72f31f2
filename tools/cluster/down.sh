#!/usr/bin/env bash
# Remove the cluster of up.sh with everything in it, and the two files that up.sh wrote.
#
#     make cluster-down
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=tools/cluster/settings.env
. "$here/settings.env"
# shellcheck source=tools/cluster/tools.sh
. "$here/tools.sh"

require docker kind
kind delete cluster --name "$CLUSTER" --kubeconfig "$root/.cluster.kubeconfig"
rm -f "$root/.cluster.kubeconfig" "$root/.cluster.env"
