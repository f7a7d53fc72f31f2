# Choose the configuration of the networks on a CPU. Bundles of the embedded profile have one for bfloat16, which the image
# from pip runs with OpenVINO: in half the time, on processors that have instructions for it. NVIDIA's image runs onnxruntime
# in FP32; its ways to OpenVINO were not tried.
if [ "$backend" = python ]; then
  has_bf16() { grep -qwE 'avx512_bf16|amx_bf16' /proc/cpuinfo && python -c 'import importlib.util as u; exit(not u.find_spec("openvino"))'; }
  if [ "$precision" = auto ]; then
    if has_bf16; then precision=bf16; else precision=fp32; fi
  fi
  set -- "$@" "--model-config-name=$precision"
elif [ "$precision" = bf16 ]; then
  echo "triton.precision bf16 needs the image crowdserve-triton-cpu and a bundle of the embedded profile" >&2
  exit 1
else
  set -- "$@" --model-config-name=cpu
fi
