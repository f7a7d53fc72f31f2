"""Studies of routing: which way of choosing a network errs least. Nothing of it is served.

crossfit ──► fold_checkpoints ──► counts of photos that a network did not learn from
compare  ──► policies             errors of each way of routing
"""
