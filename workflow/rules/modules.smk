"""Building blocks: modules, parameters, custom layers, checkpoints, placement."""

RECORDS["registration"] = "<results>/records/registration/device-{device}/storage-{storage}.json"
RECORDS["composition"] = "<results>/records/composition/device-{device}/structure-{structure}.json"


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
