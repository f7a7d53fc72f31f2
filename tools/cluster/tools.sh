# shellcheck shell=bash
# What the scripts of this folder share; they read it with `.`.

fail() {
    printf 'cluster: %s\n' "$*" >&2
    exit 1
}

# Say which commands are missing and where they come from.
require() {
    local name missing=""
    for name; do
        command -v "$name" >/dev/null 2>&1 || missing="$missing
  $name: $(source_of "$name")"
    done
    [ -z "$missing" ] || fail "these commands are missing:$missing"
}

source_of() {
    case $1 in
        docker) echo "https://docs.docker.com/get-started/get-docker/" ;;
        kind) echo "https://kind.sigs.k8s.io/docs/user/quick-start/#installation, v0.30.0 or later" ;;
        kubectl) echo "https://kubernetes.io/docs/tasks/tools/" ;;
        helm) echo "https://helm.sh/docs/intro/install/, 3.18 or later" ;;
    esac
}

step() { # NAME COMMAND…: say what is done and how long it took
    local name=$1 start=$SECONDS
    shift
    printf '%s …\n' "$name"
    "$@"
    printf '%s: %d s\n' "$name" $((SECONDS - start))
}
