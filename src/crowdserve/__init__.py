"""crowdserve counts people in crowd photos: the package that training, export and serving share.

    cli ──► evaluation, rollout ──► pages, bundle, local, scene ──► client, triton, nets
                                                                          │
                errors ◄── cards ◄── datasets, images ◄── density, protocol ◄┘

    cli/         one file per command               scene/       dense or sparse?
    evaluation/  judge a service on labelled photos client/      ask a running service
    rollout/     canaries, step by step             triton/      configuration, repository, client
    bundle/      the models as one download         nets/        the only place with a framework
    local/       the whole service on one machine   protocol/    the service's contract
    pages/       generated documentation            cards/       what is true of a model
    images/      bytes to RGB                       density.py   head points to density maps
    datasets.py  five layouts to samples            errors.py    every error
    scratch.py   folders that are swept             terminal.py  texts that a terminal may show

Each package's docstring draws its own inside; an arrow never runs back.
"""

__version__ = "0.2.0"
