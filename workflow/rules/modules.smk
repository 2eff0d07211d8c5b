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
RECORDS["formats"] = "<results>/records/formats/device-cpu/format-{format}.json"
RECORDS["placement"] = "<results>/records/placement/device-{device}.json"


rule measure_registration:
    """Keep blocks in one way: what torch then finds, and what training comes to."""
    input:
        script="<scripts>/measure_registration.py",
        library=sources("measure_registration.py"),
        dataset=DATASET,
    output:
        RECORDS["registration"],
    log:
        "<logs>/registration/device-{device}/storage-{storage}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("registration"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --storage {wildcards.storage:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_composition:
    """Compose blocks in one way: check it, and train the network that comes of it."""
    input:
        script="<scripts>/measure_composition.py",
        library=sources("measure_composition.py"),
        dataset=DATASET,
    output:
        RECORDS["composition"],
    log:
        "<logs>/composition/device-{device}/structure-{structure}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("composition"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --structure {wildcards.structure:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_parameters:
    """Look at one side of parameters: how they begin, are shared, are saved."""
    input:
        script="<scripts>/measure_parameters.py",
        library=sources("measure_parameters.py"),
    output:
        RECORDS["parameters"],
    log:
        "<logs>/parameters/device-{device}/topic-{topic}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("parameters"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --topic {wildcards.topic:q} --threads {threads} --settings {params.settings:q} \
            --output {output:q} >{log:q} 2>&1
        """


rule measure_reduction:
    """Time all implementations of the quadratic layer while one size grows."""
    input:
        script="<scripts>/measure_reduction.py",
        library=sources("measure_reduction.py"),
    output:
        RECORDS["reduction"],
    log:
        "<logs>/reduction/device-{device}/sweep-{sweep}/occasion-{occasion}.log",
    priority: by_occasion
    conda:
        "../../envs/torch.yaml"
    threads: every_core
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("reduction"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --sweep {wildcards.sweep:q} --occasion {wildcards.occasion:q} --threads {threads} \
            --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_fourier:
    """Learn from the leading Fourier coefficients, or from as many at random."""
    input:
        script="<scripts>/measure_fourier.py",
        library=sources("measure_fourier.py"),
        dataset=DATASET,
    output:
        RECORDS["fourier"],
    log:
        "<logs>/fourier/device-{device}/selection-{selection}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("fourier"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --selection {wildcards.selection:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_resume:
    """Kill trainings and writers with SIGKILL, and see what can be continued."""
    input:
        script="<scripts>/measure_resume.py",
        library=sources("measure_resume.py"),
    output:
        RECORDS["resume"],
    log:
        "<logs>/resume/device-{device}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("resume"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_transfer:
    """Reuse two layers of a trained network, with so many images to learn from."""
    input:
        script="<scripts>/measure_transfer.py",
        library=sources("measure_transfer.py"),
        dataset=DATASET,
    output:
        RECORDS["transfer"],
    log:
        "<logs>/transfer/device-{device}/images-{images}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("transfer"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --images {wildcards.images:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_formats:
    """Save a network in one format, and load it under every hazard."""
    input:
        script="<scripts>/measure_formats.py",
        library=sources("measure_formats.py"),
    output:
        RECORDS["formats"],
    log:
        "<logs>/formats/device-cpu/format-{format}.log",
    conda:
        "../../envs/torch.yaml"
    threads: alone()
    params:
        settings=settings("formats"),
    shell:
        """
        python {input.script:q} --format {wildcards.format:q} \
            --threads 1 --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_placement:
    """Move tensors, modules and files between number formats and devices."""
    input:
        script="<scripts>/measure_placement.py",
        library=sources("measure_placement.py"),
    output:
        RECORDS["placement"],
    log:
        "<logs>/placement/device-{device}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("placement"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """
