"""The parts of every training run: a loop, a folder, flags.

flags ──► run ──► loop      log.jsonl, validation, the best weights, curves.png
"""
