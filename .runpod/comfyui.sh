#!/bin/sh
# Starts ComfyUI for the handler, which waits until it answers.
set -eu
cd /comfyui
# The node of SAM2 looks under ComfyUI's own models alone.
if [ -d /runpod-volume/models/sam2 ] && [ ! -e models/sam2 ]; then
    ln -s /runpod-volume/models/sam2 models/sam2
fi
# Without metadata no picture tells its prompt; without API nodes nothing is sent to anybody.
exec /opt/comfyui/bin/python main.py --listen 127.0.0.1 --port 8188 --disable-auto-launch --disable-metadata \
    --disable-api-nodes --log-stdout --extra-model-paths-config /opt/extra_model_paths.yaml "$@"
