"""Calls of one Triton's models: each answer is checked, and a model that does not answer is not asked.

models.py    runs a model on a batch of images, and keeps a breaker for each
breaker.py   whether a model may be asked, and the calls that wait for it
answers.py   what a model can have computed, by its card
"""
