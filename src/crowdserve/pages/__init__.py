"""Documentation that is generated: Markdown made of facts that the code holds, put between marks of a page.

    model cards, records beside the model files ──► models, sections ─┐
    a command line ───────────────────────────────► commands ─────────┼─► marks of a page ──► docs/, README.md
    the tree of exceptions ───────────────────────► error_tree ───────┘

`crowdserve repository tables` fills the marks about the models. `python -m tools.reference` fills the others; what the
transformer holds (settings, metrics, API) is read there, because this package does not know the transformer.
"""
