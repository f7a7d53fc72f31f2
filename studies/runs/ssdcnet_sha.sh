#!/usr/bin/env bash
# The commands that made model_repository/ssdcnet_sha/1: 110 minutes of wall time in all, on two cores (record).
#
# Run from the repository's root, with `part_A` a link to ShanghaiTech Part A. No run was stopped by hand. The witness is
# model_repository/ssdcnet_sha/1/meta.json, whose `started_from` chain holds the recipe of every run below. It holds neither
# --validate-every nor --cache; these are from the laboratory log, studies/LOG.md.
set -euo pipefail

# Nine free photos without people.
python -m training.data.free_photos photos-without-people

# Run 1: the paper's architecture; the front-end's last two blocks learn at a tenth of the rate. Step 540 is kept. At the
# time the density maps of mirrored photos lay up to 7 px beside the heads where the width was no multiple of 8; that is
# mended, so the command does not repeat the run exactly.
python -m training.ssdcnet part_A --card ssdcnet_sha --output checkpoints/ssdcnet_sha --cache features/a64 --steps 900 \
    --validate-every 180 --negatives 66 --negative-photos photos-without-people --negative-share 0.12 --mirrored \
    --trained-blocks 2 --precision bfloat16

# Run 2: crops behind confetti, behind images without people and in other light, at 0.7 to 1.4 times their size, against
# the street full of confetti. Step 500 is kept. The original command said --start-from model_repository/ssdcnet_sha/1,
# which held the weights of run 1, rounded to 16 bits.
python -m training.ssdcnet part_A --card ssdcnet_sha --output checkpoints/ssdcnet_sha5 --cache features/a64 \
    --start-from checkpoints/ssdcnet_sha --min-scale 0.7 --max-scale 1.4 --mirrored --confetti 0.25 \
    --patches 0.25 --recoloured 0.5 --steps 700 --validate-every 100 --warmup-steps 30 --learning-rate 1.5e-4 \
    --averaging 0.99 --negatives 144 --negative-photos photos-without-people --negative-share 0.1 --trained-blocks 2 \
    --precision bfloat16 --seed 11

# Run 3: crops above litter, which costs fewer people since. Step 80 is kept: MAE 83.55, RMSE 146.61, bias -4.76 on 30
# photos (record of 2026-11-25). Float32 with --winograd, for a processor without bfloat16. (It started from
# model_repository/ssdcnet_sha/1, which held the weights of run 2.)
python -m training.ssdcnet part_A --card ssdcnet_sha --output checkpoints/ssdcnet_sha11 --cache features/a64 \
    --start-from checkpoints/ssdcnet_sha5 --winograd --min-scale 0.8 --max-scale 1.4 --mirrored --confetti 0.1 \
    --littered 0.35 --patches 0.25 --recoloured 0.3 --steps 320 --validate-every 80 --warmup-steps 30 \
    --learning-rate 1e-4 --averaging 0.985 --negatives 144 --negative-photos photos-without-people \
    --negative-share 0.1 --trained-blocks 2 --seed 62

# The ONNX file, with weights in 16 bits, and its evaluation through the service. This overwrites version 1.
python -m export.ssdcnet checkpoints/ssdcnet_sha11 --card ssdcnet_sha --evaluate part_A --split validate
