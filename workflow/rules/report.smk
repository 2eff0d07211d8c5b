"""From records to answers, and from answers to the page."""


checkpoint find_lost:
    """Name what lost a trial to a neighbour, to measure it once more at the end of the run."""
    input:
        script="<scripts>/find_lost.py",
        library=sources("find_lost.py"),
        records=lambda wildcards: own_records(wildcards.question),
    output:
        "<results>/lost/{question}.json",
    log:
        "<logs>/lost/{question}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        grid=grid,
    shell:
        """
        python {input.script:q} --grid {params.grid:q} --output {output:q} >{log:q} 2>&1
        """


rule answer:
    """Answer one question from its records."""
    input:
        script="<scripts>/answer_{question}.py",
        library=lambda wildcards: sources(f"answer_{wildcards.question}.py"),
        snippet=snippet,
        tables=tables,
        lost=lambda wildcards: listing(wildcards.question),
        records=records,
    output:
        table="<results>/tables/{question}.csv",
        figure=report(
            "<results>/figures/{question}.svg",
            caption="../report/answer.rst",
            category=category,
            labels=labels,
        ),
        picture="<results>/figures/{question}.png",
        answer="<results>/answers/{question}.json",
    log:
        "<logs>/answer/{question}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        about=about,
        grid=grid,
        between=between,
        # With others there is something to do, and the hook at the start looks at the records.
        gpus=device.gpus_in_sight() if ON_GPU else None,
    shell:
        """
        python {input.script:q} --about {params.about:q} --table {output.table:q} \
            --figure {output.figure:q} --answer {output.answer:q} --grid {params.grid:q} \
            --between {params.between:q} --retried {input.lost:q} >{log:q} 2>&1
        """


rule card:
    """Draw what this machine can do in one picture."""
    input:
        script="<scripts>/card.py",
        library=sources("card.py"),
        answers=expand("<results>/answers/{question}.json", question=on_card()),
    output:
        drawing=report(
            "<results>/card.svg",
            caption="../report/card.rst",
            category="1 This machine",
            labels={"question": "Machine card"},
        ),
        picture="<results>/card.png",
    log:
        "<logs>/card.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        preset=config["preset"],
        gpus=ON_GPU,
    shell:
        """
        python {input.script:q} --output {output.drawing:q} --preset {params.preset:q} \
            --gpus {params.gpus:q} -- {input.answers:q} >{log:q} 2>&1
        """


rule page:
    """Write the page that tells the answers."""
    input:
        script="<scripts>/page.py",
        library=sources("page.py"),
        template=f"{os.path.relpath(WORKFLOW)}/report/page.html.j2",
        style=f"{os.path.relpath(WORKFLOW)}/report/page.css",
        program=f"{os.path.relpath(WORKFLOW)}/report/page.js",
        card="<results>/card.svg" if on_card() else [],
        hardware=[*collect(RECORDS["hardware"], device=DEVICES), *others("hardware")],
        tables=expand("<results>/tables/{question}.csv", question=config["ask"]),
        answers=expand("<results>/answers/{question}.json", question=config["ask"]),
    output:
        report(
            "<results>/report.html",
            caption="../report/page.rst",
            category="0 Answers",
            labels={"page": "All answers"},
        ),
    log:
        "<logs>/page.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        about=run_in_words(),
    shell:
        """
        python {input.script:q} --output {output:q} --about {params.about:q} \
            --card {input.card:q} --hardware {input.hardware:q} -- {input.answers:q} >{log:q} 2>&1
        """
