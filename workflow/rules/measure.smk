"""What every measuring rule is made from: one script, one job, one record."""


rule measure:
    """Run a measuring script on one core, beside others: for what is learned, not timed.

    A rule made from this names its script, its record and its study's settings. The axes of the
    record's path become the script's arguments.
    """
    log:
        "<logs>/measure.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        arguments=arguments,
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            {params.arguments:q} --threads {threads} --settings {params.settings:q} \
            --output {output:q} >{log:q} 2>&1
        """


use rule measure as measure_alone with:
    """Run a measuring script on every core, so that nothing runs beside what it times.

    How many there are is a parameter: with another number it is another measurement.
    """
    priority: by_occasion
    threads: every_core
    params:
        cores=cores,
