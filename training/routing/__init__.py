"""Studies of routing: the errors of ways of choosing a network. Nothing here is served.

crossfit ──► fold_checkpoints ──► counts of photos that a network was not trained on
compare  ──► policies             errors of each way of routing
"""
