"""Documentation that is generated from the code and from the records beside the model files.

cards, records ──► sections ──► models ──► markdown ──► the marked places of a page

markdown.py   tables, and the marks around a generated part
sections.py   the section of one model
models.py     the tables of all models; writes pages, or checks that they are up to date
"""
