# Give Triton the one backend of the device: no bundle can name another, python above all, whose models are programs. An
# image for CPUs without onnxruntime's backend serves bundles of the embedded profile, with the python backend.
installed=/opt/tritonserver/backends
if [ "$device" = tensorrt ]; then backend=tensorrt; else backend=onnxruntime; fi
if [ "$device" = cpu ] && [ ! -e "$installed/$backend" ]; then backend=python; fi
if [ ! -e "$installed/$backend" ]; then
  echo "the image has no $installed/$backend, which device $device needs" >&2
  exit 1
fi
mkdir -p /tmp/backends
ln -sfn "$installed/$backend" "/tmp/backends/$backend"
# Triton looks for a backend beside the model first, and models of onnxruntime may name libraries of operators.
libraries=$(find -L /mnt/models/ -type f -exec sh -c '
  for file; do
    case $(od -A n -N 4 -t x1 "$file" | tr -d " ") in 7f454c46) printf "%s " "$file" ;; esac
  done' sh {} +)
if [ -n "$libraries" ]; then
  printf '%s\n' "/mnt/models has programs or libraries, which no bundle has: $libraries" | tr -c '\040-\176\n' '?' >&2
  exit 1
fi
