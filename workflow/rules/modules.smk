"""Building blocks: modules, parameters, custom layers, checkpoints, placement."""

RECORDS["registration"] = "<results>/records/registration/device-{device}/storage-{storage}.json"
RECORDS["composition"] = "<results>/records/composition/device-{device}/structure-{structure}.json"
RECORDS["parameters"] = "<results>/records/parameters/device-{device}/topic-{topic}.json"
RECORDS["reduction"] = (
    "<results>/records/reduction/device-{device}/sweep-{sweep}/occasion-{occasion}.json"
)
RECORDS["fourier"] = "<results>/records/fourier/device-{device}/selection-{selection}.json"
RECORDS["resume"] = "<results>/records/resume/device-{device}.json"
RECORDS["transfer"] = "<results>/records/transfer/device-{device}/images-{images}.json"
# Files are written from the CPU, whatever devices there are.
RECORDS["formats"] = "<results>/records/formats/device-cpu/format-{format}/occasion-{occasion}.json"
RECORDS["placement"] = "<results>/records/placement/device-{device}.json"


use rule measure as measure_registration with:
    """Keep blocks in one way: what torch then finds, and what training comes to."""
    input:
        script="<scripts>/measure_registration.py",
        library=sources("measure_registration.py"),
        dataset=DATASET,
    output:
        RECORDS["registration"],
    log:
        "<logs>/registration/device-{device}/storage-{storage}.log",
    params:
        settings=settings("registration"),


use rule measure as measure_composition with:
    """Compose blocks in one way: check it, and train the network that comes of it."""
    input:
        script="<scripts>/measure_composition.py",
        library=sources("measure_composition.py"),
        dataset=DATASET,
    output:
        RECORDS["composition"],
    log:
        "<logs>/composition/device-{device}/structure-{structure}.log",
    params:
        settings=settings("composition"),


use rule measure as measure_parameters with:
    """Look at one side of parameters: how they begin, are shared, are saved."""
    input:
        script="<scripts>/measure_parameters.py",
        library=sources("measure_parameters.py"),
    output:
        RECORDS["parameters"],
    log:
        "<logs>/parameters/device-{device}/topic-{topic}.log",
    params:
        settings=settings("parameters"),


use rule measure_alone as measure_reduction with:
    """Time all implementations of the quadratic layer while one size grows."""
    input:
        script="<scripts>/measure_reduction.py",
        library=sources("measure_reduction.py"),
    output:
        RECORDS["reduction"],
    log:
        "<logs>/reduction/device-{device}/sweep-{sweep}/occasion-{occasion}.log",
    params:
        settings=settings("reduction"),


use rule measure as measure_fourier with:
    """Learn from the leading Fourier coefficients, or from as many at random."""
    input:
        script="<scripts>/measure_fourier.py",
        library=sources("measure_fourier.py"),
        dataset=DATASET,
    output:
        RECORDS["fourier"],
    log:
        "<logs>/fourier/device-{device}/selection-{selection}.log",
    params:
        settings=settings("fourier"),


use rule measure as measure_resume with:
    """Kill trainings and writers with SIGKILL, and see what can be continued."""
    input:
        script="<scripts>/measure_resume.py",
        library=sources("measure_resume.py"),
    output:
        RECORDS["resume"],
    log:
        "<logs>/resume/device-{device}.log",
    params:
        settings=settings("resume"),


use rule measure as measure_transfer with:
    """Reuse two layers of a trained network, with so many images to learn from."""
    input:
        script="<scripts>/measure_transfer.py",
        library=sources("measure_transfer.py"),
        dataset=DATASET,
    output:
        RECORDS["transfer"],
    log:
        "<logs>/transfer/device-{device}/images-{images}.log",
    params:
        settings=settings("transfer"),


rule measure_formats:
    """Save a network in one format, and load it under every hazard."""
    input:
        script="<scripts>/measure_formats.py",
        library=sources("measure_formats.py"),
    output:
        RECORDS["formats"],
    log:
        "<logs>/formats/device-cpu/format-{format}/occasion-{occasion}.log",
    conda:
        "../../envs/torch.yaml"
    threads: alone()
    resources:
        **label_resources(),
    params:
        settings=settings("formats"),
    shell:
        """
        python {input.script:q} --format {wildcards.format:q} --occasion {wildcards.occasion:q} \
            --threads 1 --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


use rule measure as measure_placement with:
    """Move tensors, modules and files between number formats and devices."""
    input:
        script="<scripts>/measure_placement.py",
        library=sources("measure_placement.py"),
    output:
        RECORDS["placement"],
    log:
        "<logs>/placement/device-{device}.log",
    params:
        settings=settings("placement"),
