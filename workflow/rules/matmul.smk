"""Matrix products."""

RECORDS["alignment"] = "<results>/records/alignment/device-{device}/n-{n}/occasion-{occasion}.json"
RECORDS["crossover"] = "<results>/records/crossover/device-{device}/n-{n}/occasion-{occasion}.json"
RECORDS["two_devices"] = (
    "<results>/records/two_devices/device-{device}/n-{n}/occasion-{occasion}.json"
)
RECORDS["norm_log"] = "<results>/records/norm_log/device-{device}/occasion-{occasion}.json"
RECORDS["contrast"] = "<results>/records/contrast/device-{device}/occasion-{occasion}.json"


rule measure_alignment:
    """Time the products of one size against those of the anchor."""
    input:
        script="<scripts>/measure_alignment.py",
        library=sources("measure_alignment.py"),
    output:
        RECORDS["alignment"],
    log:
        "<logs>/alignment/device-{device}/n-{n}/occasion-{occasion}.log",
    priority: by_occasion
    conda:
        "../../envs/torch.yaml"
    threads: every_core
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("alignment"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --n {wildcards.n:q} --occasion {wildcards.occasion:q} --threads {threads} \
            --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


use rule measure_alignment as measure_crossover with:
    input:
        script="<scripts>/measure_crossover.py",
        library=sources("measure_crossover.py"),
    output:
        RECORDS["crossover"],
    log:
        "<logs>/crossover/device-{device}/n-{n}/occasion-{occasion}.log",
    params:
        device=device_name,
        settings=settings("crossover"),


use rule measure_alignment as measure_two_devices with:
    input:
        script="<scripts>/measure_two_devices.py",
        library=sources("measure_two_devices.py"),
    output:
        RECORDS["two_devices"],
    log:
        "<logs>/two_devices/device-{device}/n-{n}/occasion-{occasion}.log",
    params:
        device=device_name,
        settings=settings("two_devices"),


rule measure_norm_log:
    """Time all ways to keep a log of norms."""
    input:
        script="<scripts>/measure_norm_log.py",
        library=sources("measure_norm_log.py"),
    output:
        RECORDS["norm_log"],
    log:
        "<logs>/norm_log/device-{device}/occasion-{occasion}.log",
    priority: by_occasion
    conda:
        "../../envs/torch.yaml"
    threads: every_core
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("norm_log"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --occasion {wildcards.occasion:q} --threads {threads} --settings {params.settings:q} \
            --output {output:q} >{log:q} 2>&1
        """


use rule measure_norm_log as measure_contrast with:
    input:
        script="<scripts>/measure_contrast.py",
        library=sources("measure_contrast.py"),
    output:
        RECORDS["contrast"],
    log:
        "<logs>/contrast/device-{device}/occasion-{occasion}.log",
    params:
        device=device_name,
        settings=settings("contrast"),
