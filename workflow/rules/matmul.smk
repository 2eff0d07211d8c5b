"""Matrix products."""

RECORDS["alignment"] = "<results>/records/alignment/device-{device}/n-{n}.json"


rule measure_alignment:
    """Time the products of one size against those of the anchor."""
    input:
        script="<scripts>/measure_alignment.py",
        library=sources("measure_alignment.py"),
    output:
        RECORDS["alignment"],
    log:
        "<logs>/alignment/device-{device}/n-{n}.log",
    conda:
        "../../envs/torch.yaml"
    threads: every_core
    resources:
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("alignment"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --n {wildcards.n:q} --threads {threads} --settings {params.settings:q} \
            --output {output:q} >{log:q} 2>&1
        """
