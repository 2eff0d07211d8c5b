"""Networks that are trained, for accuracy or for time, and what became of published answers."""

RECORDS["implementation"] = (
    "<results>/records/implementation/device-{device}/shape-{shape}/occasion-{occasion}.json"
)
RECORDS["activation"] = "<results>/records/activation/device-{device}/activation-{activation}.json"
RECORDS["steps"] = "<results>/records/steps/device-{device}/occasion-{occasion}.json"
RECORDS["initialization"] = (
    "<results>/records/initialization/device-{device}/initialization-{initialization}/depth-{depth}.json"
)
RECORDS["perceptron"] = (
    "<results>/records/perceptron/device-{device}/hidden-{hidden}/rate-{rate}.json"
)
RECORDS["search"] = "<results>/records/search/device-{device}/strategy-{strategy}.json"
RECORDS["reproduction"] = "<results>/records/reproduction/device-{device}/exercise-{exercise}.json"

# Published answers that are about accuracy; the others are about time.
TRAINED = {"activations", "initialisers", "rates"}


rule measure_activation:
    """Train with one activation: tune its rate, then one run per seed."""
    input:
        script="<scripts>/measure_activation.py",
        library=sources("measure_activation.py"),
        dataset=DATASET,
    output:
        RECORDS["activation"],
    log:
        "<logs>/activation/device-{device}/activation-{activation}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("activation"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --activation {wildcards.activation:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_steps:
    """Time a step of training with every activation, with nothing beside it."""
    input:
        script="<scripts>/measure_steps.py",
        library=sources("measure_steps.py"),
        dataset=DATASET,
    output:
        RECORDS["steps"],
    log:
        "<logs>/steps/device-{device}/occasion-{occasion}.log",
    priority: by_occasion
    conda:
        "../../envs/torch.yaml"
    threads: every_core
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("steps"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --occasion {wildcards.occasion:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_initialization:
    """Train from one initialisation at one depth: one run per seed."""
    input:
        script="<scripts>/measure_initialization.py",
        library=sources("measure_initialization.py"),
        dataset=DATASET,
    output:
        RECORDS["initialization"],
    log:
        "<logs>/initialization/device-{device}/initialization-{initialization}/depth-{depth}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("initialization"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --initialization {wildcards.initialization:q} --depth {wildcards.depth:q} \
            --dataset {input.dataset:q} --threads {threads} --settings {params.settings:q} \
            --output {output:q} >{log:q} 2>&1
        """


rule measure_implementation:
    """Time a step of one network and batch in every implementation."""
    input:
        script="<scripts>/measure_implementation.py",
        library=sources("measure_implementation.py"),
        dataset=DATASET,
    output:
        RECORDS["implementation"],
    log:
        "<logs>/implementation/device-{device}/shape-{shape}/occasion-{occasion}.log",
    priority: by_occasion
    conda:
        "../../envs/torch.yaml"
    threads: every_core
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("implementation"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --shape {wildcards.shape:q} --occasion {wildcards.occasion:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_perceptron:
    """Train one network at one rate, one run per seed; several questions share the cells."""
    input:
        script="<scripts>/measure_perceptron.py",
        library=sources("measure_perceptron.py"),
        dataset=DATASET,
    output:
        RECORDS["perceptron"],
    log:
        "<logs>/perceptron/device-{device}/hidden-{hidden}/rate-{rate}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("perceptron"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --hidden {wildcards.hidden:q} --rate {wildcards.rate:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_search:
    """Search rate and width together by one strategy, again for every seed."""
    input:
        script="<scripts>/measure_search.py",
        library=sources("measure_search.py"),
        dataset=DATASET,
    output:
        RECORDS["search"],
    log:
        "<logs>/search/device-{device}/strategy-{strategy}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("search"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --strategy {wildcards.strategy:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


rule measure_reproduction:
    """Run one published method as it was described, and the right one beside it."""
    input:
        script="<scripts>/measure_reproduction.py",
        library=sources("measure_reproduction.py"),
        dataset=DATASET,
    output:
        RECORDS["reproduction"],
    log:
        "<logs>/reproduction/device-{device}/exercise-{exercise}.log",
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: 1 if wildcards.exercise in TRAINED else every_core(wildcards)
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("reproduction"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --exercise {wildcards.exercise:q} --dataset {input.dataset:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """
