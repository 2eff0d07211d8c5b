"""The data that networks learn from."""

DATASET = "<results>/data/dataset.safetensors"


rule fetch_dataset:
    """Get Fashion-MNIST from the first source that has it."""
    input:
        script="<scripts>/fetch_dataset.py",
        library=sources("fetch_dataset.py"),
        sample=[
            f"{RESOURCES}/fashion-mnist-10k/t10k-{part}.gz"
            for part in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ],
    output:
        DATASET,
    log:
        "<logs>/fetch_dataset.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    params:
        settings=json.dumps(config["dataset"], sort_keys=True),
    shell:
        """
        python {input.script:q} --settings {params.settings:q} --output {output:q} >{log:q} 2>&1
        """
