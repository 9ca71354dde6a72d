#!/bin/sh
# Checks this machine's NVIDIA GPU, or does what else the program can:
#   ./start.sh                     check the GPU, measure it, write report.json
#   ./start.sh train --help        any other command, with the libraries found
# It needs NVIDIA's driver, and CUDA's libraries from a CUDA toolkit or from python3's PyTorch.
set -e
case "$1" in -h | --help) sed -n '2,5s/^# //p' "$0"; exit ;; esac
here=$(cd "$(dirname "$0")" && pwd)

# Libraries that python3 has, in folders of their own.
python=$(command -v python3 || true)
if [ -n "$python" ]; then
    found=$("$python" - <<'PYTHON' || true
import glob, os, sys
folders = [os.path.join(path, part) for path in sys.path for part in ('torch/lib', 'nvidia/*/lib')]
print(':'.join(folder for pattern in folders for folder in sorted(glob.glob(pattern))))
PYTHON
    )
    [ -z "$found" ] || export LD_LIBRARY_PATH="$found${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
for folder in /usr/local/cuda/lib64 /usr/local/nvidia/lib64; do
    [ ! -d "$folder" ] || export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder"
done

# The program with libtorch's engine, if libtorch is of the release that it was built with.
program="$here/yolox-nano"
if [ -x "$here/yolox-nano-torch" ] && "$here/yolox-nano-torch" --version >/dev/null 2>&1; then
    program="$here/yolox-nano-torch"
elif [ -e "$here/yolox-nano-torch" ]; then
    echo "libtorch 2.11 is not found: without its engine" >&2
fi

if [ $# -gt 0 ]; then
    exec "$program" "$@"
fi
set -- gpu-check --out "$here/report.json"
[ ! -e "$here/VOC.tar" ] || set -- "$@" --data "$here/VOC.tar:train"
exec "$program" "$@"
