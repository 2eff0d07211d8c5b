"""What is in the machine, and how fast its memory is."""

RECORDS["hardware"] = "<results>/records/hardware/device-{device}.json"
RECORDS["bandwidth"] = "<results>/records/bandwidth/device-{device}.json"


rule measure_hardware:
    """Probe one device: caches, memory, buses, limits."""
    input:
        script="<scripts>/measure_hardware.py",
        library=sources("measure_hardware.py"),
    output:
        RECORDS["hardware"],
    log:
        "<logs>/hardware/device-{device}.log",
    conda:
        "../../envs/torch.yaml"
    threads: every_core
    resources:
        **label_resources(),
        gpu=gpus,
    params:
        device=device_name,
        settings=settings("hardware"),
    shell:
        """
        python {input.script:q} --device {params.device:q} --label {wildcards.device:q} \
            --threads {threads} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """


use rule measure_hardware as measure_bandwidth with:
    input:
        script="<scripts>/measure_bandwidth.py",
        library=sources("measure_bandwidth.py"),
    output:
        RECORDS["bandwidth"],
    log:
        "<logs>/bandwidth/device-{device}.log",
    params:
        device=device_name,
        settings=settings("bandwidth"),
